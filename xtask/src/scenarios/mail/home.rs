//! A home with the kept box, whose router leads to an internet of other people's
//! mail servers (`ci/internet`).
//!
//! The kept box knows another internet's keys: this one's are laid over, and the
//! services that read them are started anew.

use super::internet::BOX;
use super::letter::Letter;
use super::moment::{believes, laid_over};
use super::world::{MAIL_LIMIT, wait_for_mail};
use super::{ANNA, InsideArguments};
use crate::agent::Agent;
use crate::foreign::records;
use crate::qemu::Machine;
use crate::scenarios::home_network::ntp::TimeServer;
use crate::scenarios::home_network::router::{self, Router};
use crate::tool::tool;
use ::internet::{Domain, Internet};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where the app's image shows who is believed, and the programs that read it.
const AUTHORITIES: [(&str, &str); 2] = [("postfix", "master"), ("tls-policy", "tls-policy")];
/// The cable from the router to the internet.
const WIDE: &str = "wide";
/// Where the box has its DKIM records.
const KEYS: &str = "/data/apps/email/dkim/home.example/records";

/// A home and its internet, until this is dropped.
#[derive(Debug)]
pub(super) struct Home {
    /// What the router leads to.
    pub(super) internet: Internet,
    _router: Router,
}

impl Home {
    /// Makes both, with the servers of these domains.
    pub(super) fn make(arguments: &InsideArguments, domains: &[Domain]) -> Result<Self> {
        router::lay_cable()?;
        let router = Router::start(&arguments.folder, Some(BOX))?;
        TimeServer::start(router::ADDRESS.into(), Duration::ZERO)?.speak();
        let internet = Internet::with(&arguments.folder.join("internet"), domains)?;
        lead_out(&internet)?;
        Ok(Self {
            internet,
            _router: router,
        })
    }

    /// The box believes this internet's names and its authority, and its keys stand in
    /// them.
    pub(super) fn introduce(&self, machine: &mut Machine, agent: &mut Agent) -> Result<()> {
        let anchor = fs::read_to_string(self.internet.trust_anchor())?;
        believes(machine, agent, &anchor)?;
        let authority = fs::read_to_string(self.internet.authority())?;
        for (service, program) in AUTHORITIES {
            let path = format!("/run/apps/email/roots/{service}/etc/ssl/certs/ca-certificates.crt");
            laid_over(machine, agent, (&path, &authority), program)?;
        }
        let keys = machine.wait_until("the box's DKIM keys", MAIL_LIMIT, |_| {
            Ok(agent.ask_text(&["read", KEYS]).ok())
        })?;
        self.internet.publish(&records(&keys)?)?;
        wait_for_mail(machine)
    }
}

/// The home's router has the box's address on the internet, and leads there and
/// back as most do: masquerade, and port 25 to the box (nft(8)).
fn lead_out(internet: &Internet) -> Result<()> {
    let own = File::open("/proc/thread-self/ns/net")?;
    internet.attach(&own, WIDE, ::internet::BOX)?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    let rules = format!(
        "table ip home {{
  chain to-the-box {{
    type nat hook prerouting priority dstnat;
    iifname \"{WIDE}\" tcp dport 25 dnat to {BOX}
  }}
  chain out {{
    type nat hook postrouting priority srcnat;
    oifname \"{WIDE}\" masquerade
  }}
}}
"
    );
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("rules");
    fs::write(&path, rules)?;
    tool("nft", "nftables").arg("-f").arg(&path).run()?;
    Ok(())
}

/// Anna's mail program hands a message to the box, from her home.
pub(super) fn send(to: &str, letter: &Letter, limit: Duration) -> Result<()> {
    let login = format!("{}:{}", ANNA.address, ANNA.password);
    let mut child = Command::new("curl")
        .args(["--silent", "--show-error", "--insecure"])
        .args(["--max-time", &limit.as_secs().to_string()])
        .args(["--url", &format!("smtps://{BOX}:465"), "--user", &login])
        .args(["--mail-from", ANNA.address, "--mail-rcpt", to])
        .args(["--upload-file", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("curl")?;
    let mut input = child.stdin.take().context("a pipe")?;
    input.write_all(&letter.bytes)?;
    drop(input);
    let done = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "to {to}: {said}");
    Ok(())
}

/// How many messages of Anna's inbox IMAP's `SEARCH` finds so (RFC 3501, section 6.4.4).
pub(super) fn found(search: &str) -> Result<usize> {
    let login = format!("{}:{}", ANNA.address, ANNA.password);
    let said = tool("curl", "curl")
        .args([
            "--silent",
            "--show-error",
            "--insecure",
            "--max-time",
            "120",
        ])
        .args(["--url", &format!("imaps://{BOX}/INBOX"), "--user", &login])
        .args(["--request", &format!("SEARCH {search}")])
        .output()?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let numbers = said.trim().strip_prefix("* SEARCH");
    let numbers = numbers.with_context(|| format!("no answer to SEARCH {search}: {said:?}"))?;
    Ok(numbers.split_whitespace().count())
}
