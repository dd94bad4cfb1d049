//! The internet of a native box: a network namespace in which root name servers
//! and mail servers have their addresses, and a cable from there to the box.
//!
//! 128.66.0.0/16 is nobody's (xtask/src/scenarios/mail/internet.rs says why it
//! is taken); the addresses of the root servers are the real ones, as Unbound
//! has them in its hints. Neither network has a way to the host's.

use crate::names;
use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The box's interface.
pub(crate) const CABLE: &str = "wan";
/// The box.
pub const BOX: Ipv4Addr = Ipv4Addr::new(128, 66, 0, 25);
const ROUTER: Ipv4Addr = Ipv4Addr::new(128, 66, 0, 1);
/// The last numbers of the addresses 128.66.1.x from which one may send: for
/// each there is a name both ways, and [`names::DOMAIN`] lets it send.
pub const SENDERS: std::ops::RangeInclusive<u8> = 1..=16;

/// The address of a sender.
pub(crate) fn sender(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(128, 66, 1, number)
}

/// The name of the sender with the address 128.66.1.`number`.
pub fn sender_name(number: u8) -> String {
    format!("mail{number}.{}", names::DOMAIN)
}

/// The internet, as long as the process lives.
#[derive(Debug)]
pub(crate) struct World {
    /// `None` when the internet was made by others.
    internet: Option<File>,
}

impl World {
    /// One that was made outside.
    pub(crate) fn outside() -> Result<Self> {
        ip("link set lo up")?;
        Ok(Self { internet: None })
    }

    /// Makes it, with a name server at each address of `hints`.
    pub(crate) fn make(hints: &str) -> Result<Self> {
        ip("link set lo up")?;
        let roots = names::roots(hints);
        let table = names::Table::new(&roots);
        let (tell, made) = mpsc::channel();
        let (go, begin) = mpsc::channel::<()>();
        let addresses: Vec<Ipv4Addr> = roots.iter().map(|(_, address)| *address).collect();
        std::thread::Builder::new()
            .name("names".into())
            .spawn(move || {
                let namespace = settle(&addresses);
                let settled = namespace.is_ok();
                tell.send(namespace).ok();
                if settled && begin.recv().is_ok() {
                    names::serve(&addresses, &table);
                }
            })?;
        let internet = made.recv().context("the internet's thread")??;
        // The far end is moved there by a process that is there.
        let cable = format!("link add {CABLE} type veth peer name box netns");
        let id = internet.1;
        ip(&format!("{cable} {id}"))?;
        ip(&format!("address add {BOX}/24 dev {CABLE}"))?;
        ip(&format!("link set {CABLE} up"))?;
        ip(&format!("route add default via {ROUTER}"))?;
        let world = Self {
            internet: Some(internet.0),
        };
        world.visit(|| {
            ip(&format!("address add {ROUTER}/24 dev box"))?;
            ip("link set box up")
        })?;
        go.send(()).ok();
        Ok(world)
    }

    /// Shows the internet's network namespace at this path, if it is here.
    pub(crate) fn show(&self, path: &Path) -> Result<()> {
        use std::os::fd::AsRawFd;
        let Some(internet) = &self.internet else {
            return Ok(());
        };
        File::create(path).with_context(|| path.display().to_string())?;
        let from = format!("/proc/self/fd/{}", internet.as_raw_fd());
        mount(
            Some(from.as_str()),
            path,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .with_context(|| format!("mount: {}", path.display()))
    }

    /// Whether a port of the box answers a connection from the internet, or from
    /// the box itself when the internet is not here.
    pub(crate) fn reaches(&self, port: u16) -> bool {
        let address = SocketAddr::from((BOX, port));
        let connect = || {
            Ok(TcpStream::connect_timeout(
                &address,
                Duration::from_secs(1),
            )?)
        };
        self.visit(connect).is_ok()
    }

    /// Runs `work` on a thread in the internet.
    fn visit<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                if let Some(internet) = &self.internet {
                    setns(internet, CloneFlags::CLONE_NEWNET)?;
                }
                work()
            });
            thread.join().expect("the thread does not panic")
        })
    }
}

/// Makes the calling thread's network the internet, and says which thread that is.
fn settle(roots: &[Ipv4Addr]) -> Result<(File, i32)> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    ip("link set lo up")?;
    for address in SENDERS.map(sender).chain(roots.iter().copied()) {
        ip(&format!("address add {address}/32 dev lo"))?;
    }
    let namespace = File::open("/proc/thread-self/ns/net")?;
    Ok((namespace, nix::unistd::gettid().as_raw()))
}

fn ip(words: &str) -> Result<()> {
    let output = Command::new("/usr/sbin/ip")
        .args(words.split(' '))
        .stdin(Stdio::null())
        .output()
        .context("ip (package iproute2)")?;
    ensure!(
        output.status.success(),
        "ip {words}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
