//! syscalls: see `any_bytes::syscalls`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_bytes::syscalls(input));
