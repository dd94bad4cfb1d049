//! Which users and groups exist inside, and as whom the host sees them.
//! Group ids are the same numbers as user ids. Source: user_namespaces(7).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, write};

use crate::spec::SpecError;
use crate::weak::{Protection, kept, shared_outside};

/// Ids of the host below this belong to the host.
const FIRST_OUTSIDE: u32 = 100_000;

/// The users inside. No id of the host's own is ever among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// One id, and it is not root.
    One {
        /// The id inside the sandbox, say 1000. Not 0.
        inside: u32,
        /// The id on the host, 100000 or more, of this sandbox alone, say 200000.
        outside: u32,
    },
    /// The ids 0 to `count - 1` inside, for a program that runs its parts, or
    /// people's requests, as users of their own.
    Range {
        /// What 0 is on the host, 100000 or more; 1 is the next, and so on.
        outside: u32,
        /// How many ids, at least 1.
        count: u32,
        /// The id inside that the program runs as. May be 0, which by itself
        /// gives it no power: see [`crate::Spec::capabilities`].
        run_as: u32,
    },
}

impl User {
    /// The id inside that the program runs as.
    pub fn run_as(self) -> u32 {
        match self {
            User::One { inside, .. } => inside,
            User::Range { run_as, .. } => run_as,
        }
    }

    /// What the id `inside` is on the host, to give it files there; `None`
    /// when no such id exists inside.
    pub fn on_host(self, inside: u32) -> Option<u32> {
        match self.shared() {
            User::One { inside: one, .. } if one != inside => None,
            User::One { outside, .. } => Some(outside),
            User::Range { count, .. } if inside >= count => None,
            User::Range { outside, .. } => outside.checked_add(inside),
        }
    }

    pub(crate) fn check(self) -> Result<(), SpecError> {
        match self {
            User::One { inside, outside } => {
                let inside_is_fine = inside != 0 && inside != u32::MAX;
                if !inside_is_fine || outside < FIRST_OUTSIDE || outside == u32::MAX {
                    return Err(SpecError::User { inside, outside });
                }
            }
            User::Range {
                outside,
                count,
                run_as,
            } => {
                // 4294967295 is no id; so the last one may be the one before.
                let end = outside.checked_add(count);
                if outside < FIRST_OUTSIDE || end.is_none() || run_as >= count {
                    return Err(SpecError::Range {
                        outside,
                        count,
                        run_as,
                    });
                }
            }
        }
        Ok(())
    }

    /// The ids as this process's sandboxes have them: these, in the product.
    pub(crate) fn in_force(self) -> User {
        let mut user = self.shared();
        if !kept(Protection::Capabilities) {
            match &mut user {
                User::One { inside: id, .. } | User::Range { run_as: id, .. } => *id = 0,
            }
        }
        user
    }

    fn shared(mut self) -> User {
        if !kept(Protection::UserRange) {
            match &mut self {
                User::One { inside, outside } => *outside = shared_outside() + *inside,
                User::Range { outside, .. } => *outside = shared_outside(),
            }
        }
        self
    }

    /// Maps the ids into the user namespace of `pid`, which waits meanwhile
    /// and is not reaped, so the pid is its own. `proc` is the host's `/proc`, which may
    /// be out of sight of this thread.
    pub(crate) fn map_into(self, proc: BorrowedFd<'_>, pid: Pid) -> nix::Result<()> {
        let line = match self {
            User::One { inside, outside } => format!("{inside} {outside} 1\n"),
            User::Range { outside, count, .. } => format!("0 {outside} {count}\n"),
        };
        for map in ["uid_map", "gid_map"] {
            let path = format!("{pid}/{map}");
            let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            let file = openat(proc, path.as_str(), flags, Mode::empty())?;
            // The kernel takes the whole of it at once or nothing.
            write(&file, line.as_bytes())?;
        }
        Ok(())
    }
}

/// The host's `/proc`, as this process first saw it.
pub(crate) fn proc() -> nix::Result<BorrowedFd<'static>> {
    static PROC: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(proc) = PROC.get() {
        return Ok(proc.as_fd());
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = open("/proc", flags, Mode::empty())?;
    Ok(PROC.get_or_init(|| opened).as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_number_on_the_host_that_the_kernel_maps_it_to() {
        let range = User::Range {
            outside: 300_000,
            count: 10,
            run_as: 5,
        };
        assert_eq!(range.on_host(0), Some(300_000));
        assert_eq!(range.on_host(9), Some(300_009));
        assert_eq!(range.on_host(10), None);
        let one = User::One {
            inside: 1000,
            outside: 200_000,
        };
        assert_eq!(one.on_host(1000), Some(200_000));
        assert_eq!(one.on_host(0), None);
    }
}
