//! Debian's kernel: the Image packed with gzip (U-Boot's `booti` takes it and
//! reads less from the card), and the modules that the board names, with all
//! that they need and the indexes that depmod makes.

use super::board::Board;
use super::step::{Key, Steps};
use super::tree::{Node, Tree};
use crate::tool::tool;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where the parts of the kernel are.
#[derive(Debug)]
pub struct Kernel {
    /// Its version, like `6.12.1-arm64`.
    pub version: String,
    /// The packed Image.
    pub image: PathBuf,
    /// A root with `usr/lib/modules/VERSION`: what the system image holds.
    pub system_modules: PathBuf,
    /// Files of the initramfs's modules in load order.
    pub initramfs_modules: Vec<PathBuf>,
    /// Paths in the system image, in load order.
    pub system_load_list: Vec<String>,
}

/// Takes the kernel out of the board's packages.
pub fn make(steps: &Steps, board: &Board, board_tar: &Path) -> Result<Kernel> {
    let whole = steps.cache().join(format!("{}-kernel", board.name));
    let key = Key::new(include_str!("kernel.rs")).file(board_tar)?;
    steps.make("kernel", key, &whole, |new| unpack(board_tar, new))?;
    let version =
        fs::read_to_string(whole.join("version")).context("the unpacked kernel has no version")?;
    let modules = whole.join("usr/lib/modules").join(&version);
    let index = Index::read(&modules)?;

    let lists = &board.modules;
    let initramfs = index.load_order(&lists.initramfs)?;
    let system = index.load_order(&lists.system)?;
    let mut kept: BTreeSet<String> = system.iter().cloned().collect();
    kept.extend(index.load_order(&lists.extra)?);
    for folder in &lists.folders {
        let before = kept.len();
        kept.extend(index.below(folder));
        if kept.len() == before {
            bail!(
                "boards/{}/board.yaml: the kernel has no modules in \"{folder}\"",
                board.name
            );
        }
    }
    // The initramfs is gone when the system runs; depmod and modprobe shall
    // not miss what is loaded already.
    kept.extend(initramfs.iter().cloned());

    let system_modules = steps.cache().join(format!("{}-modules", board.name));
    let key = Key::new(include_str!("kernel.rs"))
        .file(board_tar)?
        .text(&format!("{kept:?}"));
    steps.make("modules", key, &system_modules, |new| {
        select(&modules, &version, &kept, new)
    })?;
    Ok(Kernel {
        image: whole.join("Image.gz"),
        system_modules,
        initramfs_modules: initramfs.iter().map(|path| modules.join(path)).collect(),
        system_load_list: system
            .iter()
            .map(|path| format!("/usr/lib/modules/{version}/{path}"))
            .collect(),
        version,
    })
}

/// Unpacks Image and all modules, and lets depmod index them.
fn unpack(board_tar: &Path, new: &Path) -> Result<()> {
    let file = File::open(board_tar)
        .with_context(|| format!("{}: cannot be read", board_tar.display()))?;
    let tree = Tree::from_tar(BufReader::new(file), |path| {
        path.starts_with("usr/lib/modules/") || path.starts_with("boot/vmlinuz-")
    })?;
    let mut version = None;
    for (path, node) in tree.iter() {
        let Node::File(_, content) = node else {
            continue;
        };
        if let Some(name) = path.strip_prefix("boot/vmlinuz-") {
            if content.get(0x38..0x3c) != Some(b"ARM\x64") {
                bail!("/{path}: not a plain arm64 Image, which U-Boot's booti wants");
            }
            version = Some(name.to_owned());
            fs::create_dir_all(new)?;
            fs::write(new.join("Image"), content)?;
        } else {
            let to = new.join(path);
            fs::create_dir_all(to.parent().context("a module has a folder")?)?;
            fs::write(to, content)?;
        }
    }
    let version = version.context("the board's packages hold no kernel; name one in board.yaml")?;
    depmod(new, &version)?;
    tool("gzip", "gzip")
        .args(["-9", "--no-name"])
        .arg(new.join("Image"))
        .run()?;
    fs::write(new.join("version"), version)?;
    Ok(())
}

/// Copies the chosen modules and indexes them.
fn select(modules: &Path, version: &str, kept: &BTreeSet<String>, new: &Path) -> Result<()> {
    let folder = new.join("usr/lib/modules").join(version);
    let lists = [
        "modules.builtin",
        "modules.builtin.modinfo",
        "modules.order",
    ]
    .map(str::to_owned);
    for path in kept.iter().chain(&lists) {
        let to = folder.join(path);
        fs::create_dir_all(to.parent().context("a module has a folder")?)?;
        fs::copy(modules.join(path), &to).with_context(|| format!("{path}: cannot be copied"))?;
    }
    depmod(new, version)?;
    // Only depmod reads these two; modprobe uses the .bin indexes.
    fs::remove_file(folder.join("modules.order"))?;
    fs::remove_file(folder.join("modules.builtin.modinfo"))?;
    fs::remove_file(new.join("lib"))?;
    Ok(())
}

