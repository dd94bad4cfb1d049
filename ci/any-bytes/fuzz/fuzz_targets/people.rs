//! people: see `any_bytes::people`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::people(input));
