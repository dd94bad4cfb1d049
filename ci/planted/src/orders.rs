//! What the attacker can have done, an order each.

use crate::{FILE, MOST, SHARED_MEMORY, STAYS, STAYS_FOR, hex, scan, sys};
use channels::deliver::{self, Outcome};
use channels::tls_sign::{self, Reply, Request};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(1);
/// Descriptors are looked for below this number.
const DESCRIPTORS: RawFd = 4096;

/// Does it, and says what came of it.
///
/// # Errors
/// What refused it.
pub(crate) fn carry_out(order: &str, message: &[u8]) -> io::Result<String> {
    let words: Vec<&str> = order.split(' ').collect();
    let done = |()| "did".to_owned();
    match words[..] {
        // Before and after: its own memory, all of it.
        ["memory", prefix] => {
            let found = scan::secrets(prefix, message);
            let found: Vec<String> = found.into_iter().collect();
            Ok(format!("found {}", found.join(" ")))
        }
        // To stay.
        ["fork"] => sys::fork_sleeper(STAYS, Duration::from_secs(STAYS_FOR))
            .map(done)
            .map_err(Into::into),
        ["thread"] => {
            let thread = std::thread::Builder::new().name(STAYS.into());
            let sleep = || std::thread::sleep(Duration::from_secs(STAYS_FOR));
            thread.spawn(sleep).map(|_| "did".into())
        }
        ["file", ref folders @ ..] => first(folders, |folder| {
            File::create_new(Path::new(folder).join(FILE)).map(|_| format!("did {folder}"))
        }),
        ["shared-memory"] => sys::shared_memory(SHARED_MEMORY)
            .map(done)
            .map_err(Into::into),
        // Others: their files, memory, descriptors, themselves.
        ["read", ref paths @ ..] => first(paths, |path| {
            let bytes = fs::read(path)?;
            Ok(format!("did {}", hex(&bytes[..bytes.len().min(MOST)])))
        }),
        ["memory-of", pid, address, length] => {
            let mut bytes = vec![0; number::<usize>(length)?.min(MOST)];
            let from = [RemoteIoVec {
                base: number(address)?,
                len: bytes.len(),
            }];
            let into = &mut [IoSliceMut::new(&mut bytes)];
            let count = process_vm_readv(Pid::from_raw(number(pid)?), into, &from)?;
            Ok(format!("did {}", hex(&bytes[..count])))
        }
        ["descriptor-of", pid, fd] => {
            let copy = sys::descriptor_of(number(pid)?, number(fd)?)?;
            let waiting = sys::peek(copy.as_raw_fd()).unwrap_or_default();
            let peer = sys::peer(copy.as_raw_fd());
            let peer = peer.map_or_else(|| "nobody".into(), |peer| peer.ip().to_string());
            Ok(format!("did {peer} {}", hex(&waiting)))
        }
        ["descriptors"] => Ok(descriptors()),
        ["signal", pid] => {
            let pid = Pid::from_raw(number(pid)?);
            nix::sys::signal::kill(pid, None)
                .map(done)
                .map_err(Into::into)
        }
        // The network.
        ["connect", to] => TcpStream::connect_timeout(&address(to)?, WAIT).map(|_| "did".into()),
        ["datagram", to] => {
            let to = address(to)?;
            let any = SocketAddr::from(([0, 0, 0, 0], 0));
            UdpSocket::bind(any)?.send_to(FILE.as_bytes(), to)?;
            Ok("did".into())
        }
        ["reconnect", name, to] => {
            let to = address(to)?;
            sys::reconnect(passed(name)?, to)
                .map(done)
                .map_err(Into::into)
        }
        ["listen", at] => {
            let listener = TcpListener::bind(address(at)?)?;
            // It stays open, so that one may look who hears it.
            std::mem::forget(listener);
            Ok("did".into())
        }
        // Powers.
        ["executable"] => sys::executable().map(done).map_err(Into::into),
        ["mount"] => {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let (none, kind) = (None::<&str>, Some("tmpfs"));
            mount(kind, "/", kind, MsFlags::empty(), none)
                .map(done)
                .map_err(Into::into)
        }
        // Its own channels, used otherwise than meant.
        ["deliver", recipient] => {
            let mut gate = UnixStream::from(own(deliver::NAME)?);
            gate.set_read_timeout(Some(WAIT))?;
            let sent = deliver::send(&mut gate, "", &[recipient.to_owned()], message);
            Ok(match sent {
                Ok(Outcome::Delivered) => "did".into(),
                Ok(Outcome::Refused(_)) => "refused".into(),
                Ok(Outcome::Later(_)) => "put off".into(),
                Err(_) => "no answer".into(),
            })
        }
        ["sign"] => {
            let mut signer = UnixStream::from(own(tls_sign::NAME)?);
            signer.set_read_timeout(Some(WAIT))?;
            let transcript_hash = "ab".repeat(32);
            let asked = tls_sign::ask(&mut signer, &Request::Tls13 { transcript_hash });
            Ok(match asked {
                Ok(Reply::Signature { .. }) => "did".into(),
                Ok(_) => "refused".into(),
                Err(_) => "no answer".into(),
            })
        }
        _ => Ok("unknown order".into()),
    }
}

/// The first of them that works, or why the last does not.
fn first(among: &[&str], work: impl Fn(&str) -> io::Result<String>) -> io::Result<String> {
    let mut last = Err(ErrorKind::InvalidInput.into());
    for one in among {
        last = work(one);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// What is open beyond what was passed, in words: how the kinds of it are called.
fn descriptors() -> String {
    let passed = std::env::var("LISTEN_FDS").unwrap_or_default();
    let passed: RawFd = passed.parse().unwrap_or_default();
    let own = passed_names()
        .iter()
        .position(|name| name == "connection")
        .and_then(|at| sys::peer(channels::passed::FIRST + at as RawFd))
        .map(|peer| peer.ip());
    let beyond = channels::passed::FIRST + passed;
    let open = (beyond..DESCRIPTORS).filter(|fd| sys::is_open(*fd));
    let kind = |fd| match sys::peer(fd) {
        _ if sys::listens(fd) => "a listener",
        Some(peer) if Some(peer.ip()) == own => "its own connection",
        Some(_) => "a connection of somebody else",
        None => "something else",
    };
    let kinds: BTreeSet<&str> = open.map(kind).collect();
    let kinds: Vec<&str> = kinds.into_iter().collect();
    format!("found {}", kinds.join(", "))
}

fn passed_names() -> Vec<String> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    names.split(':').map(str::to_owned).collect()
}

/// The number of the descriptor that was passed under this name.
fn passed(name: &str) -> io::Result<RawFd> {
    let names = passed_names();
    let at = names.iter().position(|known| known == name);
    let at = at.ok_or(ErrorKind::NotFound)?;
    Ok(channels::passed::FIRST + at as RawFd)
}

/// A copy of the descriptor that was passed under this name.
fn own(name: &str) -> io::Result<OwnedFd> {
    sys::copy(passed(name)?).map_err(Into::into)
}

fn address(text: &str) -> io::Result<SocketAddr> {
    text.parse().map_err(|_| ErrorKind::InvalidInput.into())
}

fn number<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| ErrorKind::InvalidInput.into())
}
