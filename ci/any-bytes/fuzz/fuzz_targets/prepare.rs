//! prepare: see `any_bytes::prepare`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::prepare(input));
