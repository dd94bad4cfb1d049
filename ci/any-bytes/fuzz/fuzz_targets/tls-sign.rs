//! tls-sign: see `any_bytes::tls_sign`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::tls_sign(input));
