//! channels: see `any_bytes::channels`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::channels(input));