fn depmod(root: &Path, version: &str) -> Result<()> {
    // depmod looks in /lib/modules below the root.
    symlink("usr/lib", root.join("lib"))?;
    tool("/usr/sbin/depmod", "kmod")
        .arg("--basedir")
        .arg(root)
        .arg(version)
        .run()?;
    Ok(())
}

/// What depmod found out.
#[derive(Debug, Default)]
struct Index {
    /// Module name → path below the version's folder.
    paths: BTreeMap<String, String>,
    /// Path → what it needs, in the order in which modprobe loads it.
    needs: BTreeMap<String, Vec<String>>,
    /// Module name → names that it wants loaded before.
    wants: BTreeMap<String, Vec<String>>,
    /// Names of what is in the kernel itself.
    builtin: BTreeSet<String>,
}

impl Index {
    fn read(modules: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = modules.join(name);
            fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))
        };
        Ok(Self::parse(
            &read("modules.dep")?,
            &read("modules.softdep")?,
            &read("modules.builtin")?,
        ))
    }

    fn parse(dep: &str, softdep: &str, builtin: &str) -> Self {
        let mut index = Self::default();
        for (path, needs) in dep.lines().filter_map(|line| line.split_once(':')) {
            index.paths.insert(name_of(path), path.to_owned());
            // modules.dep lists the last to load first.
            index.needs.insert(
                path.to_owned(),
                needs.split_whitespace().rev().map(str::to_owned).collect(),
            );
        }
        for line in softdep
            .lines()
            .filter_map(|line| line.strip_prefix("softdep "))
        {
            let mut words = line.split_whitespace();
            let Some(module) = words.next() else { continue };
            let before = words
                .skip_while(|word| *word != "pre:")
                .skip(1)
                .take_while(|word| *word != "post:");
            index
                .wants
                .entry(name_of(module))
                .or_default()
                .extend(before.map(name_of));
        }
        index.builtin = builtin.lines().map(name_of).collect();
        index
    }

    /// The paths to load, each after what it needs, each once.
    fn load_order(&self, names: &[String]) -> Result<Vec<String>> {
        let mut order = Vec::new();
        for name in names {
            self.add(&name_of(name), true, &mut order)?;
        }
        Ok(order)
    }

    fn add(&self, name: &str, must: bool, order: &mut Vec<String>) -> Result<()> {
        let Some(path) = self.paths.get(name) else {
            if must && !self.builtin.contains(name) {
                bail!("the kernel has no module \"{name}\"; correct the name in board.yaml");
            }
            return Ok(());
        };
        if order.contains(path) {
            return Ok(());
        }
        for wanted in self.wants.get(name).into_iter().flatten() {
            self.add(wanted, false, order)?;
        }
        for needed in &self.needs[path] {
            self.add(&name_of(needed), true, order)?;
        }
        if !order.contains(path) {
            order.push(path.clone());
        }
        Ok(())
    }

    /// Everything in a folder, with all that it needs.
    fn below(&self, folder: &str) -> BTreeSet<String> {
        let inside = self
            .needs
            .iter()
            .filter(|(path, _)| path.starts_with(&format!("{folder}/")));
        inside
            .flat_map(|(path, needs)| needs.iter().chain([path]).cloned())
            .collect()
    }
}

/// `kernel/fs/nls/nls_utf8.ko.xz` → `nls_utf8`; dashes and underscores are one.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        Index::parse(
            "kernel/a/dm-verity.ko.xz: kernel/a/dm-bufio.ko.xz kernel/a/dm-mod.ko.xz\n\
             kernel/a/dm-bufio.ko.xz: kernel/a/dm-mod.ko.xz\nkernel/a/dm-mod.ko.xz:\nkernel/b/sha.ko.xz:\n",
            "# comment\nsoftdep dm_verity pre: sha gone post: later\n",
            "kernel/c/virtio_pci.ko\n",
        )
    }

    #[test]
    fn a_module_is_loaded_after_what_it_needs_and_wants() {
        let order = index().load_order(&["dm_verity".into()]).unwrap();
        assert_eq!(
            order,
            [
                "kernel/b/sha.ko.xz",
                "kernel/a/dm-mod.ko.xz",
                "kernel/a/dm-bufio.ko.xz",
                "kernel/a/dm-verity.ko.xz"
            ]
        );
    }

    #[test]
    fn a_module_in_the_kernel_itself_needs_no_file() {
        assert!(
            index()
                .load_order(&["virtio_pci".into()])
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_module_that_does_not_exist_is_an_error_with_its_name() {
        let error = index()
            .load_order(&["bcm9999_wdt".into()])
            .unwrap_err()
            .to_string();
        assert!(error.contains("bcm9999_wdt"), "{error}");
    }
}
