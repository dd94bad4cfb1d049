//! sealed: see `any_bytes::sealed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::sealed(input));
