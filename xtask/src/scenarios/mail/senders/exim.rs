//! A real Exim with one way out: to the box, over TLS or not at all. Its
//! configuration is the smallest that has a router and a transport (Exim's
//! specification, chapters 20, 26 and 30); the rest are Exim's defaults.

use super::{BOX, Host, QueueRun};
use crate::scenarios::mail::internet::EXIM as HOST;
use crate::scenarios::mail::peers::{self, Tree, WORLD};
use anyhow::Result;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

/// An Exim that runs when it is called.
#[derive(Debug)]
pub(in crate::scenarios::mail) struct Exim {
    tree: Tree,
    folder: PathBuf,
}

impl Exim {
    /// One with an empty queue.
    pub(in crate::scenarios::mail) fn new(tree: &Tree, world: &Path) -> Result<Self> {
        let folder = world.join("exim");
        fs::create_dir_all(folder.join("spool"))?;
        for path in [folder.clone(), folder.join("spool")] {
            chown(path, Some(peers::EXIM), Some(peers::EXIM))?;
        }
        // Outside of the folder that is Exim's, as it must be root's.
        let conf = world.join("exim.conf");
        fs::write(&conf, configuration(HOST))?;
        tree.lay_over(&conf, "/etc/exim4/exim4.conf")?;
        Ok(Self {
            tree: tree.clone(),
            folder,
        })
    }

    /// Takes a message into the queue and sends nothing.
    pub(in crate::scenarios::mail) fn queue(
        &self,
        from: &str,
        to: &str,
        message: &[u8],
    ) -> Result<()> {
        let words = ["exim4", "-odq", "-i", "-f", from, to];
        self.tree.feed(&words, message).map(drop)
    }

    /// One run over the queue (`exim -q`), to its end.
    pub(in crate::scenarios::mail) fn run_queue(&self) -> Result<QueueRun> {
        self.tree.tool("exim4").arg("-q").run()?;
        let waiting = self.waiting()?;
        Ok(read_log(&self.log()?, waiting))
    }

    /// Its log.
    pub(in crate::scenarios::mail) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join("mainlog"))?)
    }

    /// How many messages are in the queue.
    pub(in crate::scenarios::mail) fn waiting(&self) -> Result<usize> {
        let said = self.tree.tool("exim4").arg("-bpc").output()?;
        Ok(String::from_utf8_lossy(&said).trim().parse()?)
    }
}

fn configuration(host: Host) -> String {
    format!(
        "primary_hostname = {name}\n\
         qualify_domain = sender.example\n\
         exim_user = Debian-exim\n\
         exim_group = Debian-exim\n\
         never_users =\n\
         keep_environment =\n\
         spool_directory = {WORLD}/exim/spool\n\
         log_file_path = {WORLD}/exim/%slog\n\
         begin acl\n\
         begin routers\n\
         the_box:\n  driver = manualroute\n  route_list = * {BOX} byname\n  transport = smtp\n\
         begin transports\n\
         smtp:\n  driver = smtp\n  interface = {address}\n  hosts_require_tls = *\n\
         begin retry\n\
         * * F,2h,15m\n",
        name = host.name,
        address = host.address,
    )
}

/// Exim marks lines of its log by two signs (its specification, chapter 53).
fn read_log(log: &str, waiting: usize) -> QueueRun {
    let marked = |mark: &str| log.lines().filter(|line| line.contains(mark)).count();
    QueueRun {
        delivered: marked(" => ") + marked(" -> "),
        deferred: marked(" == "),
        failed: marked(" ** "),
        waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_and_deferrals_are_told_apart() {
        let log = "2026-11-24 13:04:10 1x <= a@b U=root P=local S=300\n\
                   2026-11-24 13:04:10 1x => c@d R=the_box T=smtp C=\"250 2.0.0 Delivered\"\n\
                   2026-11-24 13:04:10 2x == c@d R=the_box T=smtp defer (-46): 451\n\
                   2026-11-24 13:04:10 3x ** c@d R=the_box T=smtp: 550\n";
        let expected = QueueRun {
            delivered: 1,
            deferred: 1,
            failed: 1,
            waiting: 1,
        };
        assert_eq!(read_log(log, 1), expected);
    }
}
