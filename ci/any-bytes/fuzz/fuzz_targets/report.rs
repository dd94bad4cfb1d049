//! report: see `any_bytes::report`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::report(input));
