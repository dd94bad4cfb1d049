//! The zygote's root, as the box has it, from the host's own architecture's
//! packages: what `rootfs/spamassassin.yaml` lists, the overlay and
//! libzygote.so. Beside it lies the whole package tree, for comparison.

use nix::fcntl::{Flock, FlockArg};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The packages; `perl-base` and `perl` come with SpamAssassin.
const PACKAGES: &str = "perl-base,perl,spamassassin,libc6,libjemalloc2";

/// What the builder adds to a root by itself: the libraries that a kept file
/// is linked with, and the dynamic linker.
const LIBRARIES: [&str; 6] = [
    "usr/lib/*-linux-gnu/libc.so.6",
    "usr/lib/*-linux-gnu/libm.so.6",
    "usr/lib/*-linux-gnu/libcrypt.so.1*",
    "usr/lib/*-linux-gnu/libstdc++.so.6*",
    "usr/lib/*-linux-gnu/ld-linux*",
    "usr/lib64/ld-linux*",
];

/// Rules that hit only if a charset was decoded, in both trees.
const RULES: (&str, &str) = ("etc/spamassassin/charsets.cf", include_str!("charsets.cf"));

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs a program that the test needs.
pub fn run(program: &str, arguments: &[&str]) {
    let output = match Command::new(program).args(arguments).output() {
        Ok(output) => output,
        Err(e) => panic!("{program}: {e}; this test needs it, so install it"),
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
}

/// Debian's packages, unpacked once and kept, with our configuration in place
/// of Debian's `65_debian.cf` and `local.cf`. Stock in everything else.
pub fn packages() -> &'static Path {
    static TREE: OnceLock<PathBuf> = OnceLock::new();
    TREE.get_or_init(|| {
        let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("spamassassin-packages");
        // Each test may be a process: one makes the tree, the others wait.
        let lock = fs::File::create(tree.with_extension("lock")).unwrap();
        let _one = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
        if !tree.exists() {
            let part = tree.with_extension("part");
            let path = part.to_str().unwrap();
            run("rm", &["-rf", path]);
            let include = format!("--include={PACKAGES}");
            run(
                "mmdebstrap",
                &["--quiet", "--variant=extract", &include, "trixie", path],
            );
            link_folders(&part);
            fs::remove_file(part.join("etc/spamassassin/65_debian.cf")).unwrap();
            fs::rename(&part, &tree).unwrap();
        }
        let ours = repository().join("overlays/spamassassin/etc/spamassassin/local.cf");
        write_if_changed(
            &tree.join("etc/spamassassin/local.cf"),
            &fs::read_to_string(ours).unwrap(),
        );
        write_if_changed(&tree.join(RULES.0), RULES.1);
        tree
    })
}

/// Another test may be reading the file.
fn write_if_changed(path: &Path, text: &str) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text).unwrap();
    }
}

/// A root, removed when it is dropped.
pub struct Tree(PathBuf);

impl Tree {
    /// What the box has, and nothing else.
    pub fn new(name: &str) -> Tree {
        let name = format!("spamassassin-{}-{name}", std::process::id());
        let tree = Tree(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
        tree.keep();
        link_folders(&tree.0);
        for folder in ["dev", "empty", "rules"] {
            fs::create_dir(tree.0.join(folder)).unwrap();
        }
        fs::write(tree.0.join("dev/random"), "").unwrap();
        symlink("random", tree.0.join("dev/urandom")).unwrap();
        let overlay = repository().join("overlays/spamassassin/.");
        let overlay = overlay.to_str().unwrap();
        run("cp", &["-r", overlay, tree.0.to_str().unwrap()]);
        fs::write(tree.0.join(RULES.0), RULES.1).unwrap();
        let library = std::env::current_exe().unwrap();
        let library = library.with_file_name("libzygote.so");
        fs::copy(&library, tree.0.join("usr/lib/projectx/libzygote.so"))
            .unwrap_or_else(|e| panic!("{}: {e}; cargo test builds it", library.display()));
        // Whatever the builder's umask was, another user reads it.
        run("chmod", &["-R", "a+rX", tree.0.to_str().unwrap()]);
        fs::set_permissions(tree.0.join("empty"), fs::Permissions::from_mode(0o555)).unwrap();
        tree
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn keep(&self) {
        let list = repository().join("rootfs/spamassassin.yaml");
        let list = fs::read_to_string(list).unwrap();
        let patterns: Vec<&str> = list
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- /"))
            .chain(LIBRARIES)
            .collect();
        let mut found = vec![false; patterns.len()];
        self.copy_matching(Path::new(""), &patterns, &mut found);
        for (pattern, found) in patterns.iter().zip(found) {
            // Where the dynamic linker is depends on the machine.
            let needed = !LIBRARIES.contains(pattern);
            assert!(found || !needed, "/{pattern} matches no file");
        }
    }

    fn copy_matching(&self, folder: &Path, patterns: &[&str], found: &mut [bool]) {
        for entry in fs::read_dir(packages().join(folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                self.copy_matching(&path, patterns, found);
                continue;
            }
            let mut wanted = false;
            for (pattern, found) in patterns.iter().zip(found.iter_mut()) {
                if matches(pattern, path.to_str().unwrap()) {
                    (wanted, *found) = (true, true);
                }
            }
            if wanted {
                let to = self.0.join(&path);
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                let from = packages().join(&path);
                // A link stays one; its target is listed as well.
                match fs::read_link(&from) {
                    Ok(target) => symlink(target, to).unwrap(),
                    Err(_) => drop(fs::copy(from, to).unwrap()),
                }
            }
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What Debian's base-files has.
fn link_folders(tree: &Path) {
    for name in ["bin", "sbin", "lib", "lib64"] {
        if !tree.join(name).exists() {
            symlink(format!("usr/{name}"), tree.join(name)).unwrap();
        }
    }
}

/// `*` is any run of letters within one name.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(pattern), Some(name)) if name_matches(pattern, name) => {}
            _ => return false,
        }
    }
}

fn name_matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|left| {
            (0..=left.len()).any(|at| left.is_char_boundary(at) && name_matches(rest, &left[at..]))
        }),
    }
}
