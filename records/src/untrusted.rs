//! Reads files that a service in a sandbox has written. Whoever took that service over
//! may have put anything in the file's place: a link, a pipe that never ends, gigabytes.

use nix::fcntl::OFlag;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file, when it is a plain one of at most `most` bytes; `None` when it is not there.
///
/// # Errors
/// When it is something else, or can't be read.
pub fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = OpenOptions::new();
    let opened = match options.read(true).custom_flags(flags.bits()).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if !opened.metadata()?.is_file() {
        return Err(io::Error::other("not a plain file"));
    }
    let mut bytes = Vec::new();
    opened.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("larger than {most} bytes")));
    }
    Ok(Some(bytes))
}

/// A text that may be shown: printable ASCII, at most `most` bytes; all else is `?`.
pub fn printable(text: &str, most: usize) -> String {
    let shown = text.chars().take(most).map(|letter| match letter {
        ' '..='~' => letter,
        _ => '?',
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_a_plain_file_of_the_right_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(read(&at("none"), 3).unwrap(), None);
        fs::write(at("file"), "abc").unwrap();
        assert_eq!(read(&at("file"), 3).unwrap().unwrap(), b"abc");
        let error = read(&at("file"), 2).unwrap_err().to_string();
        assert_eq!(error, "larger than 2 bytes");
        symlink(at("file"), at("link")).unwrap();
        assert!(read(&at("link"), 3).is_err());
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = read(&at("pipe"), 3).unwrap_err().to_string();
        assert_eq!(error, "not a plain file");
        assert!(read(folder.path(), 3).is_err());
    }

    #[test]
    fn what_is_shown_has_no_control_characters() {
        assert_eq!(printable("a\u{1b}[2J\u{e9}b", 99), "a?[2J?b");
        assert_eq!(printable("abcdef", 3), "abc");
    }
}
