//! lmtp: see `any_bytes::lmtp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::lmtp(input));
