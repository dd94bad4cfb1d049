//! Network and mount namespaces without names, so that nothing has to be
//! removed: each is there as long as a descriptor or a process holds it.
//!
//! All programs are in one pid namespace, whose first process reads from a pipe
//! until it ends. It ends with the process that made it, however that ends, and
//! the kernel then ends all others; network and mounts go with the last of them.

use crate::daemon::{Daemon, prepare};
use crate::tree::{feed, with_pipes};
use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

/// A pid namespace.
#[derive(Debug)]
pub(crate) struct Pids {
    first: Child,
    pipe: Option<ChildStdin>,
    file: Arc<File>,
}

impl Pids {
    pub(crate) fn make() -> Result<Self> {
        let (mut first, file) = on_a_thread(|| {
            // Of the children of this thread, the first of which is its init.
            unshare(CloneFlags::CLONE_NEWPID).context("a pid namespace, which needs root")?;
            let mut cat = Command::new("cat");
            let cat = cat.stdin(Stdio::piped()).stdout(Stdio::null());
            let first = cat.spawn().context("starting cat (package coreutils)")?;
            Ok((first, File::open("/proc/thread-self/ns/pid_for_children")?))
        })?;
        let pipe = first.stdin.take();
        Ok(Self {
            first,
            pipe,
            file: Arc::new(file),
        })
    }

    /// Its inode, by which it is told from others (namespaces(7)).
    pub(crate) fn inode(&self) -> Result<u64> {
        use std::os::unix::fs::MetadataExt;
        Ok(self.file.metadata()?.ino())
    }
}

impl Drop for Pids {
    fn drop(&mut self) {
        // It ends last, when all others were ended. Fails when it is gone already.
        drop(self.pipe.take());
        let _ = self.first.wait();
    }
}

/// A network and what is mounted in it.
#[derive(Debug)]
pub(crate) struct Namespace {
    net: File,
    mounts: File,
    pids: Arc<File>,
}

impl Namespace {
    /// A network with nothing but 127.0.0.1, and mounts that are its own.
    pub(crate) fn make(pids: &Pids) -> Result<Self> {
        let made = on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
                .context("making namespaces, which needs root")?;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
            ip("link set lo up")?;
            Ok((
                File::open("/proc/thread-self/ns/net")?,
                File::open("/proc/thread-self/ns/mnt")?,
            ))
        });
        let (net, mounts) = made?;
        Ok(Self {
            net,
            mounts,
            pids: Arc::clone(&pids.file),
        })
    }

    /// Does `work` on a thread that is there. It may start programs, which are
    /// then in the pid namespace too, but no threads.
    pub(crate) fn visit<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_a_thread(|| {
            // A thread that shares its working folder may not change its mounts.
            unshare(CloneFlags::CLONE_FS)?;
            setns(&self.net, CloneFlags::CLONE_NEWNET)?;
            setns(&self.mounts, CloneFlags::CLONE_NEWNS)?;
            setns(&*self.pids, CloneFlags::CLONE_NEWPID)?;
            work()
        })
    }

    /// Starts a program that is to run on; both its outputs go to `log`.
    pub(crate) fn daemon(&self, mut command: Command, log: &Path) -> Result<Daemon> {
        let words = format!("starting {command:?}");
        prepare(&mut command, log)?;
        let child = self.visit(|| command.spawn().context(words))?;
        Ok(Daemon::of(child))
    }

    /// Runs a program to its end with `input` and returns what it printed.
    pub(crate) fn feed(&self, mut command: Command, input: &[u8]) -> Result<Vec<u8>> {
        let words = format!("{command:?}");
        let child = self.visit(|| with_pipes(&mut command).spawn().context("starting chroot"))?;
        feed(child, &[&words], input)
    }

    /// Its network.
    pub(crate) fn net(&self) -> &File {
        &self.net
    }

    /// Runs ip(8) in it.
    pub(crate) fn ip(&self, words: &str) -> Result<()> {
        self.visit(|| ip(words))
    }
}

/// Lays a cable from `here`, where its end is called `name`, to `there`, where
/// it is called `far`, both ends up. What `there` has at its end is `address`,
/// and everything goes through it; `here` reaches it at that address.
pub(crate) fn lay_cable(
    here: &Namespace,
    name: &str,
    there: &File,
    far: &str,
    address: Ipv4Addr,
    router: Ipv4Addr,
) -> Result<()> {
    let fd = there.as_raw_fd();
    // As /proc has it, which may be another pid namespace's.
    let process = fs::read_link("/proc/self")?;
    here.visit(|| {
        // ip takes the path of a namespace that has no name.
        let place = format!("/proc/{}/fd/{fd}", process.display());
        ip(&format!(
            "link add {name} type veth peer name {far} netns {place}"
        ))?;
        ip(&format!("link set {name} up"))?;
        ip(&format!("route add {address}/32 dev {name}"))
    })?;
    on_a_thread(|| {
        setns(there, CloneFlags::CLONE_NEWNET)?;
        ip(&format!("address add {address}/32 dev {far}"))?;
        ip(&format!("link set {far} up"))?;
        ip(&format!("route add {router}/32 dev {far}"))?;
        ip(&format!("route add default via {router} dev {far}"))
    })
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(work);
        thread.join().expect("the thread does not panic")
    })
}

fn ip(words: &str) -> Result<()> {
    let output = Command::new("ip")
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
