//! proofs: see `any_bytes::proofs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::proofs(input));
