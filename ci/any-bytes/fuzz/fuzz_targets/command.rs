//! command: see `any_bytes::command`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::command(input));
