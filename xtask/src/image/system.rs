//! The system image: the files of Debian's packages that the root's YAML
//! keeps, the libraries that they need, the overlay, the kernel's modules and
//! our programs, packed as squashfs with a dm-verity hash tree behind it.
//!
//! There is no `ld.so.cache`: all libraries lie in `/usr/lib/aarch64-linux-gnu`,
//! which Debian's loader searches by itself.

use super::board::Board;
use super::kernel::Kernel;
use super::programs::Programs;
use super::root::Root;
use super::rootfs::Origins;
use super::step::{self, Key, Steps};
use super::tree::{Node, Tree};
use super::{elf, glob};
use crate::tool::tool;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the loader looks, see `ld.so --help`.
const LIBRARIES: [&str; 2] = ["usr/lib/aarch64-linux-gnu", "usr/lib"];
/// Our files in the image.
const OURS: &str = "usr/lib/projectx";
/// dm-verity's blocks.
const BLOCK: u64 = 4096;

/// The parts of a finished system image.
#[derive(Debug)]
pub struct System {
    /// The image with its hash tree.
    pub image: PathBuf,
    /// The lines that the early stage opens it with.
    pub verity: PathBuf,
    /// Packages and their versions, for people.
    pub packages: PathBuf,
}

/// Makes it.
pub fn make(
    steps: &Steps,
    root: &Root,
    board: &Board,
    host_tar: &Path,
    kernel: &Kernel,
    programs: &Programs,
) -> Result<System> {
    let folder = steps.cache().join(format!("{}-system", board.name));
    let build_time = build_time();
    let mut key = Key::new(include_str!("system.rs"))
        .text(include_str!("tree.rs"))
        .text(include_str!("elf.rs"))
        .text(&build_time.to_string())
        .text(&kernel.system_load_list.join("\n"))
        .file(&root.yaml)?
        .folder(&root.overlay)?
        .folder(&kernel.system_modules)?
        .file(host_tar)?;
    for program in &root.programs {
        key = key.file(&programs.path(&program.name))?;
    }
    let system = System {
        image: folder.join("system.img"),
        verity: folder.join("system.verity"),
        packages: folder.join("system.txt"),
    };
    steps.make("system image", key, &folder, |new| {
        fs::create_dir_all(new)?;
        let debian = Tree::from_tar(BufReader::new(File::open(host_tar)?), |_| true)?;
        let origins = Origins::read(host_tar)?;
        let mut tree = choose("rootfs/host.yaml", &root.keep, &root.exclude, &debian)?;
        fs::write(
            new.join("system.txt"),
            packages_of(&tree, &origins, &debian, kernel)?,
        )?;
        add_licences(&mut tree, &origins, &debian);
        add_what_maintainer_scripts_would(&mut tree, root)?;
        tree.lay_over(&root.overlay)?;
        tree.lay_over(&kernel.system_modules)?;
        tree.put_file(
            &format!("{OURS}/modules.txt"),
            kernel.system_load_list.join("\n") + "\n",
        );
        tree.put_file(&format!("{OURS}/build-time"), format!("{build_time}\n"));
        for program in &root.programs {
            tree.put_program(
                &format!("{}/{}", program.folder, program.name),
                programs.read(&program.name)?,
            );
        }
        pack(&tree, &new.join("system.img"))?;
        let verity = add_hash_tree(&new.join("system.img"))?;
        fs::write(new.join("system.verity"), verity)?;
        Ok(())
    })?;
    Ok(system)
}

