//! settings: see `any_bytes::settings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::settings(input));
