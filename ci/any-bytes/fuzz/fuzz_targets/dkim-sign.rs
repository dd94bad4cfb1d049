//! dkim-sign: see `any_bytes::dkim_sign`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::dkim_sign(input));
