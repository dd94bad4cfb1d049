//! One step of the build: it has a name, a key (the hash of everything that
//! goes in) and an output. The output appears by rename; what a failed or
//! interrupted step has begun is removed. The key is written last.
//!
//! Each step hashes its own source file too: a changed builder builds anew.

use anyhow::{Context, Result, anyhow};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The hash of a step's inputs, under construction.
pub struct Key(Sha256);

impl Key {
    /// Starts with the source of the step itself: `include_str!("it.rs")`.
    pub fn new(own_source: &str) -> Self {
        Self(Sha256::new()).text(own_source)
    }

    /// Adds a text.
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Adds bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a file's content.
    pub fn file(self, path: &Path) -> Result<Self> {
        let hash = hash_file(path)?;
        Ok(self.text(&hash))
    }

    /// Adds every file below a folder: its name, its mode and its content.
    pub fn folder(mut self, path: &Path) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        for file in files_below(path)? {
            self = self.text(&file.to_string_lossy());
            let meta = fs::symlink_metadata(&file)?;
            self = self.text(&format!("{:o}", meta.permissions().mode()));
            self = if meta.is_symlink() {
                self.text(&fs::read_link(&file)?.to_string_lossy())
            } else {
                self.file(&file)?
            };
        }
        Ok(self)
    }

    fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a file, in hexadecimal.
pub fn hash_file(path: &Path) -> Result<String> {
    let mut file =
        File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file
            .read(&mut buffer)
            .with_context(|| format!("{}: cannot be read", path.display()))?;
        if count == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..count]);
    }
}

/// Every file and link below a folder, sorted, without the folders.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries =
            fs::read_dir(&next).with_context(|| format!("{}: cannot be listed", next.display()))?;
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What is being written right now, for [`clean_up_when_interrupted`].
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on Ctrl-C and SIGTERM remove what is half-written, say so and end
/// the program with 128 plus the signal's number, as a shell expects.
pub fn clean_up_when_interrupted() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("signals: cannot be awaited")?;
    std::thread::spawn(move || {
        let Some(signal) = signals.forever().next() else {
            return;
        };
        // The lock stays held, so that no step begins another file.
        let half_written = unfinished();
        for path in half_written.iter() {
            remove(path).ok();
        }
        eprintln!("interrupted; nothing half-written is left, and what was finished is kept");
        std::process::exit(128 + signal);
    });
    Ok(())
}

/// Runs steps, remembers what is already made, and tells a person how it goes.
pub struct Steps {
    cache: PathBuf,
    talks: bool,
    started: Instant,
    /// Held until the end: two builds at once would tear each other's files.
    _lock: Flock<File>,
}

