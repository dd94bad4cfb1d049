//! A file that is there whole or not at all.
//!
//! The bytes go into a new file beside it and onto the disk; then rename(2) puts that in
//! its place, and the folder goes onto the disk as well. After a power cut there is the
//! old content or the new one. What a cut leaves of the file beside is removed by the
//! next write.
//!
//! Callers run below seccomp policies which kill for any other call, so it is these and
//! no more: `unlink`, `openat`, `write`, `fsync`, `rename` and `close` (of some the C
//! library makes `unlinkat`, `renameat`); `fchown` where an [owner](WholeFile::owner) is
//! named, `fchmod` where the mode is [exact](WholeFile::exactly). That, and leftovers that
//! the next write finds, are why it is neither the crate `tempfile` nor
//! `atomic-write-file`: both draw a name at random.
//!
//! The name beside being fixed, two who write the same file at once disturb each other:
//! the callers take turns.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Where a file shall be and whose; [`WholeFile::write`] puts it there.
#[derive(Debug, Clone)]
#[must_use = "nothing is written before `write`"]
pub struct WholeFile {
    path: PathBuf,
    beside: PathBuf,
    mode: u32,
    is_exact: bool,
    owner: Option<u32>,
}

impl WholeFile {
    /// The file `path` with the permission bits `mode`, of which the process's umask takes
    /// away, as it does in open(2). Meanwhile it is called `path` and `.new`, in the same
    /// folder.
    pub fn at(path: impl Into<PathBuf>, mode: u32) -> Self {
        let path = path.into();
        let mut beside = path.clone().into_os_string();
        beside.push(".new");
        Self {
            path,
            beside: beside.into(),
            mode,
            is_exact: false,
            owner: None,
        }
    }

    /// Meanwhile it is called `beside`, which must be in the same folder.
    pub fn beside(mut self, beside: impl Into<PathBuf>) -> Self {
        self.beside = beside.into();
        self
    }

    /// The mode is the one that was said, whatever the umask is. Until all is written no
    /// other user can open the file.
    pub fn exactly(mut self) -> Self {
        self.is_exact = true;
        self
    }

    /// It belongs to the user and to the group of this number.
    pub fn owner(mut self, id: u32) -> Self {
        self.owner = Some(id);
        self
    }

    /// Puts a file of these bytes in the place of what is there, and returns when it is on
    /// the disk. A link is replaced, never followed, in its place and beside it.
    ///
    /// # Errors
    /// What the system said, of the file beside, of the file or of the folder; the caller
    /// knows which file it is and says so. What was there before is there still, and
    /// nothing beside it, unless it is the folder that can't be brought onto the disk: then
    /// the new file is in its place, and a power cut may bring back the old one.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_with(|file| file.write_all(bytes))
    }

    fn write_with(&self, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        match fs::remove_file(&self.beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mode = if self.is_exact { 0o600 } else { self.mode };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let file = options.open(&self.beside)?;
        if let Err(error) = self.finish(file, fill) {
            // The first error says why; what can't be removed is removed by the next write.
            fs::remove_file(&self.beside).ok();
            return Err(error);
        }
        let folder = self.path.parent().filter(|path| *path != Path::new(""));
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn finish(
        &self,
        mut file: File,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        fill(&mut file)?;
        if let Some(id) = self.owner {
            fchown(&file, Some(id), Some(id))?;
        }
        // After the owner: chown(2) takes set-user-ID and set-group-ID away.
        if self.is_exact {
            file.set_permissions(Permissions::from_mode(self.mode))?;
        }
        file.sync_all()?;
        fs::rename(&self.beside, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};
    use tempfile::{TempDir, tempdir};

    /// A folder with a file in it.
    fn old() -> (TempDir, PathBuf) {
        let folder = tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        (folder, path)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_new_content_is_in_the_old_one_s_place_and_nothing_beside_it() {
        let (folder, path) = old();
        WholeFile::at(&path, 0o600).write(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        WholeFile::at(folder.path().join("another"), 0o600)
            .write(b"")
            .unwrap();
        assert_eq!(names(&folder), ["another", "file"]);
    }

    #[test]
    fn whoever_has_the_old_file_open_reads_it_to_its_end() {
        let (_folder, path) = old();
        let open = File::open(&path).unwrap();
        WholeFile::at(&path, 0o600).write(b"new").unwrap();
        assert_eq!(io::read_to_string(open).unwrap(), "old");
    }

    #[test]
    fn after_an_error_in_the_middle_the_old_content_is_whole_and_alone() {
        let (folder, path) = old();
        let error = WholeFile::at(&path, 0o644).exactly().write_with(|file| {
            file.write_all(b"half")?;
            assert_eq!(fs::read(folder.path().join("file.new")).unwrap(), b"half");
            Err(ErrorKind::StorageFull.into())
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(&folder), ["file"]);
    }

    #[test]
    fn what_can_t_be_replaced_stays_and_nothing_is_left_beside_it() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("folder");
        fs::create_dir(&path).unwrap();
        WholeFile::at(&path, 0o600).write(b"new").unwrap_err();
        assert_eq!(names(&folder), ["folder"]);
        assert!(path.is_dir());
    }

    #[test]
    fn without_its_folder_the_error_is_the_system_s() {
        let folder = tempdir().unwrap();
        let file = WholeFile::at(folder.path().join("none/file"), 0o600);
        assert_eq!(file.write(b"").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_a_cut_left_is_removed_and_a_link_is_never_followed() {
        let (folder, path) = old();
        let new = folder.path().join("file.new");
        fs::write(&new, "half, and longer than the next").unwrap();
        fs::set_permissions(&new, Permissions::from_mode(0o666)).unwrap();
        WholeFile::at(&path, 0o600).write(b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(mode(&path), 0o600);

        let victim = folder.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&victim, &path).unwrap();
        symlink(&victim, &new).unwrap();
        WholeFile::at(&path, 0o644).exactly().write(b"new").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(names(&folder), ["file", "victim"]);
    }

    #[test]
    fn only_an_exact_mode_is_none_of_the_umask_s() {
        let (_folder, path) = old();
        // Whatever the umask of this test is.
        let masked = mode(&path);
        WholeFile::at(&path, 0o666).write(b"new").unwrap();
        assert_eq!(mode(&path), masked);
        for exact in [0o666, 0o640, 0o400] {
            WholeFile::at(&path, exact).exactly().write(b"new").unwrap();
            assert_eq!(mode(&path), exact);
        }
    }

    #[test]
    fn it_is_made_under_the_name_that_was_said() {
        let (folder, path) = old();
        let new = folder.path().join(".file");
        let file = WholeFile::at(&path, 0o600).beside(&new);
        file.write_with(|_| {
            assert_eq!(names(&folder), [".file", "file"]);
            Ok(())
        })
        .unwrap();
        assert_eq!(names(&folder), ["file"]);
    }

    #[test]
    fn it_belongs_to_its_owner_or_is_not_there() {
        let (folder, path) = old();
        let written = WholeFile::at(&path, 0o600).owner(1_000_000).write(b"new");
        let file = fs::metadata(&path).unwrap();
        // Only root may give a file away. For others it is one more error in the middle.
        if written.is_ok() {
            assert_eq!((file.uid(), file.gid()), (1_000_000, 1_000_000));
        } else {
            assert_eq!(fs::read(&path).unwrap(), b"old");
        }
        assert_eq!(names(&folder), ["file"]);
    }
}
