//! Plays a zygote (zygote/src/protocol.rs): its children are this program anew,
//! with their socket at 0 and the first descriptor that they are handed at 1.

use super::sys;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::process::{Command, Stdio};
use zygote::protocol::{CHILD, FORK, MOST_HANDED, READY};

/// Makes a child for each command until the control socket closes; `verb` says
/// what a child does.
pub fn serve(control: &OwnedFd, name: &str, verb: &str) -> io::Result<()> {
    send(control, READY, &[])?;
    while let Some(handed) = command(control)? {
        let (family, kind) = (AddressFamily::Unix, SockType::Stream);
        let (theirs, ours) = socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)?;
        let first = handed.into_iter().next();
        let mut child = Command::new("/probe")
            .args([name, verb])
            .env_clear()
            .stdin(ours)
            .stdout(first.map_or_else(Stdio::null, Stdio::from))
            .spawn()?;
        let pidfd = sys::pidfd_open(child.id())?;
        std::thread::spawn(move || child.wait());
        send(control, CHILD, &[theirs.as_raw_fd(), pidfd.as_raw_fd()])?;
    }
    Ok(())
}

fn send(control: &OwnedFd, packet: u8, along: &[RawFd]) -> io::Result<()> {
    let rights = [ControlMessage::ScmRights(along)];
    let along = if along.is_empty() { &[][..] } else { &rights };
    let bytes = [packet];
    let slices = [IoSlice::new(&bytes)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(control.as_raw_fd(), &slices, along, flags, None)?;
    Ok(())
}

/// What came along with the next command; `None` when there is none any more.
fn command(control: &OwnedFd) -> io::Result<Option<Vec<OwnedFd>>> {
    let mut bytes = [0; 2];
    let mut space = nix::cmsg_space!([RawFd; MOST_HANDED]);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(control.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
    let mut handed = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            handed.extend(numbers.into_iter().map(sys::owned));
        }
    }
    let length = message.bytes;
    Ok((bytes[..length] == [FORK]).then_some(handed))
}
