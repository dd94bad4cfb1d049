//! Updates of an app that come without a new image: SpamAssassin's rules.
//!
//! `updates/rules.{img,verity,sig}` among the app's volumes is signed like an
//! app, as [`NAME`]. What is good and newer than the image's own is mounted over
//! the volume `rules`, which no service writes and `SpamAssassin` reads. Anything
//! else leaves that folder empty, and the image's own rules are in force: an
//! update never keeps mail from coming in. Whether the rules load is found out
//! by the zygote (`Zy/Rules.pm`), where they can do no harm.

use init::app_image::{AppError, Signed};
use init::device_mapper;
use nix::mount::{MntFlags, MsFlags, umount2};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the rules are signed as; no app has a slash in its name.
const NAME: &str = "email/rules";
/// Where the image keeps the number of its own rules.
const OWN_VERSION: &str = "roots/spamassassin/usr/share/spamassassin/VERSION";
const VERSION: &str = "VERSION";
/// The device's name goes on with so many digits of the root hash.
const DEVICE: &str = "email-rules-";
const DIGITS: usize = 16;

/// Why an update is not used.
#[derive(Debug, thiserror::Error)]
enum UpdateError {
    /// It is not signed, not whole, or was not mounted.
    #[error(transparent)]
    Image(#[from] AppError),
    /// A file is damaged or not there.
    #[error("{}: not read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds something else than rules.
    #[error("{}: only {VERSION} and files *.cf may be in an update", .0.display())]
    Stranger(PathBuf),
    /// Its number is none.
    #[error("{}: not one decimal number", .0.display())]
    Number(PathBuf),
    /// It is not newer.
    #[error("it is {0}, which is not newer")]
    Old(u64),
}

/// Mounts the update of the rules below `volumes`, if it is to be used, and
/// takes away one that no longer is. `image` is the mounted app, `keys` the
/// folder of the system's public keys. Returns what the journal says.
///
/// No service may run meanwhile: it would keep what it has.
pub fn take_rules(image: &Path, volumes: &Path, keys: &Path) -> String {
    let place = place(volumes);
    let taken = version(&image.join(OWN_VERSION)).map(|own| {
        let update = volumes.join("updates/rules");
        (own, take(own, &update, keys, &place))
    });
    let (own, why) = match taken {
        Ok((_, Ok(Some(version)))) => return format!("rules {version} of the update"),
        Ok((own, Ok(None))) => (own.to_string(), "there is no update".into()),
        Ok((own, Err(error))) => (own.to_string(), format!("the update is not used: {error}")),
        Err(error) => ("without a number".into(), error.to_string()),
    };
    unmount(&place);
    format!("rules {own} of the image: {why}")
}

/// Takes the update away, so that the disk can be closed.
pub fn leave(volumes: &Path) {
    unmount(&place(volumes));
}

fn place(volumes: &Path) -> PathBuf {
    volumes.join("rules")
}

/// The number of the update that is mounted now, or none when there is none.
fn take(own: u64, update: &Path, keys: &Path, place: &Path) -> Result<Option<u64>, UpdateError> {
    let is_there = |end| update.with_extension(end).exists();
    if !["img", "verity", "sig"].into_iter().any(is_there) {
        return Ok(None);
    }
    let signed = Signed::verify(update, NAME, keys)?;
    let device = format!("{DEVICE}{}", &signed.root_hash()[..DIGITS]);
    // An earlier supervisor, which was killed, may have mounted it.
    if mounted_device(place).as_deref() != Some(&device) {
        unmount(place);
        signed.mount(&device, place, MsFlags::MS_NOEXEC)?;
    }
    let version = look_through(place)?;
    if version <= own {
        return Err(UpdateError::Old(version));
    }
    Ok(Some(version))
}

/// Reads every block, so that none turns out to be damaged later, and returns
/// the number of the rules.
fn look_through(folder: &Path) -> Result<u64, UpdateError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| UpdateError::Read { path, source }
    };
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        let path = entry.path();
        let is_file = entry.file_type().map_err(failed(&path))?.is_file();
        let is_rules = path.extension() == Some(OsStr::new("cf"));
        if !is_file || !(is_rules || entry.file_name() == VERSION) {
            return Err(UpdateError::Stranger(path));
        }
        io::copy(
            &mut fs::File::open(&path).map_err(failed(&path))?,
            &mut io::sink(),
        )
        .map_err(failed(&path))?;
    }
    version(&folder.join(VERSION))
}

