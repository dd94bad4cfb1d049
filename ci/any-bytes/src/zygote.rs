//! What SpamAssassin's zygote answers to the supervisor, which is root: the zygote
//! has loaded code of others.

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
use std::os::fd::AsRawFd;
use std::time::Duration;
use zygote::client::Zygote as Client;

/// No packet without descriptors is a child, and an error is one short printable line.
/// Packets are divided by line ends.
///
/// # Panics
/// When that does not hold.
pub fn zygote(input: &[u8]) {
    let (kind, flags) = (SockType::SeqPacket, SockFlag::SOCK_CLOEXEC);
    let pair = socketpair(AddressFamily::Unix, kind, None, flags);
    let (ours, theirs) = pair.expect("a pair of sockets");
    for packet in input.split(|byte| *byte == b'\n').take(16) {
        send(theirs.as_raw_fd(), packet, MsgFlags::MSG_DONTWAIT).expect("room");
    }
    // Nothing is waited for.
    drop(theirs);
    let mut client = Client::from_socket(ours);
    let most = Duration::from_millis(20);
    let mut errors = Vec::new();
    match client.wait_ready(most) {
        Ok(()) => assert!(input == b"R" || input.starts_with(b"R\n")),
        Err(error) => errors.push(error.to_string()),
    }
    // It must be able to ask, and then finds the next packet.
    errors.push(client.fork(&[], most).expect_err("no child").to_string());
    for said in errors {
        assert!(said.len() < 4096 && said.bytes().all(|b| (b' '..=b'~').contains(&b)));
    }
}