impl Steps {
    /// Keeps its memory in `cache`, and is quiet when nobody looks.
    pub fn new(cache: &Path) -> Result<Self> {
        fs::create_dir_all(cache)
            .with_context(|| format!("{}: cannot be made", cache.display()))?;
        let lock_file = cache.join("lock");
        let lock = File::create(&lock_file)
            .with_context(|| format!("{}: cannot be made", lock_file.display()))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).or_else(|(file, _)| {
            eprintln!("another build is at work here; waiting for it");
            Flock::lock(file, FlockArg::LockExclusive)
                .map_err(|(_, error)| anyhow!("{}: cannot be locked: {error}", lock_file.display()))
        })?;
        Ok(Self {
            cache: cache.to_owned(),
            talks: std::io::stdout().is_terminal(),
            started: Instant::now(),
            _lock: lock,
        })
    }

    /// The folder for intermediate results.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Makes `output` with `make`, which gets the path to write to, unless it
    /// is there already and was made from the same key. `output` may be a
    /// folder. Returns whether it was made anew.
    pub fn make(
        &self,
        name: &str,
        key: Key,
        output: &Path,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<bool> {
        let key = key.finish();
        let key_file = self.key_file(output);
        if output.exists() && fs::read_to_string(&key_file).is_ok_and(|old| old == key) {
            return Ok(false);
        }
        let started = Instant::now();
        let new = sibling(output, ".new");
        remove(&new)?;
        unfinished().insert(new.clone());
        let made = make(&new)
            .map_err(say_what_to_do)
            .with_context(|| format!("step \"{name}\" failed"));
        if made.is_err() {
            // The step's own error is the one to tell.
            remove(&new).ok();
        }
        unfinished().remove(&new);
        made?;
        fs::remove_file(&key_file).ok();
        remove(output)?;
        fs::rename(&new, output)
            .with_context(|| format!("{}: cannot take its place", output.display()))?;
        fs::write(&key_file, key)
            .with_context(|| format!("{}: cannot be written", key_file.display()))?;
        self.tell(
            name,
            started.elapsed(),
            fs::metadata(output)
                .ok()
                .filter(|m| m.is_file())
                .map(|m| m.len()),
        );
        Ok(true)
    }

    /// Tells how a step went that keeps its own account (cargo, apt).
    pub fn tell(&self, name: &str, elapsed: Duration, size: Option<u64>) {
        if self.talks {
            let size = size
                .map(|bytes| format!("{:.1} MB", bytes as f64 / 1e6))
                .unwrap_or_default();
            println!("{name:<24} {:>6.1} s  {size:>9}", elapsed.as_secs_f64());
        }
    }

    /// The last line: what was made, where, how large, how long it took.
    pub fn done(&self, out: &Path, names: &[String]) {
        if !self.talks {
            return;
        }
        for name in names {
            let path = out.join(name);
            let size = fs::metadata(&path).map_or(0, |meta| meta.len());
            println!("{} ({:.1} MB)", path.display(), size as f64 / 1e6);
        }
        println!("done in {:.1} s", self.started.elapsed().as_secs_f64());
    }

    /// The key lies in the cache, under a name made of the output's whole path.
    fn key_file(&self, output: &Path) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(output.as_os_str().as_encoded_bytes());
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        self.cache
            .join(format!("{name}-{}.key", &hex(&hash.finalize())[..8]))
    }
}

/// Adds what to do, where the error itself does not say it.
fn say_what_to_do(error: anyhow::Error) -> anyhow::Error {
    let full = error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull)
    });
    if full {
        error.context("the disk is full; make room (a build needs 2 GB) and run it again")
    } else {
        error
    }
}

/// `path` with something added to its last name.
pub fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Removes a file or a folder, if it is there.
fn remove(path: &Path) -> Result<()> {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if meta.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
    .with_context(|| format!("{}: cannot be removed", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_runs_again_only_when_its_key_changes() {
        let folder = tempfile::tempdir().unwrap();
        let steps = Steps::new(&folder.path().join("cache")).unwrap();
        let output = folder.path().join("output");
        let make = |text: &'static str| {
            steps
                .make("test", Key::new(text), &output, |new| {
                    Ok(fs::write(new, text)?)
                })
                .unwrap()
        };
        assert!(make("one"));
        assert!(!make("one"));
        assert!(make("two"));
        assert_eq!(fs::read_to_string(&output).unwrap(), "two");
    }

    #[test]
    fn a_full_disk_is_said_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let steps = Steps::new(&folder.path().join("cache")).unwrap();
        let full = |_: &Path| Err(std::io::Error::from(std::io::ErrorKind::StorageFull))?;
        let error = steps
            .make(
                "packing",
                Key::new("x"),
                &folder.path().join("output"),
                full,
            )
            .unwrap_err();
        assert!(format!("{error:#}").contains("make room"), "{error:#}");
    }

    #[test]
    fn a_failed_step_leaves_the_old_output_and_says_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let steps = Steps::new(&folder.path().join("cache")).unwrap();
        let output = folder.path().join("output");
        steps
            .make("test", Key::new("one"), &output, |new| {
                Ok(fs::write(new, "old")?)
            })
            .unwrap();
        let error = steps
            .make("packing", Key::new("two"), &output, |new| {
                fs::write(new, "half")?;
                anyhow::bail!("no space")
            })
            .unwrap_err();
        assert!(
            format!("{error:#}").contains("step \"packing\" failed: no space"),
            "{error:#}"
        );
        assert_eq!(fs::read_to_string(&output).unwrap(), "old");
        assert!(!folder.path().join("output.new").exists(), "half-written");
    }
}
