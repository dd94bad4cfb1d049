//! What the parts of the host say to each other, and nothing else.
//!
//! Three conversations are defined here so that both ends compile against one
//! text: the console with the supervisor (a stream of JSON lines, one request
//! and one reply at a time, [`wire`]), the program `projectx` with the supervisor
//! (the same, but for root and on a socket of its own, [`sandboxes`]), and the
//! supervisor with PID 1 (single bytes on a `SOCK_SEQPACKET` pair, [`pid1`]). The
//! crate opens no file and no socket.

pub mod addresses;
pub mod damage;
pub mod inbound;
pub mod messages;
pub mod outbound;
pub mod people;
pub mod pid1;
pub mod records;
pub mod recovery_key;
pub mod sandboxes;
pub mod secret;
pub mod wire;

pub use addresses::{AddressesRequest, OtherAddresses};
pub use damage::{Damage, DamageKind};
pub use inbound::{Inbound, InboundRequest, Reports};
pub use messages::{Disk, Refusal, Reply, Request, Status};
pub use outbound::{Outbound, OutboundRequest};
pub use people::PeopleRequest;
pub use records::{Records, RecordsRequest};
pub use recovery_key::{RecoveryKey, Typo};
pub use secret::Secret;
