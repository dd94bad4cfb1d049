//! The children's seccomp filter, from `policies/child.seccomp`, which has the
//! form of the sandbox's policies (`sandbox/src/policy.rs`). It is compiled with
//! this library, by `build.rs`: nothing that could be wrong in it is left for the
//! zygote to find.

use nix::errno::Errno;

use crate::sys;

/// What a child may ask the kernel for, beside what the zygote's policy lets it.
pub const TEXT: &str = include_str!("../policies/child.seccomp");
/// The name of [`TEXT`] in messages.
pub const NAME: &str = "zygote/policies/child.seccomp";

/// An array of struct sock_filter, linux/filter.h.
const COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/child.filter"));

/// The compiled policy.
pub(crate) struct Filter(Vec<libc::sock_filter>);

impl Filter {
    /// The children's policy, compiled for this machine.
    pub(crate) fn of_children() -> Filter {
        let (words, _) = COMPILED.as_chunks::<8>();
        let word = |&[a, b, jt, jf, c, d, e, f]: &[u8; 8]| libc::sock_filter {
            code: u16::from_le_bytes([a, b]),
            jt,
            jf,
            k: u32::from_le_bytes([c, d, e, f]),
        };
        Filter(words.iter().map(word).collect())
    }

    /// Puts it in force for this process, for good.
    pub(crate) fn install(&self) -> Result<(), Errno> {
        sys::seccomp(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandbox::policy::{Arch, compile, load_str};

    #[test]
    fn what_was_compiled_with_this_library_is_the_childrens_policy() {
        let now = compile(NAME, TEXT, Arch::HERE).unwrap();
        assert_eq!(COMPILED, now.filter_bytes());
        assert_eq!(Filter::of_children().0.len() * 8, COMPILED.len());
    }

    #[test]
    fn the_childrens_policy_has_no_way_to_a_file_a_process_or_the_network() {
        let policy = load_str(NAME, TEXT).unwrap();
        // Not with any argument either.
        let given: Vec<&str> = policy.allowed().map(|a| a.call.as_str()).collect();
        assert!(given.contains(&"read"));
        for call in [
            "open",
            "openat",
            "openat2",
            "execve",
            "execveat",
            "clone",
            "clone3",
            "fork",
            "vfork",
            "socket",
            "connect",
            "sendmsg",
            "recvmsg",
            "ptrace",
            "kill",
            "unshare",
            "mount",
            "chroot",
            "prctl",
            "bpf",
            "io_uring_setup",
            "keyctl",
            "seccomp",
        ] {
            assert!(!given.contains(&call), "{call}");
        }
    }
}
