//! learned: see `any_bytes::learned`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::learned(input));
