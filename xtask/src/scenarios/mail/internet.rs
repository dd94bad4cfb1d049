//! The rest of the world, seen from the box: everything is behind its router
//! and in one network namespace with it. Addresses of the internet are
//! addresses of that namespace's loopback interface, so what the box sends to
//! a root name server arrives, and nothing goes any further.
//!
//! 128.66.0.0/16 is nobody's: once set aside as a network for tests, never
//! given to anyone. The blocks for documents (RFC 5737) would not do: Unbound
//! answers for their reverse names itself, and SpamAssassin counts them.

use crate::tool::tool;
use anyhow::Result;
use std::net::Ipv4Addr;

/// The box in the home network, always with this address.
pub(super) const BOX: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 100);
/// The name server of every zone below the root.
pub(super) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(128, 66, 0, 53);

/// A mail server of the world: where it sends from, and its name both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Host {
    /// Its address.
    pub(super) address: Ipv4Addr,
    /// Its name.
    pub(super) name: &'static str,
}

/// Postfix.
pub(super) const POSTFIX: Host = host(10, "postfix.sender.example");
/// Exim.
pub(super) const EXIM: Host = host(11, "exim.sender.example");
/// swaks, where [`super::zone`] lets messages come from.
pub(super) const MAIL: Host = host(12, "mail.sender.example");
/// A host whose address is in nobody's SPF record.
pub(super) const STRANGER: Host = host(99, "stranger.example");
/// All of them.
pub(super) const HOSTS: [Host; 4] = [POSTFIX, EXIM, MAIL, STRANGER];

const fn host(last: u8, name: &'static str) -> Host {
    Host {
        address: Ipv4Addr::new(128, 66, 1, last),
        name,
    }
}

/// Gives this namespace the addresses of the world, with those of `roots`.
pub(super) fn settle(roots: &[Ipv4Addr]) -> Result<()> {
    let hosts = HOSTS.map(|host| host.address);
    for address in roots.iter().chain(&hosts).chain([&NAME_SERVER]) {
        let address = format!("{address}/32");
        tool("ip", "iproute2")
            .args(["address", "add", &address, "dev", "lo"])
            .run()?;
    }
    Ok(())
}
