//! What crosses the control socket, a `SOCK_SEQPACKET` Unix socket: one
//! packet is one message.
//!
//! | from | packet | meaning |
//! | --- | --- | --- |
//! | zygote | `R` | the rules are loaded |
//! | supervisor | `F` with up to four descriptors | make a child that has them |
//! | zygote | `C` with two descriptors | the child's socket and its pidfd |
//! | zygote | `E` and text | no child, and why |
//!
//! The end of the socket ends the zygote and, with its pid namespace, every
//! child.

/// The name of the control socket in `LISTEN_FDNAMES`.
pub const CONTROL: &str = "control";

/// A child is wanted.
pub const FORK: u8 = b'F';

/// The zygote is loaded.
pub const READY: u8 = b'R';

/// Here is a child: its socket and its pidfd come along.
pub const CHILD: u8 = b'C';

/// There is no child; text follows.
pub const ERROR: u8 = b'E';

/// Descriptors that may come along with [`FORK`].
pub const MOST_HANDED: usize = 4;

/// Where a child finds the first of them; the others follow.
pub const FIRST_HANDED: i32 = 5;

/// Bytes of the longest packet.
pub const MOST_BYTES: usize = 512;

/// Children that may live at once.
pub const MOST_CHILDREN: usize = 32;

/// Bytes of the longest message that a child reads.
pub const MOST_MESSAGE: usize = 512 * 1024;
