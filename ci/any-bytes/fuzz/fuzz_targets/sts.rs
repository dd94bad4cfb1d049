//! sts: see `any_bytes::sts`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::sts(input));
