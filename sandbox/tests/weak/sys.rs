//! The session keyring of this process: keyctl(2), for which nix has nothing.
#![expect(unsafe_code, reason = "keyctl has no safe wrapper")]

/// Joins a new, unnamed session keyring and returns its id.
pub fn new_session_keyring() -> i64 {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    let unnamed = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for an anonymous keyring; nothing is written.
    unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, unnamed) }
}
