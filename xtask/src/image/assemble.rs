//! One root out of its parts: the files of Debian's packages that its YAML
//! keeps, the libraries that they need, links, folders and users, the overlay
//! and our own programs.
//!
//! There is no `ld.so.cache`: libraries lie in `/usr/lib/aarch64-linux-gnu` (a
//! PC's in another), which Debian's loader searches by itself, or where a
//! program's RUNPATH says.

use super::programs::Programs;
use super::root::Root;
use super::rootfs::Origins;
use super::step::Key;
use super::tree::{Node, Tree};
use super::{elf, glob};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Where the loader looks, see `ld.so --help`. A root has the folder of one
/// machine only.
const LIBRARIES: [&str; 3] = [
    "usr/lib/aarch64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib",
];

/// A root, and where its files come from.
#[derive(Debug, Default)]
pub struct Assembled {
    /// Its files.
    pub tree: Tree,
    /// Packages that any of them is from, and their versions.
    pub packages: BTreeSet<(String, String)>,
    /// The copyright file of each of these packages.
    pub licences: BTreeMap<String, Vec<u8>>,
}

/// Everything that [`assemble`] takes its files from.
pub fn key(mut key: Key, root: &Root, tar: Option<&Path>, programs: &Programs) -> Result<Key> {
    key = key
        .text(include_str!("assemble.rs"))
        .text(include_str!("elf.rs"))
        .text(include_str!("glob.rs"))
        .text(include_str!("tree.rs"))
        .text(include_str!("root.rs"))
        .file(&root.yaml)?;
    if let Some(overlay) = &root.overlay {
        key = key.folder(overlay)?;
    }
    if let Some(tar) = tar {
        key = key.file(tar)?;
    }
    for part in root.programs.iter().chain(&root.libraries) {
        key = key.file(&programs.path(part))?;
    }
    Ok(key)
}

/// Puts the root together. `tar` holds its packages, unpacked; `None` for a
/// root that has none.
pub fn assemble(root: &Root, tar: Option<&Path>, programs: &Programs) -> Result<Assembled> {
    let mut assembled = match tar {
        Some(tar) => from_packages(root, tar)?,
        None => Assembled::default(),
    };
    let tree = &mut assembled.tree;
    add_what_maintainer_scripts_would(tree, root)?;
    if let Some(overlay) = &root.overlay {
        tree.lay_over(overlay)?;
    }
    for part in &root.programs {
        let content = programs.read(part)?;
        tree.put_program(&format!("{}/{}", part.folder, part.file_name()), content);
    }
    for part in &root.libraries {
        let content = programs.read(part)?;
        tree.put_file(&format!("{}/{}", part.folder, part.file_name()), content);
    }
    hide_programs(tree);
    Ok(assembled)
}

/// Takes everybody's right to read from programs, but not from libraries: what
/// only root may read can't be dumped or traced while it runs (`sandbox`,
/// `Dumpable`).
fn hide_programs(tree: &mut Tree) {
    for (path, node) in tree.iter_mut() {
        let name = path.rsplit('/').next().unwrap_or(path);
        if let Node::File(mode @ 0o755, content) = node
            && content.starts_with(b"\x7fELF")
            && !name.contains(".so")
        {
            *mode = 0o711;
        }
    }
}

fn from_packages(root: &Root, tar: &Path) -> Result<Assembled> {
    let file = File::open(tar).with_context(|| format!("{}: cannot be read", tar.display()))?;
    let debian = Tree::from_tar(BufReader::new(file), |_| true)?;
    let origins = Origins::read(tar)?;
    let mut tree = choose(&root.name, &root.keep, &root.exclude, &debian)?;
    let joined = concatenate(root, &debian)?;
    let mut packages = BTreeSet::new();
    let mut licences = BTreeMap::new();
    let kept = tree.iter().map(|(path, node)| (path.to_owned(), node));
    let sources = joined.iter().flat_map(|joined| &joined.sources);
    let sources = sources.filter_map(|path| Some((path.clone(), debian.get(path)?)));
    for (path, node) in kept.chain(sources) {
        // A folder may be of many packages.
        if matches!(node, Node::Folder(_)) {
            continue;
        }
        let path = path.as_str();
        let (name, version) = origins
            .of(path)
            .with_context(|| format!("/{path}: no package owns it"))?;
        packages.insert((name.to_owned(), version.to_owned()));
        if !licences.contains_key(name) {
            licences.insert(name.to_owned(), licence(&debian, name)?);
        }
    }
    for Joined { path, content, .. } in joined {
        tree.put_file(&path, content);
    }
    Ok(Assembled {
        tree,
        packages,
        licences,
    })
}

/// A file made of others.
struct Joined {
    path: String,
    content: Vec<u8>,
    sources: Vec<String>,
}

/// The files that [`Root::concatenate`] names, each of its sources on lines of
/// its own.
fn concatenate(root: &Root, debian: &Tree) -> Result<Vec<Joined>> {
    let list = root.concatenate.iter().map(|(path, pattern)| {
        let mut joined = Joined {
            path: path.clone(),
            content: Vec::new(),
            sources: Vec::new(),
        };
        for (source, node) in debian.iter() {
            if let Node::File(_, content) = node
                && glob::matches(pattern, source)
            {
                joined.content.extend_from_slice(content);
                if !content.ends_with(b"\n") {
                    joined.content.push(b'\n');
                }
                joined.sources.push(source.to_owned());
            }
        }
        if joined.sources.is_empty() {
            bail!(
                "{}: concatenate: nothing in the packages matches \"{pattern}\"; correct or remove it",
                root.name
            );
        }
        Ok(joined)
    });
    list.collect()
}

