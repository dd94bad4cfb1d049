//! The programs that others run: Debian's, unpacked for this machine into a
//! tree of their own and started in it by chroot(1). So the host needs none of
//! them, its own mail server and name server are not touched, and Exim,
//! Postfix and OpenSMTPD, which Debian does not install beside each other, all
//! take part.
//!
//! Nothing is configured by the packages; what a program needs lies in the
//! folder that is shared with it at [`WORLD`].

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where the test's folder is in a tree.
pub const WORLD: &str = "/world";
const USERS: &str = "\
root:x:0:0::/:/bin/sh
Debian-exim:x:101:101::/:/bin/false
postfix:x:102:102::/:/bin/false
opensmtpd:x:104:104::/:/bin/false
opensmtpq:x:105:105::/:/bin/false
postgrey:x:106:106::/:/bin/false
letters:x:107:107::/:/bin/false
nobody:x:65534:65534::/:/bin/false
";
const GROUPS: &str = "\
root:x:0:
Debian-exim:x:101:
postfix:x:102:
postdrop:x:103:
opensmtpd:x:104:
opensmtpq:x:105:
postgrey:x:106:
letters:x:107:
nogroup:x:65534:
";
/// The number of the user and the group `Debian-exim` in a tree.
pub const EXIM: u32 = 101;
/// The number of the user `postfix`.
pub const POSTFIX: u32 = 102;
/// The number of the group `postdrop`.
pub const POSTDROP: u32 = 103;
/// The number of the group `opensmtpq`.
const OPENSMTPQ: u32 = 105;
/// The number of the user and the group `postgrey`.
pub const POSTGREY: u32 = 106;
/// The number of the user and the group that what arrives is stored for.
pub const LETTERS: u32 = 107;

/// The authorities that programs in a tree believe by themselves.
pub(crate) const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Which tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peers {
    /// Everything but what follows: Knot, Unbound, chrony, nginx, Exim, postgrey,
    /// swaks, mbsync, curl, Python.
    Internet,
    /// Postfix.
    Postfix,
    /// OpenSMTPD.
    OpenSmtpd,
}

impl Peers {
    fn name(self) -> &'static str {
        match self {
            Self::Internet => "internet",
            Self::Postfix => "postfix",
            Self::OpenSmtpd => "opensmtpd",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Internet => &[
                "knot",
                "knot-dnsutils",
                "dns-root-data",
                "unbound",
                "unbound-host",
                "chrony",
                "nginx-light",
                "exim4-daemon-light",
                "postgrey",
                "swaks",
                "libio-socket-ssl-perl",
                "libnet-ssleay-perl",
                "isync",
                "curl",
                "openssl",
                "python3",
                "python3-dkim",
            ],
            Self::Postfix => &["postfix"],
            // It delivers into a Maildir by a shell's command.
            Self::OpenSmtpd => &["opensmtpd", "dash"],
        }
    }
}

/// A tree of programs.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Unpacks the tree below `target/foreign` if it is not there. Remove that
    /// folder to take newer packages. Needs Debian's mirror and the program
    /// mmdebstrap, so not for inside of a test's world.
    ///
    /// # Errors
    /// When the packages cannot be had.
    pub fn unpack(which: Peers) -> Result<Self> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let folder = target.join("foreign");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let folder = folder.canonicalize()?;
        let tree = Self {
            root: folder.join(which.name()),
        };
        // Tests are processes of their own, and several may need it at once.
        let lock = File::create(folder.join(format!("{}.lock", which.name())))?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
        let list = folder.join(format!("{}.txt", which.name()));
        let wanted = which.packages().join(",");
        // What is done to the tree below counts as well.
        let key = format!("{wanted}\n{}", include_str!("tree.rs"));
        if fs::read_to_string(&list).is_ok_and(|had| had == key) {
            return Ok(tree);
        }
        if tree.root.exists() {
            fs::remove_dir_all(&tree.root).with_context(|| tree.root.display().to_string())?;
        }
        let output = Command::new("mmdebstrap")
            .args(["--quiet", "--variant=extract"])
            .arg(format!("--include={wanted}"))
            .arg("trixie")
            .arg(&tree.root)
            .stdin(Stdio::null())
            .output()
            .context("starting mmdebstrap (package mmdebstrap)")?;
        ensure!(
            output.status.success(),
            "mmdebstrap --include={wanted} ended ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        tree.finish()
            .with_context(|| format!("the tree {}", which.name()))?;
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
            "etc/ssl/certs",
            "var/spool/smtpd",
            "var/log/nginx",
        ] {
            fs::create_dir_all(self.root.join(folder))?;
        }
        let run = self.root.join("var/run");
        if run.symlink_metadata().is_err() {
            symlink("/run", run)?;
        }
        // Places to mount on.
        for file in [
            "etc/exim4/exim4.conf",
            "etc/smtpd.conf",
            "etc/resolv.conf",
            AUTHORITIES,
        ] {
            File::create(self.root.join(file.trim_start_matches('/')))?;
        }
        fs::write(self.root.join("etc/passwd"), USERS)?;
        fs::write(self.root.join("etc/group"), GROUPS)?;
        fs::write(self.root.join("etc/nsswitch.conf"), "hosts: files dns\n")?;
        fs::write(self.root.join("etc/hosts"), "127.0.0.1 localhost\n")?;
        // Set-group-id programs, which unpacking leaves with a group by number.
        for (program, group) in [
            ("usr/sbin/postdrop", POSTDROP),
            ("usr/sbin/postqueue", POSTDROP),
            ("usr/sbin/smtpctl", OPENSMTPQ),
        ] {
            let path = self.root.join(program);
            if path.exists() {
                chown(&path, Some(0), Some(group))?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o2755))?;
            }
        }
        Ok(())
    }

    /// Makes the tree ready for programs and shares `folder` with them. The
    /// mounts go with the calling thread's mount namespace, which must be its own.
    ///
    /// # Errors
    /// When the caller is not root.
    pub fn enter(&self, folder: &Path) -> Result<()> {
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
    ///
    /// # Errors
    /// When either is not there.
    pub fn lay_over(&self, what: &Path, path: &str) -> Result<()> {
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
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &str) -> Result<String> {
        let path = self.root.join(path.trim_start_matches('/'));
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// A program of the tree.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command.env("LC_ALL", "C").arg(&self.root).args(words);
        command
    }

    /// Runs a program with `input` and returns what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn feed(&self, words: &[&str], input: &[u8]) -> Result<Vec<u8>> {
        let mut command = self.command(words);
        let child = with_pipes(&mut command)
            .spawn()
            .context("starting chroot")?;
        feed(child, words, input)
    }
}

/// Lets all of a program's standard streams be pipes.
pub(crate) fn with_pipes(command: &mut Command) -> &mut Command {
    let command = command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// Gives `input` to a program that was started with pipes, waits for its end
/// and returns what it printed.
pub(crate) fn feed(mut child: Child, words: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut stdin = child.stdin.take().context("a pipe")?;
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output()?;
    // A program that did not read it all says so by its status.
    let _ = writer.join();
    if !output.status.success() {
        bail!(
            "{} ended ({}):\n{}{}",
            words.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output.stdout)
}

/// Lets everybody pass through a folder.
pub(crate) fn open_to_all(folder: &Path) -> Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
        .with_context(|| folder.display().to_string())
}
