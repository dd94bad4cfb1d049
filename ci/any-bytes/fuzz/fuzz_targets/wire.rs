//! wire: see `any_bytes::wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::wire(input));
