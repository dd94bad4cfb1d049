//! The only way in which the box writes to the card's FAT once it runs.
//!
//! The FAT is mounted read-only. For a write it is mounted anew, writable, and read-only
//! again right after. The files of the slots are never written here, so they stay where
//! they are, and a power cut costs at most the one file at work.
//!
//! Every step here ends when all of it is on the card, folder and table of clusters too.
//! The mount itself is not synchronous: it would write both copies of that table for each
//! cluster, 48 MiB of a header's backup in more than a minute.

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::unistd::syncfs;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Where `early` mounted it.
pub const CARD: &str = "/run/card";

/// How long the card may be busy after a write: longer than a sandbox takes to begin.
const BUSY: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Two writers would take the mount from each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs `write` with the card's folder while it is writable.
///
/// # Errors
/// What `write` or the kernel said. Read-only it is again in any case, if the kernel allows.
pub fn while_writable<T>(write: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let remount = |extra| {
        mount(
            None::<&str>,
            CARD,
            None::<&str>,
            MsFlags::MS_REMOUNT | flags | extra,
            None::<&str>,
        )
    };
    remount(MsFlags::empty())?;
    let written = write(Path::new(CARD));
    // A sandbox that was begun meanwhile has a copy of our file's descriptor until it
    // closes what it was not given.
    again_while_busy(|| remount(MsFlags::MS_RDONLY))?;
    written
}

/// Tries until the kernel no longer says `EBUSY`, for [`BUSY`] at the most.
fn again_while_busy(step: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
    let end = Instant::now() + BUSY;
    loop {
        match step() {
            Err(Errno::EBUSY) if Instant::now() < end => sleep(PAUSE),
            done => return done,
        }
    }
}

/// Makes a file of these bytes, or replaces one, and returns when it is on the card. A cut
/// in the middle leaves an empty or a shorter file.
///
/// # Errors
/// The card is full or does not take it.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(folder.join(name))?;
    file.write_all(bytes)?;
    on_the_card(&file)
}

/// Writes over a file of the owner's, so that nothing of the old bytes stays on the card's
/// sectors. A whole copy lies beside it meanwhile, as `NAME.new`, which is read instead should
/// the power go in the middle ([`wifi_txt::files::IN_WORK`]); nothing of it stays either. A
/// file that is not there yet needs none: it is made.
///
/// # Errors
/// The card is full or does not take it.
pub fn overwrite(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let copy = format!("{name}{}", wifi_txt::files::IN_WORK);
    // What a cut has left would be freed as it is.
    wipe(&folder.join(&copy))?;
    if !folder.join(name).try_exists()? {
        return put(folder, name, bytes);
    }
    put(folder, &copy, bytes)?;
    overwrite_in_place(&folder.join(name), bytes)?;
    wipe(&folder.join(copy))
}

/// Writes zeros over a file, if it is there, and removes it: a FAT leaves the sectors of
/// a file that is only removed as they are.
///
/// # Errors
/// The card does not take it; the file may still be there.
pub fn wipe(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let length = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(length), &mut file)?;
    on_the_card(&file)?;
    fs::remove_file(path)
}

/// Finishes an [`overwrite`] that was cut off: `copy` is the name with its ending.
/// `is_whole` says that the copy is to be taken, and not the file itself.
///
/// # Errors
/// The card is full or does not take it.
pub fn finish(folder: &Path, copy: &str, is_whole: bool) -> io::Result<()> {
    let path = folder.join(copy);
    if let Some(name) = copy.strip_suffix(wifi_txt::files::IN_WORK)
        && is_whole
    {
        overwrite_in_place(&folder.join(name), &fs::read(&path)?)?;
    }
    fs::remove_file(path)
}

fn overwrite_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    on_the_card(&file)
}

/// Waits until the file is on the card, and all else of its file system: fsync(2) says
/// nothing of the folder, and vfat's has the table of clusters only.
fn on_the_card(file: &File) -> io::Result<()> {
    file.sync_all()?;
    Ok(syncfs(file)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_is_busy_is_tried_again_and_nothing_else() {
        let tries = Cell::new(0);
        let step = |until| {
            tries.set(tries.get() + 1);
            match tries.get() < until {
                true => Err(Errno::EBUSY),
                false => Err(Errno::EROFS),
            }
        };
        assert_eq!(again_while_busy(|| step(4)), Err(Errno::EROFS));
        assert_eq!(tries.get(), 4);
    }

    #[test]
    fn a_file_is_overwritten_and_its_copy_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wifi.txt");
        fs::write(&path, "password = short\nand more that is longer").unwrap();
        overwrite(folder.path(), "wifi.txt", b"password = key\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"password = key\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_of_a_copy_stays_in_its_sectors() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        // Left by a cut; a second name shows what becomes of its sectors.
        fs::write(path("file.new"), [7; 5000]).unwrap();
        fs::hard_link(path("file.new"), path("old sectors")).unwrap();
        overwrite(folder.path(), "file", &[8; 6000]).unwrap();
        assert_eq!(fs::read(path("file")).unwrap(), [8; 6000]);
        assert!(!path("file.new").exists());
        assert_eq!(fs::read(path("old sectors")).unwrap(), [0; 5000]);
        wipe(&path("file.new")).unwrap();
    }

    #[test]
    fn a_change_that_was_cut_off_is_finished_from_its_copy_or_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (is_whole, left) in [(true, "whole"), (false, "as it was")] {
            fs::write(path("wifi.txt"), "as it was").unwrap();
            fs::write(path("wifi.txt.new"), "whole").unwrap();
            finish(folder.path(), "wifi.txt.new", is_whole).unwrap();
            assert_eq!(fs::read_to_string(path("wifi.txt")).unwrap(), left);
            assert!(!path("wifi.txt.new").exists());
        }
    }
}
