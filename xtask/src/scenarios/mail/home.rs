//! A home with the kept box, whose router leads to an internet of other people's
//! mail servers (`ci/internet`).
//!
//! The kept box knows another internet's keys: this one's are laid over, and the
//! services that read them are started anew. In a box that is switched on they are laid
//! over between the mount of the app's image and the start of its services.

use super::internet::BOX;
use super::letter::Letter;
use super::moment::{ROOT_KEY, laid_over, start_anew};
use super::world::{MAIL_LIMIT, wait_for_mail};
use super::{ANNA, InsideArguments};
use crate::agent::Agent;
use crate::foreign::records;
use crate::qemu::{Machine, PAGE_LIMIT};
use crate::scenarios::home_network::ntp::TimeServer;
use crate::scenarios::home_network::router::{self, Router};
use crate::tool::tool;
use ::internet::{Domain, Internet};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Where the app's image shows its services' roots.
const IMAGE: &str = "/run/apps/email/roots";
/// How often it is looked whether the image is there: its services start some tenths of a
/// second later.
const LOOK: Duration = Duration::from_millis(20);
/// Whose image shows who is believed, and the programs that read it.
const AUTHORITIES: [(&str, &str); 2] = [("postfix", "master"), ("tls-policy", "tls-policy")];
/// The cable from the router to the internet.
const WIDE: &str = "wide";
/// Where the box has its DKIM records.
const KEYS: &str = "/data/apps/email/dkim/home.example/records";

/// What a program of the box shall believe.
#[derive(Debug)]
struct Belief {
    path: String,
    text: String,
    program: &'static str,
}

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

    /// A box at work believes this internet's names and its authority, and its keys stand
    /// in them.
    pub(super) fn introduce(&self, machine: &mut Machine, agent: &mut Agent) -> Result<()> {
        for belief in self.beliefs()? {
            laid_over(machine, agent, (&belief.path, &belief.text), belief.program)?;
        }
        self.knows(machine, agent)
    }

    /// The same for a locked box, which `unlock` unlocks: what it believes lies there
    /// before its services start, so that mail of its queue is not tried in vain and then
    /// waits for its next try.
    pub(super) fn introduce_locked(
        &self,
        machine: &mut Machine,
        agent: &mut Agent,
        unlock: impl FnOnce(&mut Machine) -> Result<()> + Send,
    ) -> Result<()> {
        let beliefs = self.beliefs()?;
        let stays_locked = AtomicBool::new(false);
        let laid = thread::scope(|scope| {
            let unlocking = scope.spawn(|| {
                let unlocked = unlock(machine);
                stays_locked.store(unlocked.is_err(), Ordering::SeqCst);
                unlocked
            });
            let end = Instant::now() + PAGE_LIMIT + MAIL_LIMIT;
            while agent.ask(&["list", IMAGE]).is_err()
                && !stays_locked.load(Ordering::SeqCst)
                && Instant::now() < end
            {
                sleep(LOOK);
            }
            let laid = lay_over(agent, &beliefs);
            unlocking.join().expect("the owner does not panic")?;
            laid
        });
        let late = laid?;
        for program in late {
            eprintln!("  {program} had started: it is started anew");
            start_anew(machine, agent, program)?;
        }
        self.knows(machine, agent)
    }

    /// What is laid over what.
    fn beliefs(&self) -> Result<Vec<Belief>> {
        let authority = fs::read_to_string(self.internet.authority())?;
        let authorities = AUTHORITIES.map(|(service, program)| Belief {
            path: format!("{IMAGE}/{service}/etc/ssl/certs/ca-certificates.crt"),
            text: authority.clone(),
            program,
        });
        let anchor = Belief {
            path: ROOT_KEY.into(),
            text: fs::read_to_string(self.internet.trust_anchor())?,
            program: "unbound",
        };
        Ok([anchor].into_iter().chain(authorities).collect())
    }

    /// Its keys stand in this internet's names.
    fn knows(&self, machine: &mut Machine, agent: &mut Agent) -> Result<()> {
        let keys = machine.wait_until("the box's DKIM keys", MAIL_LIMIT, |_| {
            Ok(agent.ask_text(&["read", KEYS]).ok())
        })?;
        self.internet.publish(&records(&keys)?)?;
        wait_for_mail(machine)
    }
}

/// Lays all of them over what is there. The programs that had started before that.
fn lay_over(agent: &mut Agent, beliefs: &[Belief]) -> Result<Vec<&'static str>> {
    let mut late = Vec::new();
    for belief in beliefs {
        agent.ask(&["lay-over", &belief.path, &belief.text])?;
        if !agent.ask_text(&["pids", belief.program])?.is_empty() {
            late.push(belief.program);
        }
    }
    Ok(late)
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
