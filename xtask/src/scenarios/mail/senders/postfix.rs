//! A real Postfix with one way out: to the box, over TLS or not at all. What it
//! does not say here is Postfix's own default, how many connections it makes
//! at once among them.
//!
//! Debian's start script is left out: it copies files of a host into a chroot
//! that is not needed here.

use super::{BOX, Host, QueueRun};
use crate::scenarios::mail::internet::POSTFIX as HOST;
use crate::scenarios::mail::peers::{Daemon, Tree, WORLD};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Keeps what comes into the queue from being sent.
const HELD: &str = "defer_transports = smtp\n";

/// A running Postfix.
#[derive(Debug)]
pub(in crate::scenarios::mail) struct Postfix {
    tree: Tree,
    folder: PathBuf,
    _master: Daemon,
}

impl Postfix {
    /// Starts it with an empty queue, from which nothing is sent yet.
    pub(in crate::scenarios::mail) fn start(tree: &Tree, world: &Path) -> Result<Self> {
        let folder = world.join("postfix");
        let conf = folder.join("conf");
        fs::create_dir_all(conf.join("postfix-files.d"))?;
        fs::write(conf.join("main.cf"), main_cf(HOST) + HELD)?;
        let services = tree.read("/usr/share/postfix/master.cf.dist")?;
        fs::write(conf.join("master.cf"), without_smtpd(&services))?;
        ::internet::make_queue(&folder)?;
        tree.lay_over(&conf, "/etc/postfix")?;
        let words = ["/usr/lib/postfix/sbin/master", "-c", "/etc/postfix", "-d"];
        let mut master = Daemon::start(&mut tree.command(&words), &folder.join("master.log"))?;
        let public = folder.join("queue/public/pickup");
        for _ in 0..100 {
            if public.exists() {
                break;
            }
            master.still_runs().context("Postfix")?;
            sleep(Duration::from_millis(100));
        }
        ensure!(public.exists(), "Postfix does not start");
        Ok(Self {
            tree: tree.clone(),
            folder,
            _master: master,
        })
    }

    /// Takes a message into the queue.
    pub(in crate::scenarios::mail) fn queue(
        &self,
        from: &str,
        to: &str,
        message: &[u8],
    ) -> Result<()> {
        let words = ["sendmail", "-i", "-f", from, to];
        self.tree.feed(&words, message).map(drop)
    }

    /// Lets go what is queued, all of it once (postqueue(1), `-f`).
    pub(in crate::scenarios::mail) fn run_queue(&self) -> Result<()> {
        fs::write(self.folder.join("conf/main.cf"), main_cf(HOST))?;
        let pid = fs::read_to_string(self.folder.join("queue/pid/master.pid"))?;
        kill(Pid::from_raw(pid.trim().parse()?), Signal::SIGHUP)?;
        // The queue manager takes the new settings when it is started anew.
        sleep(Duration::from_secs(1));
        self.tree.tool("postqueue").arg("-f").run()?;
        Ok(())
    }

    /// Waits until nothing is waiting or `limit` is over; then says how it went
    /// since [`Self::run_queue`].
    pub(in crate::scenarios::mail) fn wait(&self, limit: Duration) -> Result<QueueRun> {
        let end = Instant::now() + limit;
        while self.waiting()? > 0 && Instant::now() < end {
            sleep(Duration::from_millis(500));
        }
        let waiting = self.waiting()?;
        Ok(read_log(&self.log()?, waiting))
    }

    /// How many messages are in the queue.
    pub(in crate::scenarios::mail) fn waiting(&self) -> Result<usize> {
        let said = self.tree.tool("postqueue").arg("-j").output()?;
        Ok(said
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .count())
    }

    /// Its log.
    pub(in crate::scenarios::mail) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join("log"))?)
    }
}

fn main_cf(host: Host) -> String {
    format!(
        "compatibility_level = 3.6\n\
         myhostname = {name}\n\
         mydestination =\n\
         local_recipient_maps =\n\
         alias_maps =\n\
         inet_interfaces = loopback-only\n\
         inet_protocols = ipv4\n\
         import_environment =\n\
         mail_owner = postfix\n\
         setgid_group = postdrop\n\
         queue_directory = {WORLD}/postfix/queue\n\
         data_directory = {WORLD}/postfix/data\n\
         maillog_file = {WORLD}/postfix/log\n\
         maillog_file_prefixes = {WORLD}\n\
         relayhost = [{BOX}]\n\
         smtp_host_lookup = native\n\
         smtp_bind_address = {address}\n\
         smtp_tls_security_level = encrypt\n\
         smtp_data_xfer_timeout = 20s\n\
         message_size_limit = 0\n",
        name = host.name,
        address = host.address,
    )
}

/// Debian's services without the one that listens on port 25.
fn without_smtpd(services: &str) -> String {
    services
        .lines()
        .filter(|line| !(line.starts_with("smtp ") && line.ends_with(" smtpd")))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The log since the queue was let go. Before that, every message is deferred
/// with the reason that was asked for.
fn read_log(log: &str, waiting: usize) -> QueueRun {
    let sent = |status: &str| {
        log.lines()
            .filter(|line| line.contains(&format!("status={status}")))
            .filter(|line| !line.contains("(deferred transport)"))
            .count()
    };
    QueueRun {
        delivered: sent("sent"),
        deferred: sent("deferred"),
        failed: sent("bounced") + sent("expired"),
        waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_held_on_purpose_is_not_taken_for_deferred() {
        let log = "x postfix/qmgr[1]: A: to=<a@b>, status=deferred (deferred transport)\n\
                   x postfix/smtp[2]: A: to=<a@b>, status=sent (250 2.0.0 Delivered)\n\
                   x postfix/smtp[2]: B: to=<a@b>, status=deferred (lost connection)\n\
                   x postfix/smtp[2]: C: to=<a@b>, status=bounced (host said: 550)\n";
        let expected = QueueRun {
            delivered: 1,
            deferred: 1,
            failed: 1,
            waiting: 7,
        };
        assert_eq!(read_log(log, 7), expected);
    }

    #[test]
    fn only_the_listener_is_taken_out_of_the_services() {
        let text = "smtp      inet  n  -  y  -  -  smtpd\nsmtp      unix  -  -  y  -  -  smtp\n";
        assert_eq!(without_smtpd(text), "smtp      unix  -  -  y  -  -  smtp\n");
    }
}
