//! seal: see `any_bytes::seal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::seal(input));
