//! Starts one program in a sandbox, or says which step failed.
//!
//! [`spawn`] takes a typed [`Spec`] and the descriptors that the program may
//! hold, and gives a running [`Child`]; [`seal`] does all of that which needs
//! no descriptor yet, and [`Sealed::start`] the rest. One `clone3` makes a user, mount, pid,
//! network, ipc and uts namespace, straight into the program's cgroup; a
//! cgroup namespace follows inside. Then come a read-only root with the
//! volumes it may keep things in, limits, no capabilities (or the few that a
//! root of its own ids keeps), no new privileges, Landlock (a hard
//! requirement) and a seccomp allowlist. What the kernel can't give is an error that names the
//! step, never silently less:
//! `sandbox console: step "pivot_root": EPERM: Operation not permitted`.
//!
//! Three rules shape the code:
//!
//! - Everything that can fail for a reason of the host's (paths, mounts, the
//!   BPF program, the Landlock ruleset) is prepared by the parent, before the
//!   clone. The root arrives in the child as detached mounts that are already
//!   read-only.
//! - The child of a raw `clone3` in a program with threads may find any lock
//!   held, the allocator's too. So it allocates nothing on its way to
//!   `execve`; only a failing Landlock step may, for its message. It uses raw
//!   system calls where glibc would signal threads that are not there
//!   (`setresuid`).
//! - Unsafe code is in `sys` alone.
//!
//! Limits of this version. `setgroups` is not set to `deny`: the
//! child uses it to drop the parent's groups, and after that it takes
//! [`Capability::SetGid`]. Root's files of the host (the root directory's, say)
//! belong to nobody inside, whatever the range. Landlock of ABI 6 sees neither
//! UDP nor connecting to a Unix socket by its path; nor does it refuse new
//! namespaces, which is the policy's matter: a process may make them if and
//! only if its policy allows `clone`, `unshare` or `setns` those flags (and a
//! policy can't look into the arguments of `clone3`). Mounting is refused to
//! everyone inside, in new namespaces too. A program that ends at once may
//! have been killed between its last step and `execve`: see its [`Exit`].
//! The child is PID 1 of its namespace, so it sees only the signals that it
//! handles, and SIGKILL.
//! The parent needs root, `/proc`, and a kernel of 6.12 or later.
//!
//! Sources: clone(2), mount_setattr(2), move_mount(2), pivot_root(2),
//! user_namespaces(7), capabilities(7), landlock(7), seccomp(2) and
//! Documentation/admin-guide/cgroup-v2.rst.

mod adopted;
mod bpf;
mod capabilities;
mod cgroup;
mod child;
mod console;
mod error;
mod filter;
mod handle;
mod ids;
mod network;
mod path_rules;
pub mod policy;
mod ready_networks;
mod ready_root;
mod root;
mod sealed;
mod spawn;
mod spec;
mod step;
mod sys;
mod volumes;
#[cfg(feature = "weak")]
pub mod weak;
#[cfg(not(feature = "weak"))]
mod weak;

pub use adopted::{AdoptError, Adopted};
pub use bpf::CompiledFault;
pub use capabilities::Capability;
pub use cgroup::{Cgroup, CpuLimit};
pub use console::{CONSOLE, CONSOLE_NAME, console_policy};
pub use error::SandboxError;
pub use handle::{Child, Dialer, Exit, kill_process};
pub use ids::User;
pub use network::{Connect, Network, Tcp, bind_tcp_early};
pub use policy::{LoadError, Policy, PolicyError};
pub use ready_networks::{keep_networks_ready, networks_ready};
pub use ready_root::ReadyRoot;
pub use sealed::Sealed;
pub use spawn::{seal, spawn, spawn_prepared};
pub use spec::{
    Access, Device, Dumpable, Entry, PathRule, Proc, Rlimits, Root, Spec, SpecError, WriteExecute,
};
pub use sys::bytes_to_read;
pub use volumes::{Scratch, Volume};
/// Is in every program that was built with the feature `weak`; in no product.
pub use weak::MARKER as WEAK_MARKER;
