//! path: see `any_bytes::path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::path(input));
