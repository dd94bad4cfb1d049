//! socketmap: see `any_bytes::socketmap`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::socketmap(input));
