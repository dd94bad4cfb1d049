//! request: see `any_bytes::request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::request(input));
