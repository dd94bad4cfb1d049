//! The programs that others run: Debian's, unpacked for this machine into a
//! tree of their own and started in it by chroot(1). So the host needs none of
//! them, its own mail server and name server are not touched, and Exim and
//! Postfix, which Debian does not install beside each other, both take part.
//!
//! Nothing is configured by the packages; what a program needs lies in the
//! folder that is shared with it at `/world`.

use super::internet::BOX;
use super::readers::SERVER;
use crate::tool::{Tool, tool};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where the test's folder is in a tree.
pub(super) const WORLD: &str = "/world";
const USERS: &str = "\
root:x:0:0::/:/bin/sh
Debian-exim:x:101:101::/:/bin/false
postfix:x:102:102::/:/bin/false
nobody:x:65534:65534::/:/bin/false
";
const GROUPS: &str = "\
root:x:0:
Debian-exim:x:101:
postfix:x:102:
postdrop:x:103:
nogroup:x:65534:
";
/// The number of the user and the group `Debian-exim` in a tree.
pub(super) const EXIM: u32 = 101;
/// The number of the user `postfix`.
pub(super) const POSTFIX: u32 = 102;
/// The number of the group `postdrop`.
pub(super) const POSTDROP: u32 = 103;

/// Everything but Postfix.
const INTERNET: &[&str] = &[
    "knot",
    "knot-dnsutils",
    "dns-root-data",
    "unbound",
    "exim4-daemon-light",
    "swaks",
    "libio-socket-ssl-perl",
    "libnet-ssleay-perl",
    "isync",
    "curl",
    "python3",
    "python3-dkim",
];
const POSTFIX_PACKAGES: &[&str] = &["postfix"];

/// Which tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peers {
    /// Knot, Exim, swaks, mbsync, curl, Python.
    Internet,
    /// Postfix.
    Postfix,
}

/// A tree of programs.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Unpacks the tree if it is not there. Remove `target/peers` to take newer
    /// packages. Needs the network, so not for inside of the test's world.
    pub(super) fn unpack(which: Peers) -> Result<Self> {
        let (name, packages) = match which {
            Peers::Internet => ("internet", INTERNET),
            Peers::Postfix => ("postfix", POSTFIX_PACKAGES),
        };
        let folder = workspace::target().join("peers");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let tree = Self {
            root: folder.join(name),
        };
        let list = folder.join(format!("{name}.txt"));
        let wanted = packages.join(",");
        // What is done to the tree below counts as well.
        let key = format!("{wanted}\n{}", include_str!("peers.rs"));
        if fs::read_to_string(&list).is_ok_and(|had| had == key) {
            return Ok(tree);
        }
        if tree.root.exists() {
            fs::remove_dir_all(&tree.root).with_context(|| tree.root.display().to_string())?;
        }
        tool("mmdebstrap", "mmdebstrap")
            .args(["--quiet", "--variant=extract"])
            .arg(format!("--include={wanted}"))
            .arg("trixie")
            .arg(&tree.root)
            .run()?;
        tree.finish().with_context(|| format!("the tree {name}"))?;
        fs::write(&list, key)?;
        Ok(tree)
    }

    /// What maintainer scripts would have made.
    fn finish(&self) -> Result<()> {
        for link in ["bin", "sbin", "lib", "lib64"] {
            let path = self.root.join(link);
            if path.symlink_metadata().is_err() {
                symlink(format!("usr/{link}"), path)?;
            }
        }
        for folder in [
            "proc",
            "dev",
            "run",
            "tmp",
            "world",
            "etc/postfix",
            "etc/exim4",
        ] {
            fs::create_dir_all(self.root.join(folder))?;
        }
        // A place to mount on.
        File::create(self.root.join("etc/exim4/exim4.conf"))?;
        fs::write(self.root.join("etc/passwd"), USERS)?;
        fs::write(self.root.join("etc/group"), GROUPS)?;
        fs::write(self.root.join("etc/nsswitch.conf"), "hosts: files\n")?;
        fs::write(self.root.join("etc/hosts"), format!("{BOX} {SERVER}\n"))?;
        // Set-group-id programs, which unpacking leaves with a group by number.
        for program in ["usr/sbin/postdrop", "usr/sbin/postqueue"] {
            let path = self.root.join(program);
            if path.exists() {
                chown(&path, Some(0), Some(POSTDROP))?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o2755))?;
            }
        }
        Ok(())
    }

    /// Makes the tree ready for programs and shares `folder` with them. The
    /// mounts go with this process's mount namespace, which must be its own.
    pub(super) fn enter(&self, folder: &Path) -> Result<()> {
        let at = |path: &str| self.root.join(path.trim_start_matches('/'));
        let none = None::<&str>;
        mount(
            Some("proc"),
            &at("proc"),
            Some("proc"),
            MsFlags::empty(),
            none,
        )?;
        for place in ["dev", "run", "tmp"] {
            mount(
                Some("tmpfs"),
                &at(place),
                Some("tmpfs"),
                MsFlags::empty(),
                Some("mode=1777"),
            )?;
        }
        for (name, minor) in [("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)] {
            let path = at("dev").join(name);
            mknod(&path, SFlag::S_IFCHR, Mode::empty(), makedev(1, minor))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
        }
        // Unbound takes it for a system with systemd, whose socket it was passed.
        fs::create_dir_all(at("run/systemd/system"))?;
        self.lay_over(folder, WORLD)
    }

    /// Puts a file or folder of the host over one of the tree.
    pub(super) fn lay_over(&self, what: &Path, path: &str) -> Result<()> {
        let onto = self.root.join(path.trim_start_matches('/'));
        mount(
            Some(what),
            &onto,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .with_context(|| format!("mounting {} on {}", what.display(), onto.display()))
    }

    /// A file of the tree.
    pub(super) fn read(&self, path: &str) -> Result<String> {
        let path = self.root.join(path.trim_start_matches('/'));
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// A program of the tree, to be run to its end.
    pub(super) fn tool(&self, program: &str) -> Tool {
        tool("chroot", "coreutils")
            .env("LC_ALL", "C")
            .arg(&self.root)
            .arg(program)
    }

    /// The same, to be given input, or to be watched.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command.env("LC_ALL", "C").arg(&self.root).args(words);
        command
    }

    /// Runs a program with `input` and returns what it printed.
    pub(super) fn feed(&self, words: &[&str], input: &[u8]) -> Result<Vec<u8>> {
        use std::io::Write;
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting chroot")?;
        let mut stdin = child.stdin.take().context("a pipe")?;
        let input = input.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output()?;
        // A program that did not read it all says so by its status.
        let _ = writer.join();
        ensure!(
            output.status.success(),
            "{} ended ({}):\n{}{}",
            words.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output.stdout)
    }
}

/// A program that runs until it is dropped.
#[derive(Debug)]
pub(super) struct Daemon(Child);

impl Daemon {
    /// Starts it; both its outputs go to `log`.
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::create(log).with_context(|| log.display().to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stderr(out.try_clone()?)
            .stdout(out)
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        Ok(Self(child))
    }

    /// An error if it has ended.
    pub(super) fn still_runs(&mut self) -> Result<()> {
        let ended = self.0.try_wait()?;
        ensure!(ended.is_none(), "it ended: {ended:?}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
