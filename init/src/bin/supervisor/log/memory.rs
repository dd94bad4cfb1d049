//! The lines that are not in the encrypted disk yet: a file in `/run`, which is
//! memory, so that a supervisor that is started again goes on with it. It never
//! grows over [`MOST`] bytes: then its older half is left out, and says so.

use init::kept_log::{self, IN_MEMORY};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Bytes: about 1,000 receipts in an hour.
const MOST: u64 = 256 << 10;

/// The lines in memory.
pub struct Memory {
    path: PathBuf,
    /// Held while a line is added, so that lines of two threads don't mix.
    adding: Mutex<()>,
    /// Held while the lines are written to the disk, which may take long.
    handing_over: Mutex<()>,
}

impl Memory {
    /// The box's.
    pub fn of_the_box() -> &'static Self {
        static MEMORY: std::sync::LazyLock<Memory> =
            std::sync::LazyLock::new(|| Memory::at(Path::new(IN_MEMORY)));
        &MEMORY
    }

    fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            adding: Mutex::default(),
            handing_over: Mutex::default(),
        }
    }

    /// Adds a line with its end. Without memory the line is lost.
    pub fn add(&self, line: &str) {
        let _alone = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        if fs::metadata(&self.path).is_ok_and(|meta| meta.len() + line.len() as u64 > MOST) {
            self.leave_out_the_older_half().ok();
        }
        append(&self.path, line.as_bytes()).ok();
    }

    fn leave_out_the_older_half(&self) -> io::Result<()> {
        let text = fs::read(&self.path)?;
        let half = &text[text.len() / 2..];
        let from = half.iter().position(|byte| *byte == b'\n');
        let kept = from.map_or(&[][..], |end| &half[end + 1..]);
        let lost = text[..text.len() - kept.len()].iter();
        let lost = lost.filter(|byte| **byte == b'\n').count();
        fs::remove_file(&self.path)?;
        append(&self.path, format!("({lost} lines left out)\n").as_bytes())?;
        append(&self.path, kept)
    }

    /// Gives all lines to `write`, and forgets them once it has taken them. New lines
    /// can be added meanwhile. What an earlier call could not write comes first, in a
    /// call of its own.
    ///
    /// # Errors
    /// What `write` said. The lines are given again at the next call.
    pub fn hand_over(&self, mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let _alone = (self.handing_over.lock()).unwrap_or_else(PoisonError::into_inner);
        let under_way = kept_log::under_way(&self.path);
        loop {
            match fs::read(&under_way) {
                Ok(text) => {
                    write(&text)?;
                    fs::remove_file(&under_way)?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let _alone = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
            match fs::rename(&self.path, &under_way) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                renamed => renamed?,
            }
        }
    }
}

fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?
        .write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn handed_over(memory: &Memory) -> String {
        let mut text = Vec::new();
        memory
            .hand_over(|bytes| {
                text.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn lines_are_handed_over_once_and_again_when_that_failed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let memory = Memory::at(&path);
        assert_eq!(handed_over(&memory), "");
        memory.add("one\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        memory.hand_over(|_| Err(full())).unwrap_err();
        memory.add("two\n");
        let all = kept_log::read(folder.path(), &path).unwrap();
        assert_eq!(all.matches("one\n").count(), 1);
        // As after a supervisor that died: another one goes on with the files.
        assert_eq!(handed_over(&Memory::at(&path)), "one\ntwo\n");
        assert_eq!(handed_over(&memory), "");
    }

    #[test]
    fn many_lines_leave_the_older_ones_out_and_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::at(&folder.path().join("log"));
        for number in 0..30_000 {
            memory.add(&format!("line {number:020}\n"));
        }
        let text = handed_over(&memory);
        assert!(text.len() as u64 <= MOST, "{}", text.len());
        assert!(text.starts_with('(') && text.contains(" lines left out)\n"));
        assert!(text.ends_with("line 00000000000000029999\n"));
        // Whole lines only.
        assert!(
            text.lines()
                .skip(1)
                .all(|line| line.len() == 25 || line.starts_with('('))
        );
    }
}
