//! sasl: see `any_bytes::sasl`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::sasl(input));
