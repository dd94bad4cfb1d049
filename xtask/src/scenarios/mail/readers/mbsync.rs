//! mbsync (package isync): copies a folder into a Maildir.
//!
//! Two things are mbsync's own and are undone here: a Maildir has lines that
//! end with LF, and mbsync may write a header field `X-TUID` into what it
//! copies, by which it knows its copies again (mbsync(1), "SyncState").

use super::{Person, SERVER, certificate};
use crate::scenarios::mail::peers::{Tree, WORLD};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Every message of a folder, as it came.
pub(in crate::scenarios::mail) fn mbsync(
    tree: &Tree,
    world: &Path,
    person: Person,
    folder: &str,
) -> Result<Vec<Vec<u8>>> {
    let place = world.join("mbsync");
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir(&place)?;
    fs::write(world.join("mbsyncrc"), configuration(person, folder))?;
    tree.tool("mbsync")
        .args(["-c", &format!("{WORLD}/mbsyncrc"), "--all"])
        .env("HOME", WORLD)
        .run()?;
    let mut messages = Vec::new();
    for part in ["cur", "new"] {
        let at = place.join(folder).join(part);
        for entry in fs::read_dir(&at).with_context(|| at.display().to_string())? {
            messages.push(as_it_came(&fs::read(entry?.path())?));
        }
    }
    Ok(messages)
}

fn configuration(person: Person, folder: &str) -> String {
    format!(
        "IMAPStore box\nHost {SERVER}\nPort 993\nTLSType IMAPS\nCertificateFile {certificate}\n\
         User {address}\nPass \"{password}\"\nTimeout 120\n\n\
         MaildirStore here\nPath {WORLD}/mbsync/\nInbox {WORLD}/mbsync/INBOX\n\n\
         Channel all\nFar :box:\nNear :here:\nPatterns {folder}\nCreate Near\nSync Pull\n\
         SyncState {WORLD}/mbsync/\n",
        certificate = certificate(),
        address = person.address,
        password = person.password,
    )
}

fn as_it_came(copy: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(copy.len());
    let mut header = true;
    for line in copy.split_inclusive(|byte| *byte == b'\n') {
        header &= line != b"\n";
        if header && line.starts_with(b"X-TUID: ") {
            continue;
        }
        match line.strip_suffix(b"\n") {
            Some(line) => {
                whole.extend_from_slice(line);
                whole.extend_from_slice(b"\r\n");
            }
            None => whole.extend_from_slice(line),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mbsync_changed_is_undone_in_the_header_only() {
        let copy = b"Subject: x\nX-TUID: abc\n\nX-TUID: body\n";
        assert_eq!(as_it_came(copy), b"Subject: x\r\n\r\nX-TUID: body\r\n");
    }
}
