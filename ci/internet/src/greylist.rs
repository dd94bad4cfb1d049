//! postgrey, as a policy service of a Postfix (postgrey(8)).

use crate::daemon::Daemon;
use crate::host::Host;
use crate::tree::POSTGREY;
use anyhow::Result;
use std::fs;
use std::os::unix::fs::chown;

/// Seconds until a second try is taken.
pub const PATIENCE: u64 = 4;

pub(crate) fn start(host: &Host) -> Result<Daemon> {
    let folder = host.folder.join("postgrey");
    fs::create_dir_all(&folder)?;
    chown(&folder, Some(POSTGREY), Some(POSTGREY))?;
    let words = [
        "postgrey",
        "--inet=127.0.0.1:10023",
        &format!("--delay={PATIENCE}"),
        &format!("--dbdir={}/postgrey", host.place()),
        "--greylist-action=451 4.7.1",
        // Debian's lists, which the package's script would have laid down.
        "--whitelist-clients=/dev/null",
        "--whitelist-recipients=/dev/null",
        "--user=postgrey",
        "--group=postgrey",
    ];
    let command = host.trees.internet.command(&words);
    host.daemon(command, "postgrey.log")
}