/// One decimal number and a line feed.
fn version(path: &Path) -> Result<u64, UpdateError> {
    let text = fs::read_to_string(path).map_err(|source| UpdateError::Read {
        path: path.to_owned(),
        source,
    })?;
    let digits = text.strip_suffix('\n').unwrap_or(&text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| is_number);
    number.ok_or_else(|| UpdateError::Number(path.to_owned()))
}

/// Unmounts whatever an earlier supervisor or this one has mounted there.
fn unmount(place: &Path) {
    while let Some(device) = mounted_device(place) {
        if umount2(place, MntFlags::MNT_DETACH).is_err() {
            return;
        }
        // Not there: somebody else's mount. It is gone all the same.
        device_mapper::remove_when_unused(&device).ok();
    }
}

/// The device mapper's name of what is mounted at a place; empty if it has none.
fn mounted_device(place: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let uppermost = mounts.lines().rev().find_map(|line| {
        let mut words = line.split(' ');
        let (source, at) = (words.next()?, words.next()?);
        (Path::new(at) == place).then_some(source)
    })?;
    let node = Path::new(uppermost).file_name()?;
    let name = Path::new("/sys/block").join(node).join("dm/name");
    Some(fs::read_to_string(name).unwrap_or_default().trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn an_update_is_a_number_and_rules_and_nothing_else() {
        let rules = ("10_a.cf", "body A /a/\n");
        let good = folder(&[rules, ("VERSION", "2026112401\n")]);
        assert_eq!(look_through(good.path()).unwrap(), 2_026_112_401);
        for (file, words) in [
            (("init.pre", ""), "init.pre: only VERSION and files *.cf"),
            (("Evil.pm", ""), "Evil.pm: only VERSION and files *.cf"),
            (("b.cf/c.cf", ""), "b.cf: only VERSION and files *.cf"),
            (("VERSION", "new\n"), "VERSION: not one decimal number"),
            (("VERSION", "+1\n"), "VERSION: not one decimal number"),
            (("VERSION", "1\n2\n"), "VERSION: not one decimal number"),
        ] {
            let bad = folder(&[rules, ("VERSION", "1\n"), file]);
            let error = look_through(bad.path()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let error = look_through(folder(&[rules]).path()).unwrap_err();
        assert!(error.to_string().contains("VERSION: not read"), "{error}");
    }

    #[test]
    fn the_rules_of_the_image_stay_and_the_reason_is_said() {
        let image = folder(&[(OWN_VERSION, "2024032500\n")]);
        let keys = tempfile::tempdir().unwrap();
        let said = |volumes: &Path| take_rules(image.path(), volumes, keys.path());
        assert_eq!(
            said(folder(&[]).path()),
            "rules 2024032500 of the image: there is no update"
        );
        let signature = "0".repeat(128);
        let strange = folder(&[
            ("updates/rules.img", ""),
            ("updates/rules.verity", "name=email/rules\n"),
            ("updates/rules.sig", &signature),
        ]);
        let line = said(strange.path());
        assert!(
            line.starts_with("rules 2024032500 of the image: the update is not used: ")
                && line.contains("rules.verity: signed by none"),
            "{line}"
        );
        assert!(!line.contains('\n'));
        fs::remove_file(strange.path().join("updates/rules.sig")).unwrap();
        let line = said(strange.path());
        assert!(line.contains("rules.sig: not read"), "{line}");
    }

    #[test]
    fn what_an_earlier_supervisor_mounted_and_is_not_wanted_is_taken_away() {
        let volumes = folder(&[("rules/old.cf", "")]);
        let place = place(volumes.path());
        let kind = Some("tmpfs");
        for _ in 0..2 {
            nix::mount::mount(kind, &place, kind, MsFlags::empty(), None::<&str>).unwrap();
        }
        assert!(!place.join("old.cf").exists());
        leave(volumes.path());
        assert!(place.join("old.cf").exists());
    }
}
