//! A box at one moment, disk and memory in one file: boot, unlock and load
//! once, then start every test from there in a second or two.
//!
//! The file is a qcow2 image over the raw card, which must stay as it is and
//! where it is. QEMU keeps one moment in it ("internal snapshot", QEMU's system
//! manual, "Disk Images", and `savevm` in its monitor's manual).

use crate::qemu::qmp;
use crate::tool::{ToolError, tool};
use serde_json::{Value, json};
use std::io;
use std::path::Path;

/// What the moment is called in the file.
pub const NAME: &str = "moment";

/// Makes the qcow2 image `file` over the raw `card`, for `Start::PowerOnToSave`.
pub fn lay_over(card: &Path, file: &Path) -> Result<(), ToolError> {
    tool("qemu-img", "qemu-utils")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .arg(card)
        .arg(file)
        .run()
}

/// Keeps the moment. The monitor's command is used, because QMP's own
/// (`snapshot-save`) wants block node names; it says nothing when it succeeds.
pub(crate) fn save(qmp_socket: &Path) -> io::Result<()> {
    let command = json!({
        "execute": "human-monitor-command",
        "arguments": { "command-line": format!("savevm {NAME}") },
    });
    silence(&qmp(qmp_socket, &[command])?)
}

fn silence(answer: &Value) -> io::Result<()> {
    match answer.as_str() {
        Some("") => Ok(()),
        Some(words) => Err(io::Error::other(format!("savevm: {}", words.trim()))),
        None => Err(io::Error::other("savevm: no answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_kept_only_when_the_monitor_says_nothing() {
        silence(&json!("")).unwrap();
        let error = silence(&json!("Error: no space left\r\n")).unwrap_err();
        assert_eq!(error.to_string(), "savevm: Error: no space left");
        silence(&Value::Null).unwrap_err();
    }
}
