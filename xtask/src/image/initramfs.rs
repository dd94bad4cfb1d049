//! The initramfs: PID 1, the early stage, the modules that reach the card and
//! the root hash of the system image, as a newc cpio archive packed with zstd.
//! Format: Documentation/driver-api/early-userspace/buffer-format.rst.

use super::board::Board;
use super::kernel::Kernel;
use super::programs::Programs;
use super::root::{Program, ProgramKind};
use super::step::{Key, Steps};
use super::system::System;
use super::tree::{Node, Tree};
use crate::tool::tool;
use anyhow::{Context, Result};
use std::io::Write;
use std::path::PathBuf;

/// Our programs in it, which run as PID 1.
pub fn programs() -> [Program; 2] {
    ["init", "early"].map(|name| Program {
        kind: ProgramKind::Program,
        name: name.to_owned(),
        package: "init".to_owned(),
        folder: "/".to_owned(),
    })
}

/// Makes it.
pub fn make(
    steps: &Steps,
    board: &Board,
    kernel: &Kernel,
    system: &System,
    programs: &Programs,
) -> Result<PathBuf> {
    let mut key = Key::new(include_str!("initramfs.rs"))
        .text(include_str!("tree.rs"))
        .file(&system.verity)?;
    for program in self::programs() {
        key = key.file(&programs.path(&program))?;
    }
    for module in &kernel.initramfs_modules {
        key = key.text(&module.to_string_lossy()).file(module)?;
    }
    let output = steps.cache().join(format!("{}-initrd", board.name));
    steps.make("initramfs", key, &output, |new| {
        let mut tree = Tree::default();
        for program in self::programs() {
            tree.put_program(&program.name, programs.read(&program)?);
        }
        tree.put_file("system.verity", std::fs::read(&system.verity)?);
        let mut list = String::new();
        for module in &kernel.initramfs_modules {
            let name = module
                .file_name()
                .context("a module has a name")?
                .to_string_lossy();
            let content = std::fs::read(module)
                .with_context(|| format!("{}: cannot be read", module.display()))?;
            tree.put_file(&format!("modules/{name}"), content);
            list.push_str(&format!("/modules/{name}\n"));
        }
        tree.put_file("modules.txt", list);
        for folder in ["dev", "proc", "sys", "run", "sysroot"] {
            tree.put(folder, Node::Folder(0o755));
        }
        // The kernel opens it for PID 1 before anything is mounted.
        tree.put("dev/console", Node::Device(0o600, 5, 1));
        let archive = super::step::sibling(new, ".cpio");
        let mut file = std::io::BufWriter::new(std::fs::File::create(&archive)?);
        write_newc(&tree, &mut file)?;
        file.flush()?;
        drop(file);
        tool("zstd", "zstd")
            .args(["-q", "-19", "--rm", "-f", "-o"])
            .arg(new)
            .arg(&archive)
            .run()?;
        Ok(())
    })?;
    Ok(output)
}

/// Writes a tree as a newc archive. Numbers, times and owners are the same on
/// every host.
pub fn write_newc(tree: &Tree, out: &mut impl Write) -> Result<()> {
    const FOLDER: u32 = 0o040_000;
    const FILE: u32 = 0o100_000;
    const LINK: u32 = 0o120_000;
    const CHARACTER: u32 = 0o020_000;
    let mut number = 0;
    for (path, node) in tree.iter() {
        number += 1;
        let (mode, content, device) = match node {
            Node::Folder(mode) => (FOLDER | mode, [].as_slice(), (0, 0)),
            Node::File(mode, content) => (FILE | mode, content.as_slice(), (0, 0)),
            Node::Link(target) => (LINK | 0o777, target.as_bytes(), (0, 0)),
            Node::Device(mode, major, minor) => (CHARACTER | mode, [].as_slice(), (*major, *minor)),
        };
        entry(out, path, number, mode, content, device)?;
    }
    entry(out, "TRAILER!!!", 0, 0, &[], (0, 0))
}

fn entry(
    out: &mut impl Write,
    path: &str,
    number: u32,
    mode: u32,
    content: &[u8],
    device: (u32, u32),
) -> Result<()> {
    let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
    let size = u32::try_from(content.len())
        .with_context(|| format!("{path}: larger than newc can say"))?;
    let name_size = u32::try_from(path.len() + 1)?;
    // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    let fields = [
        number, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0,
    ];
    let mut header = String::from("070701");
    for field in fields {
        header.push_str(&format!("{field:08x}"));
    }
    out.write_all(header.as_bytes())?;
    out.write_all(path.as_bytes())?;
    out.write_all(&[0; 4][..1 + padding(header.len() + path.len() + 1)])?;
    out.write_all(content)?;
    out.write_all(&[0; 4][..padding(content.len())])?;
    Ok(())
}

/// Bytes missing to a multiple of four.
fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut tree = Tree::default();
        tree.put_program("init", b"program".to_vec());
        tree.put("dev/console", Node::Device(0o600, 5, 1));
        tree.put("lib", Node::Link("usr/lib".into()));
        let mut archive = Vec::new();
        write_newc(&tree, &mut archive).unwrap();
        archive
    }

    #[test]
    fn the_archive_begins_with_a_golden_header() {
        let expected = "070701000000010000 41ed 00000000 00000000 00000002 00000000 00000000 00000000 00000000 \
                        00000000 00000000 00000004 00000000 dev"
            .replace(' ', "");
        assert_eq!(
            String::from_utf8_lossy(&sample()[..expected.len()]),
            expected
        );
    }

    #[test]
    fn every_header_and_content_is_aligned_to_four_bytes() {
        let archive = sample();
        let starts: Vec<usize> = archive
            .windows(6)
            .enumerate()
            .filter(|(_, bytes)| bytes == b"070701")
            .map(|(at, _)| at)
            .collect();
        assert_eq!(starts.len(), 5);
        assert!(starts.iter().all(|at| at % 4 == 0), "{starts:?}");
        assert_eq!(archive.len() % 4, 0);
    }

    #[test]
    fn cpio_itself_reads_the_archive() {
        let Ok(mut cpio) = std::process::Command::new("cpio")
            .args(["--list", "--verbose", "--quiet", "--numeric-uid-gid"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
        else {
            return; // Not every host has it; the header test above always runs.
        };
        cpio.stdin.take().unwrap().write_all(&sample()).unwrap();
        let text = String::from_utf8(cpio.wait_with_output().unwrap().stdout).unwrap();
        let modes: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| Some((line.split(' ').next()?, line.rsplit(' ').next()?)))
            .collect();
        assert_eq!(
            modes,
            [
                ("drwxr-xr-x", "dev"),
                ("crw-------", "dev/console"),
                ("-rwxr-xr-x", "init"),
                ("lrwxrwxrwx", "usr/lib")
            ]
        );
    }
}
