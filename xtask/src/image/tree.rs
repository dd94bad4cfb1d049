//! A file tree in memory: what goes into an image before it is packed. It is
//! read from tar streams and folders, edited, and written as tar or newc.
//! Owners and times are not kept: in our images everything is root's, and
//! times are the same for all.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A folder and its mode.
    Folder(u32),
    /// A file, its mode and its content.
    File(u32, Vec<u8>),
    /// A symbolic link and its target.
    Link(String),
    /// A character device, its mode, major and minor.
    Device(u32, u32, u32),
}

/// A tree; paths have no leading slash.
#[derive(Clone, Debug, Default)]
pub struct Tree(BTreeMap<String, Node>);

impl Tree {
    /// Reads the entries of a tar stream whose path `wanted` accepts. Hard
    /// links become copies; devices and the like are left out.
    pub fn from_tar(stream: impl Read, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let mut tree = Self::default();
        let mut archive = tar::Archive::new(stream);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = clean(&entry.path()?.to_string_lossy());
            if path.is_empty() || !wanted(&path) {
                continue;
            }
            let mode = entry.header().mode()? & 0o777;
            let kind = entry.header().entry_type();
            let target = entry
                .link_name()?
                .map(|name| name.to_string_lossy().into_owned());
            let node = match (kind, target) {
                (tar::EntryType::Directory, _) => Node::Folder(0o755),
                (tar::EntryType::Symlink, Some(target)) => Node::Link(target),
                (tar::EntryType::Link, Some(target)) => match tree.0.get(&clean(&target)) {
                    Some(first) => first.clone(),
                    None => continue,
                },
                (tar::EntryType::Regular, _) => {
                    let mut content =
                        Vec::with_capacity(usize::try_from(entry.size()).unwrap_or(0));
                    entry
                        .read_to_end(&mut content)
                        .with_context(|| format!("{path} in the tar"))?;
                    Node::File(if mode & 0o111 == 0 { 0o644 } else { 0o755 }, content)
                }
                _ => continue,
            };
            tree.put(&path, node);
        }
        Ok(tree)
    }

    /// Lays every file below `folder` over the tree.
    pub fn lay_over(&mut self, folder: &Path) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        for file in super::step::files_below(folder)? {
            let path = clean(&file.strip_prefix(folder)?.to_string_lossy());
            let meta = std::fs::symlink_metadata(&file)?;
            let node = if meta.is_symlink() {
                Node::Link(std::fs::read_link(&file)?.to_string_lossy().into_owned())
            } else {
                let content = std::fs::read(&file)
                    .with_context(|| format!("{}: cannot be read", file.display()))?;
                Node::File(
                    if meta.permissions().mode() & 0o111 == 0 {
                        0o644
                    } else {
                        0o755
                    },
                    content,
                )
            };
            self.put(&path, node);
        }
        Ok(())
    }

    /// Puts a node, and the folders above it, replacing what was there.
    pub fn put(&mut self, path: &str, node: Node) {
        let path = clean(path);
        let mut above = path.as_str();
        while let Some((folder, _)) = above.rsplit_once('/') {
            self.0
                .entry(folder.to_owned())
                .or_insert(Node::Folder(0o755));
            above = folder;
        }
        self.0.insert(path, node);
    }

    /// Puts a file of mode 0644.
    pub fn put_file(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.put(path, Node::File(0o644, content.into()));
    }

    /// Puts a program, mode 0755.
    pub fn put_program(&mut self, path: &str, content: Vec<u8>) {
        self.put(path, Node::File(0o755, content));
    }

    /// What is at `path`, links not followed.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.0.get(path.trim_start_matches('/'))
    }

    /// The content of the file at `path`, or an error that names it.
    pub fn file(&self, path: &str) -> Result<&[u8]> {
        match self.get(path) {
            Some(Node::File(_, content)) => Ok(content),
            _ => bail!(
                "/{}: is not among the unpacked files",
                path.trim_start_matches('/')
            ),
        }
    }

    /// Every path and node, folders before what is in them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Node)> {
        self.0.iter_mut().map(|(path, node)| (path.as_str(), node))
    }

    /// Writes it as a tar stream.
    pub fn write_tar(&self, stream: impl Write) -> Result<()> {
        let mut archive = tar::Builder::new(stream);
        for (path, node) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(0);
            match node {
                Node::Folder(mode) => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_mode(*mode);
                    archive.append_data(&mut header, path, std::io::empty())?;
                }
                Node::File(mode, content) => {
                    header.set_mode(*mode);
                    header.set_size(content.len() as u64);
                    archive.append_data(&mut header, path, content.as_slice())?;
                }
                Node::Link(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    archive.append_link(&mut header, path, target)?;
                }
                Node::Device(mode, major, minor) => {
                    header.set_entry_type(tar::EntryType::Char);
                    header.set_mode(*mode);
                    header.set_device_major(*major)?;
                    header.set_device_minor(*minor)?;
                    archive.append_data(&mut header, path, std::io::empty())?;
                }
            }
        }
        archive.into_inner()?.flush()?;
        Ok(())
    }

    /// Writes it below a new folder, owned by who calls. There are no devices
    /// in what is laid out so.
    pub fn write_to(&self, folder: &Path) -> Result<()> {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let set =
            |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        fs::create_dir_all(folder)?;
        // Other users read it too, whatever the umask is.
        set(folder, 0o755)?;
        for (name, node) in &self.0 {
            let path = folder.join(name);
            match node {
                Node::Folder(mode) => fs::create_dir(&path).and_then(|()| set(&path, *mode)),
                Node::File(mode, content) => {
                    fs::write(&path, content).and_then(|()| set(&path, *mode))
                }
                Node::Link(target) => symlink(target, &path),
                Node::Device(..) => bail!("/{name}: a device cannot be laid out"),
            }
            .with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

/// A path without `./` and slashes at its ends.
fn clean(path: &str) -> String {
    path.split('/')
        .filter(|name| !name.is_empty() && *name != ".")
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_comes_back_from_its_own_tar() {
        let mut tree = Tree::default();
        tree.put_program("usr/bin/a", b"program".to_vec());
        tree.put("bin", Node::Link("usr/bin".into()));
        tree.put("data", Node::Folder(0o755));
        let mut stream = Vec::new();
        tree.write_tar(&mut stream).unwrap();
        let back = Tree::from_tar(stream.as_slice(), |_| true).unwrap();
        assert_eq!(back.0, tree.0);
    }

    #[test]
    fn a_tree_that_is_laid_out_has_its_links_and_modes() {
        use std::os::unix::fs::PermissionsExt;
        let mut tree = Tree::default();
        tree.put_program("usr/bin/a", b"program".to_vec());
        tree.put("bin", Node::Link("usr/bin".into()));
        tree.put("empty", Node::Folder(0o555));
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("new");
        tree.write_to(&new).unwrap();
        assert_eq!(fs::read(new.join("bin/a")).unwrap(), b"program");
        let mode = |path: &str| fs::metadata(new.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode("usr/bin/a"), mode("empty"), mode("usr")),
            (0o755, 0o555, 0o755)
        );
        tree.put("dev/null", Node::Device(0o666, 1, 3));
        let error = tree.write_to(&folder.path().join("other")).unwrap_err();
        assert!(error.to_string().contains("/dev/null"), "{error}");
    }

    #[test]
    fn folders_above_a_file_come_before_it() {
        let mut tree = Tree::default();
        tree.put_file("usr/lib/x/y", "z");
        let paths: Vec<&str> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["usr", "usr/lib", "usr/lib/x", "usr/lib/x/y"]);
    }
}