/// The files that `keep` names and `exclude` does not, and every library that
/// a kept program needs. `list` says in errors where the patterns stand.
pub fn choose(list: &str, keep: &[String], exclude: &[String], debian: &Tree) -> Result<Tree> {
    let mut tree = Tree::default();
    let mut todo = Vec::new();
    for pattern in keep {
        let before = todo.len();
        todo.extend(
            debian
                .iter()
                .map(|(path, _)| path.to_owned())
                .filter(|path| {
                    glob::matches(pattern, path)
                        && !exclude.iter().any(|exclude| glob::matches(exclude, path))
                }),
        );
        if todo.len() == before {
            bail!(
                "{list}: keep: nothing in the packages matches \"{pattern}\"; correct or remove it"
            );
        }
    }
    while let Some(path) = todo.pop() {
        if tree.get(&path).is_some() {
            continue;
        }
        let node = debian
            .get(&path)
            .with_context(|| format!("/{path}: is not among the unpacked files"))?;
        match node {
            Node::Link(target) => todo.push(resolve(&path, target)),
            Node::File(_, content) => {
                for name in elf::needs(content).unwrap_or_default() {
                    todo.push(find_library(debian, &name).with_context(|| {
                        format!("/{path}: needs {name}, which no package in {list} has")
                    })?);
                }
            }
            Node::Folder(_) | Node::Device(..) => {}
        }
        tree.put(&path, node.clone());
    }
    Ok(tree)
}

/// A library by its name, or the loader by its path, at which the kernel looks
/// for it: `/lib/…` is `/usr/lib/…` here.
fn find_library(debian: &Tree, name: &str) -> Option<String> {
    if let Some(path) = name.strip_prefix('/') {
        let path = format!("usr/{}", path.trim_start_matches("usr/"));
        return debian.get(&path).is_some().then_some(path);
    }
    LIBRARIES
        .iter()
        .map(|folder| format!("{folder}/{name}"))
        .find(|path| debian.get(path).is_some())
}

/// Where the link at `path` points to.
fn resolve(path: &str, target: &str) -> String {
    if let Some(absolute) = target.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut names: Vec<&str> = path.split('/').collect();
    names.pop();
    for name in target.split('/') {
        match name {
            ".." => drop(names.pop()),
            "." | "" => {}
            name => names.push(name),
        }
    }
    names.join("/")
}

/// The packages that anything in the image comes from, with versions.
fn packages_of(tree: &Tree, origins: &Origins, debian: &Tree, kernel: &Kernel) -> Result<String> {
    let mut lines: BTreeSet<String> = BTreeSet::new();
    for (path, node) in tree.iter() {
        if matches!(node, Node::Folder(_)) || debian.get(path).is_none() {
            continue;
        }
        let (name, version) = origins
            .of(path)
            .with_context(|| format!("/{path}: no package owns it"))?;
        lines.insert(format!("{name} {version}"));
    }
    lines.insert(format!("linux {}", kernel.version));
    Ok(lines.into_iter().map(|line| line + "\n").collect())
}

/// The copyright file of every package that something comes from.
fn add_licences(tree: &mut Tree, origins: &Origins, debian: &Tree) {
    let owners: BTreeSet<String> = tree
        .iter()
        .filter_map(|(path, _)| origins.of(path))
        .map(|(name, _)| name.to_owned())
        .collect();
    for package in owners {
        let path = format!("usr/share/doc/{package}/copyright");
        if let Some(node @ Node::File(..)) = debian.get(&path) {
            tree.put(&path, node.clone());
        }
    }
}

/// Links, mount points, users: what packages make when they are installed.
fn add_what_maintainer_scripts_would(tree: &mut Tree, root: &Root) -> Result<()> {
    for (link, target) in &root.links {
        tree.put(link, Node::Link(target.clone()));
    }
    for (from, to) in &root.rename {
        let content = tree.file(from)?.to_vec();
        tree.put_file(to, content);
    }
    for folder in &root.folders {
        tree.put(folder, Node::Folder(0o755));
    }
    let mut passwd = String::new();
    let mut group = String::new();
    for user in &root.users {
        let (name, id) = (&user.name, user.id);
        // There is no shell in the image; nobody logs in.
        passwd.push_str(&format!("{name}:x:{id}:{id}::{}:/nonexistent\n", user.home));
        group.push_str(&format!("{name}:x:{id}:\n"));
    }
    tree.put_file("etc/passwd", passwd);
    tree.put_file("etc/group", group);
    Ok(())
}

