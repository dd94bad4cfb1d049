//! zygote: see `any_bytes::zygote`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::zygote(input));
