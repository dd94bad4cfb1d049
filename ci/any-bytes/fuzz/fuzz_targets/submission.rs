//! submission: see `any_bytes::submission`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::submission(input));
