//! verity: see `any_bytes::verity`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::verity(input));
