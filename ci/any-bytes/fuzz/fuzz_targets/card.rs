//! card: see `any_bytes::card`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::card(input));
