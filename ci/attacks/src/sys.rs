//! keyctl(2) and System V queues, for which nix has nothing.
#![expect(unsafe_code, reason = "raw calls have no safe wrapper")]

/// Joins a new session keyring, and puts the user key "attack" into it.
pub(crate) fn key_in_a_new_session() {
    const JOIN: libc::c_int = 1;
    const SESSION: libc::c_int = -3;
    let unnamed = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for an anonymous keyring; nothing is written.
    let ring = unsafe { libc::syscall(libc::SYS_keyctl, JOIN, unnamed) };
    assert!(ring > 0);
    let (kind, name, value) = (c"user".as_ptr(), c"attack".as_ptr(), c"x".as_ptr());
    // SAFETY: three strings, the last of the length that is passed.
    let key = unsafe { libc::syscall(libc::SYS_add_key, kind, name, value, 1, SESSION) };
    assert!(key > 0);
}

/// A queue that everybody may use, until it is dropped.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Its key.
    pub(crate) key: i32,
    id: i32,
}

impl Queue {
    /// A new one.
    pub(crate) fn new() -> Self {
        let key = 0x0a77_0000 | (std::process::id() & 0xffff).cast_signed();
        // SAFETY: only integers.
        let id = unsafe { libc::msgget(key, libc::IPC_CREAT | libc::IPC_EXCL | 0o666) };
        assert!(id >= 0, "{}", std::io::Error::last_os_error());
        Self { key, id }
    }

    /// Leaves one message in it.
    pub(crate) fn fill(&self) {
        let mut old = [0u64; 3];
        let (at, flags) = (old.as_mut_ptr().cast(), libc::IPC_NOWAIT);
        // SAFETY: the kernel writes a long and at most 16 bytes after it.
        while unsafe { libc::msgrcv(self.id, at, 16, 0, flags) } >= 0 {}
        let message = [1u64, 0, 0];
        // SAFETY: a long and 16 bytes.
        let sent = unsafe { libc::msgsnd(self.id, message.as_ptr().cast(), 16, 0) };
        assert_eq!(sent, 0);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: this command takes no structure.
        unsafe { libc::msgctl(self.id, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}
