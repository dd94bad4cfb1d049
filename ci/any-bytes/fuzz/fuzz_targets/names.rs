//! names: see `any_bytes::names`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::names(input));
