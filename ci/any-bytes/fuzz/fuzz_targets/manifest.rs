//! manifest: see `any_bytes::manifest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::manifest(input));
