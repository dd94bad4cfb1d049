//! typed: see `any_bytes::typed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::typed(input));
