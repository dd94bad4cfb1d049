//! queue: see `any_bytes::queue`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::queue(input));