/// Packs a tree; the same tree gives the same bytes.
fn pack(tree: &Tree, image: &Path) -> Result<()> {
    // No level for zstd: the default here is 15, and with tar as the input
    // squashfs-tools 4.5.1 refuses every option of a compressor.
    let mut child = Command::new("mksquashfs")
        .arg("-")
        .arg(image)
        .args("-tar -noappend -quiet -no-progress -no-xattrs -comp zstd -b 128K".split(' '))
        .args("-all-root -all-time 0 -mkfs-time 0 -root-mode 0755".split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context(
            "mksquashfs: cannot be started; it is in the package squashfs-tools, version 4.5 or newer",
        )?;
    let input = child.stdin.take().context("mksquashfs has an input")?;
    let written = tree.write_tar(BufWriter::new(input));
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "mksquashfs failed ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    written.context("feeding mksquashfs")
}

/// Appends the hash tree and returns the content of `system.verity`.
fn add_hash_tree(image: &Path) -> Result<String> {
    let length = fs::metadata(image)?.len().next_multiple_of(BLOCK);
    File::options().write(true).open(image)?.set_len(length)?;
    // A salt from the content: no randomness, so the same image every time.
    let salt = step::hash_file(image)?;
    let output = tool("/usr/sbin/veritysetup", "cryptsetup-bin")
        .args(["format", "--no-superblock", "--hash=sha256", "--format=1"])
        .args([
            format!("--data-block-size={BLOCK}"),
            format!("--hash-block-size={BLOCK}"),
        ])
        .args([
            format!("--data-blocks={}", length / BLOCK),
            format!("--hash-offset={length}"),
            format!("--salt={salt}"),
        ])
        .arg(image)
        .arg(image)
        .output()?;
    let text = String::from_utf8_lossy(&output);
    let root_hash = text
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"))
        .map(str::trim)
        .context("veritysetup printed no root hash")?;
    Ok(format!(
        "data_blocks={}\nhash_offset={length}\nsalt={salt}\nroot_hash={root_hash}\n",
        length / BLOCK
    ))
}

/// Seconds since 1970 that the box, which has no clock, starts from: that of
/// SOURCE_DATE_EPOCH or of the last commit, else this morning.
fn build_time() -> u64 {
    let commit = || {
        let output = tool("git", "git")
            .args(["log", "-1", "--format=%ct"])
            .in_folder(workspace::root())
            .output();
        output
            .ok()
            .and_then(|text| String::from_utf8(text).ok())?
            .trim()
            .parse()
            .ok()
    };
    let today = || {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        now.as_secs() / 86400 * 86400
    };
    let given = std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|text| text.parse().ok());
    given.or_else(commit).unwrap_or_else(today)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_is_found_at_the_path_that_the_kernel_opens() {
        let mut debian = Tree::default();
        debian.put_file("usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1", "loader");
        let link = "aarch64-linux-gnu/ld-linux-aarch64.so.1".to_owned();
        debian.put("usr/lib/ld-linux-aarch64.so.1", Node::Link(link));
        let found = find_library(&debian, "/lib/ld-linux-aarch64.so.1");
        assert_eq!(found.as_deref(), Some("usr/lib/ld-linux-aarch64.so.1"));
    }

    #[test]
    fn a_relative_link_is_followed_from_its_own_folder() {
        assert_eq!(resolve("usr/sbin/modprobe", "../bin/kmod"), "usr/bin/kmod");
        assert_eq!(resolve("usr/lib/a/x.so", "x.so.1"), "usr/lib/a/x.so.1");
        assert_eq!(resolve("usr/lib/x", "/etc/y"), "etc/y");
    }
}
