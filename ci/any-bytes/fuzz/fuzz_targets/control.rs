//! control: see `any_bytes::control`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::control(input));
