//! http: see `any_bytes::http`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::http(input));
