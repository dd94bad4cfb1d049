//! form: see `any_bytes::form`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::form(input));
