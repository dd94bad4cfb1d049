//! The guest that the benches of mail compare the box with: Debian's own
//! Postfix, spamd and Dovecot on the box's kernel. It is for measuring only and
//! no part of any image.
//!
//! Packages are unpacked like the box's, and no maintainer script runs: what
//! those would have made lies in `ci/rival`. The root is one read-only squashfs
//! without a hash tree; what changes is on a second disk behind dm-crypt with
//! the box's cipher.

use super::architecture::Architecture;
use super::kernel::{self, Kernel};
use super::root::Packages;
use super::squashfs::pack;
use super::step::{Key, Steps};
use super::tree::{Node, Tree};
use super::{board, rootfs, write_newc};
use crate::tool::tool;
use crate::workspace;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Debian's packages, each with all that it depends on.
const PACKAGES: [&str; 10] = [
    "postfix",
    "spamd",
    "spamc",
    "spamass-milter",
    "dovecot-core",
    "dovecot-imapd",
    "dovecot-lmtpd",
    "cryptsetup-bin", // opens the disk
    "e2fsprogs",      // makes its file system
    "busybox-static", // the shell, and the tools of the scripts in ci/rival
];
/// What nothing reads at run time.
const LEFT_OUT: [&str; 4] = [
    "usr/share/doc/",
    "usr/share/man/",
    "usr/share/locale/",
    "px-packages.txt",
];
/// Mount points and folders that a maintainer script would make.
const FOLDERS: [&str; 12] = [
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "root",
    "disk",
    "home",
    "var/spool",
    "var/lib",
    "var/log",
    "var/mail",
];

/// The files that QEMU starts the rival from.
#[derive(Debug)]
pub struct Rival {
    /// The box's kernel.
    pub kernel: PathBuf,
    /// Its initramfs, with the test agent in front (`rdinit=/agent`).
    pub initramfs: PathBuf,
    /// The root, for the first disk.
    pub system: PathBuf,
}

/// Makes them, or as many as have changed.
pub fn make(agent: &[u8]) -> Result<Rival> {
    let steps = Steps::new(&workspace::cache())?;
    // The card's own board: kernel and modules come from the cache then.
    let board = board::Board::read(workspace::root(), "rpi3")?;
    let board_tar = rootfs::extract(&steps, "board packages", &board.packages, None)?;
    let kernel = kernel::make(&steps, &board, &board_tar)?;
    let wanted = Packages {
        suite: "trixie".into(),
        components: vec!["main".into()],
        with_dependencies: PACKAGES.map(String::from).to_vec(),
        alone: Vec::new(),
        architecture: Architecture::Arm64,
    };
    let tar = rootfs::extract(&steps, "rival packages", &wanted, None)?;
    Ok(Rival {
        initramfs: initramfs(&steps, &kernel, &tar, agent)?,
        system: system(&steps, &tar)?,
        kernel: kernel.image,
    })
}

fn system(steps: &Steps, tar: &Path) -> Result<PathBuf> {
    let overlay = workspace::root().join("ci/rival/root");
    let image = steps.cache().join("rival-system.img");
    let key = Key::new(include_str!("rival.rs"))
        .file(tar)?
        .folder(&overlay)?;
    steps.make("rival's root", key, &image, |new| {
        let mut tree = Tree::from_tar(BufReader::new(File::open(tar)?), |path| {
            !LEFT_OUT.iter().any(|folder| path.starts_with(folder))
        })?;
        for link in ["bin", "sbin", "lib"] {
            tree.put(link, Node::Link(format!("usr/{link}")));
        }
        tree.put("usr/bin/sh", Node::Link("busybox".into()));
        tree.put("var/run", Node::Link("/run".into()));
        for folder in FOLDERS {
            tree.put(folder, Node::Folder(0o755));
        }
        tree.lay_over(&overlay)?;
        certificate(&mut tree)?;
        pack(&tree, new)
    })?;
    Ok(image)
}

/// A self-signed certificate with the kind of key that the box has, instead of
/// the RSA key of Debian's ssl-cert, which costs a server more.
fn certificate(tree: &mut Tree) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (key, certificate) = (folder.path().join("key"), folder.path().join("pem"));
    tool("openssl", "openssl")
        .args(["req", "-x509", "-nodes", "-days", "3650"])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-subj", "/CN=mail.home.example", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .run()?;
    let secret = Node::File(0o600, fs::read(&key)?);
    tree.put("etc/ssl/private/mail.key", secret);
    tree.put_file("etc/ssl/certs/mail.pem", fs::read(&certificate)?);
    Ok(())
}

fn initramfs(steps: &Steps, kernel: &Kernel, tar: &Path, agent: &[u8]) -> Result<PathBuf> {
    let init = workspace::root().join("ci/rival/init");
    let system_modules = kernel
        .system_load_list
        .iter()
        .map(|path| kernel.system_modules.join(path.trim_start_matches('/')));
    let mut names = BTreeSet::new();
    let modules: Vec<PathBuf> = kernel
        .initramfs_modules
        .iter()
        .cloned()
        .chain(system_modules)
        .filter(|path| names.insert(path.file_name().map(ToOwned::to_owned)))
        .collect();
    let mut key = Key::new(include_str!("rival.rs"))
        .file(tar)?
        .file(&init)?
        .bytes(agent);
    for module in &modules {
        key = key.text(&module.to_string_lossy()).file(module)?;
    }
    let output = steps.cache().join("rival-initrd");
    steps.make("rival's initramfs", key, &output, |new| {
        let mut tree = Tree::default();
        tree.put_program("agent", agent.to_vec());
        tree.put_program("init", fs::read(&init)?);
        let debian = Tree::from_tar(BufReader::new(File::open(tar)?), |path| {
            path == "usr/bin/busybox"
        })?;
        tree.put_program("bin/busybox", debian.file("usr/bin/busybox")?.to_vec());
        let mut list = String::new();
        for module in &modules {
            let name = module.file_name().context("a module has a name")?;
            let path = format!("modules/{}", name.to_string_lossy().trim_end_matches(".xz"));
            // Busybox's insmod hands the kernel plain modules only.
            let plain = tool("xz", "xz-utils")
                .args(["--decompress", "--stdout"])
                .arg(module)
                .output()?;
            tree.put_file(&path, plain);
            list.push_str(&format!("/{path}\n"));
        }
        tree.put_file("modules.txt", list);
        for folder in ["dev", "proc", "sys", "sysroot", "test"] {
            tree.put(folder, Node::Folder(0o755));
        }
        tree.put("dev/console", Node::Device(0o600, 5, 1));
        let archive = super::step::sibling(new, ".cpio");
        let mut file = BufWriter::new(File::create(&archive)?);
        write_newc(&tree, &mut file)?;
        file.flush()?;
        drop(file);
        tool("zstd", "zstd")
            .args(["-q", "-3", "--rm", "-f", "-o"])
            .arg(new)
            .arg(&archive)
            .run()?;
        Ok(())
    })?;
    Ok(output)
}