/// A package's copyright file; its folder may be a link to another package's.
fn licence(debian: &Tree, package: &str) -> Result<Vec<u8>> {
    let mut folder = format!("usr/share/doc/{package}");
    while let Some(Node::Link(target)) = debian.get(&folder) {
        folder = resolve(&folder, target);
    }
    let mut path = format!("{folder}/copyright");
    while let Some(Node::Link(target)) = debian.get(&path) {
        path = resolve(&path, target);
    }
    let file = debian.file(&path);
    Ok(file
        .with_context(|| format!("the package {package} has no copyright file"))?
        .to_vec())
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
                let Some(needs) = elf::needs(content) else {
                    tree.put(&path, node.clone());
                    continue;
                };
                for name in &needs.names {
                    let library = find_library(debian, &path, name, &needs.search);
                    todo.push(library.with_context(|| {
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
/// for it: `/lib/…` is `/usr/lib/…` here. `search` are the folders that the
/// file at `path` names itself (RUNPATH, ld.so(8)); they come first.
fn find_library(debian: &Tree, path: &str, name: &str, search: &[String]) -> Option<String> {
    if let Some(path) = name.strip_prefix('/') {
        let path = format!("usr/{}", path.trim_start_matches("usr/"));
        return debian.get(&path).is_some().then_some(path);
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let own = search.iter().map(|entry| {
        let absolute = format!("/{folder}");
        let entry = entry.replace("${ORIGIN}", &absolute);
        resolve("", &entry.replace("$ORIGIN", &absolute))
    });
    own.chain(LIBRARIES.map(str::to_owned))
        .map(|folder| format!("{folder}/{name}"))
        .find(|path| debian.get(path).is_some())
}

/// Where the link at `path` points to.
fn resolve(path: &str, target: &str) -> String {
    let mut names: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => path.split('/').collect(),
    };
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
    if root.users.is_empty() {
        return Ok(());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_is_found_at_the_path_that_the_kernel_opens() {
        let mut debian = Tree::default();
        debian.put_file("usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1", "loader");
        let link = "aarch64-linux-gnu/ld-linux-aarch64.so.1".to_owned();
        debian.put("usr/lib/ld-linux-aarch64.so.1", Node::Link(link));
        let found = find_library(&debian, "usr/bin/x", "/lib/ld-linux-aarch64.so.1", &[]);
        assert_eq!(found.as_deref(), Some("usr/lib/ld-linux-aarch64.so.1"));
    }

    #[test]
    fn a_relative_link_is_followed_from_its_own_folder() {
        assert_eq!(resolve("usr/sbin/modprobe", "../bin/kmod"), "usr/bin/kmod");
        assert_eq!(resolve("usr/lib/a/x.so", "x.so.1"), "usr/lib/a/x.so.1");
        assert_eq!(resolve("usr/lib/x", "/etc/y"), "etc/y");
    }

    #[test]
    fn a_library_in_a_folder_of_the_program_s_own_is_found() {
        let mut debian = Tree::default();
        debian.put_file("usr/lib/dovecot/libdovecot.so.0", "library");
        debian.put_file("usr/lib/aarch64-linux-gnu/libdovecot.so.0", "another");
        for entry in [
            "/usr/lib/dovecot",
            "$ORIGIN/../lib/dovecot",
            "${ORIGIN}/../lib/dovecot/",
        ] {
            let search = [entry.to_owned()];
            let found = find_library(&debian, "usr/sbin/dovecot", "libdovecot.so.0", &search);
            assert_eq!(
                found.as_deref(),
                Some("usr/lib/dovecot/libdovecot.so.0"),
                "{entry}"
            );
        }
        let found = find_library(&debian, "usr/sbin/dovecot", "libdovecot.so.0", &[]);
        let common = "usr/lib/aarch64-linux-gnu/libdovecot.so.0";
        assert_eq!(found.as_deref(), Some(common));
    }

    #[test]
    fn files_are_joined_each_on_lines_of_its_own_and_a_pattern_without_any_is_named() {
        let mut debian = Tree::default();
        debian.put_file("usr/share/ca/a.crt", "a");
        debian.put_file("usr/share/ca/b.crt", "b\n");
        debian.put_file("usr/share/ca/c.txt", "c\n");
        let mut root = Root::read(crate::workspace::root(), "tls-policy").unwrap();
        let mut join = |pattern: &str| {
            root.concatenate = vec![("/etc/all.crt".into(), pattern.into())];
            concatenate(&root, &debian)
        };
        let joined = join("/usr/share/ca/*.crt").unwrap().remove(0);
        assert_eq!(joined.path, "/etc/all.crt");
        assert_eq!(joined.content, b"a\nb\n");
        assert_eq!(joined.sources, ["usr/share/ca/a.crt", "usr/share/ca/b.crt"]);
        let error = join("/usr/share/ca/*.pem").err().unwrap().to_string();
        assert_eq!(
            error,
            "rootfs/tls-policy.yaml: concatenate: nothing in the packages matches \"/usr/share/ca/*.pem\"; correct or remove it"
        );
    }

    #[test]
    fn a_licence_is_found_where_a_package_shares_its_folder_with_another() {
        let mut debian = Tree::default();
        debian.put_file("usr/share/doc/perl/copyright", "text");
        debian.put("usr/share/doc/perl-base", Node::Link("perl".into()));
        for package in ["perl", "perl-base"] {
            assert_eq!(licence(&debian, package).unwrap(), b"text");
        }
        let error = licence(&debian, "kmod").unwrap_err().to_string();
        assert!(error.contains("kmod"), "{error}");
    }
}
