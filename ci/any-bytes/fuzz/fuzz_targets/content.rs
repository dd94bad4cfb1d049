//! content: see `any_bytes::content`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::content(input));
