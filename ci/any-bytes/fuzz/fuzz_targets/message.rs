//! message: see `any_bytes::message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::message(input));
