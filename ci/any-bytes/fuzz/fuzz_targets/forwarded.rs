//! forwarded: see `any_bytes::forwarded`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::forwarded(input));
