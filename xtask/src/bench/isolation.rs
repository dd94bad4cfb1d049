//! `cargo xtask bench isolation`: what fresh sandboxes cost the way of a message.
//!
//! The box as it is, beside the same way in one process that lives on and is in
//! no sandbox (`ci/unsandboxed`): the same session and gate code, the same
//! SpamAssassin in as many Perls as there are processors, the same Unbound,
//! signer and Dovecot, on another port of the same running box. Rounds take
//! turns, and who begins changes with each. *Not scanned* is both ways with a
//! SpamAssassin that answers at once.
//!
//! Limits: natively (`ci/native`), so without cgroups and on the processor here;
//! the clients share the processors with the box.

use super::mail::smtp::{self, Route};
use super::mail::{AT_ONCE, messages};
use super::with_place;
use crate::{campaign, image, workspace};
use anyhow::{Context, Result, ensure};
use native::{BOX, Native, sender_name};
use serde::Serialize;
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Where the sandboxed way is, and where the other.
const PORTS: [u16; 2] = [25, 2525];
const SENDER: &str = "ada@plain.example";
const RECIPIENT: &str = campaign::PEOPLE[0];
const ZYGOTE: &str = "roots/spamassassin/usr/lib/projectx/zygote.pl";
/// As in scenarios/mail/measured.rs.
const SCAN: &str = "my $line = verdict($message, 1);";
const NO_SCAN: &str = r#"my $line = "score=0.0 required=5.0 tests=BENCH_NOT_SCANNED\n";"#;

/// What `cargo xtask bench isolation` takes.
#[derive(Debug, clap::Args)]
pub struct IsolationArguments {
    /// Print one JSON line
    #[arg(long)]
    json: bool,
    /// How many messages a round
    #[arg(long, default_value_t = 40)]
    messages: usize,
    /// How many rounds of each
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// What one way did.
#[derive(Debug, Serialize)]
struct Way {
    /// Of the middle round.
    messages_a_minute: f64,
    /// From MAIL to 250, all rounds.
    p50_ms: f64,
    p95_ms: f64,
}

/// Both ways.
#[derive(Debug, Serialize)]
struct Both {
    sandboxed: Way,
    unsandboxed: Way,
    /// How many percent fewer messages a minute the sandboxed way takes.
    cost_percent: f64,
}

/// Measures both, scanned and not scanned.
pub fn run(arguments: &IsolationArguments) -> Result<()> {
    let image = image::native::make("email")?;
    let native_box = campaign::build_box()?;
    let unsandboxed = image::native::compile("unsandboxed")?.join("unsandboxed");
    // Kept when something fails, with what the services said.
    let folder = workspace::target().join("bench/isolation");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder)?;
    let without = without_scan(&image, &folder)?;
    let measure = |name: &str, image: PathBuf, scan: &str| {
        let place = folder.join(name);
        fs::create_dir(&place)?;
        let options = campaign::options(native_box.clone(), image, &place);
        let native = Native::start(&options)?;
        let other = Unsandboxed::start(&native, &unsandboxed, scan)?;
        let both = rounds(&native, arguments).context(name.to_owned())?;
        drop(other);
        native.stop()?;
        Ok::<Both, anyhow::Error>(both)
    };
    let scanned = measure("scanned", image, "scan")?;
    let not_scanned = measure("not scanned", without, "no-scan")?;
    fs::remove_dir_all(&folder)?;
    let result = with_place(json!({
        "bench": "isolation",
        "where": "native",
        "messages": arguments.messages,
        "rounds": arguments.rounds,
        "at_once": AT_ONCE,
        "scanned": scanned,
        "not_scanned": not_scanned,
    }));
    if arguments.json {
        println!("{result}");
        return Ok(());
    }
    for (name, both) in [("scanned", scanned), ("not scanned", not_scanned)] {
        println!("{name}: isolation costs {} %", both.cost_percent);
        for (name, way) in [
            ("sandboxed", both.sandboxed),
            ("unsandboxed", both.unsandboxed),
        ] {
            println!(
                "  {name}: {} messages a minute, {AT_ONCE} at once; MAIL to 250 {} ms (p50), {} ms (p95)",
                way.messages_a_minute, way.p50_ms, way.p95_ms
            );
        }
    }
    Ok(())
}

/// A copy of the app whose SpamAssassin answers at once.
fn without_scan(image: &Path, folder: &Path) -> Result<PathBuf> {
    let copy = folder.join("without-scan");
    crate::tool::tool("cp", "coreutils")
        .arg("-a")
        .arg(image)
        .arg(&copy)
        .run()?;
    let zygote = copy.join(ZYGOTE);
    let text = fs::read_to_string(&zygote).with_context(|| zygote.display().to_string())?;
    ensure!(
        text.contains(SCAN),
        "zygote.pl has no line \"{SCAN}\" any more; change it here too"
    );
    fs::write(&zygote, text.replace(SCAN, NO_SCAN))?;
    Ok(copy)
}

/// The program without a sandbox, in the namespaces of the native box.
struct Unsandboxed(Child);

impl Unsandboxed {
    fn start(native: &Native, program: &Path, scan: &str) -> Result<Self> {
        // The box's mounts hide where it is.
        const PLACE: &str = "/run/native/unsandboxed";
        fs::copy(program, native.seen_inside(PLACE))?;
        let cores = std::thread::available_parallelism()?.to_string();
        let mut child = Command::new("nsenter")
            .args(["--net", "--mount", "--pid", "--target"])
            .arg(native.pid().to_string())
            .args([PLACE, "projectx.local", &PORTS[1].to_string()])
            .arg("/run/native/sockets/tls-sign")
            .arg("/run/native/image/roots/spamassassin")
            .args([&cores, scan])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("nsenter (package util-linux)")?;
        let output = child.stdout.take().context("a pipe")?;
        let started = Self(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(
            line == "ready\n",
            "the unsandboxed way does not start: {line:?}"
        );
        Ok(started)
    }
}

impl Drop for Unsandboxed {
    fn drop(&mut self) {
        // At the end of its input it ends, and its Perls with their pipes.
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}

/// One round: messages a minute, and the milliseconds of each.
type Round = (f64, Vec<f64>);

fn rounds(native: &Native, arguments: &IsolationArguments) -> Result<Both> {
    let mut done: [Vec<Round>; 2] = Default::default();
    for port in PORTS {
        // The first messages fill caches; they are not counted.
        round(native, port, 4)?;
    }
    for number in 0..arguments.rounds {
        for way in [number % 2, 1 - number % 2] {
            done[way].push(round(native, PORTS[way], arguments.messages)?);
        }
    }
    went_their_way(native, 4 + arguments.messages * arguments.rounds)?;
    let [sandboxed, unsandboxed] = done.map(summed);
    let share = sandboxed.messages_a_minute / unsandboxed.messages_a_minute;
    Ok(Both {
        cost_percent: tidy(100.0 * (1.0 - share)),
        sandboxed,
        unsandboxed,
    })
}

fn round(native: &Native, port: u16, count: usize) -> Result<Round> {
    let corpus = messages(SENDER, RECIPIENT);
    let next = AtomicUsize::new(0);
    let times: Mutex<Vec<f64>> = Mutex::default();
    let sender = |number: u8| -> Result<()> {
        native.enter_internet()?;
        let helo = sender_name(number);
        let route = Route {
            from: Ipv4Addr::new(128, 66, 1, number),
            helo: &helo,
            to: SocketAddrV4::new(BOX, port),
            sender: SENDER,
            recipient: RECIPIENT,
        };
        loop {
            let message = next.fetch_add(1, Ordering::Relaxed);
            if message >= count {
                return Ok(());
            }
            let taken = smtp::send_timed(&route, &corpus[message % corpus.len()])?;
            let milliseconds = taken.since_mail.as_secs_f64() * 1000.0;
            times.lock().expect("no sender panics").push(milliseconds);
        }
    };
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let senders: Vec<_> = (1..=AT_ONCE as u8)
            .map(|number| {
                let sender = &sender;
                scope.spawn(move || sender(number))
            })
            .collect();
        let ends = senders.into_iter().map(|thread| thread.join());
        ends.map(|end| end.expect("a sender does not panic"))
            .collect::<Result<Vec<()>>>()
    })?;
    let rate = count as f64 * 60.0 / begun.elapsed().as_secs_f64();
    Ok((rate, times.into_inner().expect("no sender panics")))
}

/// Every message is in the mailbox, and as many as should went each way.
fn went_their_way(native: &Native, each: usize) -> Result<()> {
    let home = native.home(RECIPIENT)?;
    let (mut all, mut past) = (0, 0);
    for folder in ["Maildir/new", "Maildir/.Junk/new"] {
        let Ok(entries) = fs::read_dir(home.join(folder)) else {
            continue;
        };
        for entry in entries {
            let message = fs::read(entry?.path())?;
            let header = &message[..message.len().min(4096)];
            all += 1;
            past += usize::from(memchr::memmem::find(header, b"unsandboxed").is_some());
        }
    }
    ensure!(
        (all, past) == (2 * each, each),
        "{all} messages arrived, {past} of them past the sandboxes; {each} each way were sent"
    );
    Ok(())
}

fn summed(rounds: Vec<Round>) -> Way {
    let (mut rates, times): (Vec<f64>, Vec<Vec<f64>>) = rounds.into_iter().unzip();
    let mut times = times.concat();
    rates.sort_by(f64::total_cmp);
    times.sort_by(f64::total_cmp);
    Way {
        messages_a_minute: tidy(super::mail::percentile(&rates, 50)),
        p50_ms: tidy(super::mail::percentile(&times, 50)),
        p95_ms: tidy(super::mail::percentile(&times, 95)),
    }
}

fn tidy(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_round_counts_and_the_times_of_all() {
        let way = summed(vec![
            (300.0, vec![1.0, 2.0]),
            (100.0, vec![9.0]),
            (200.0, vec![3.0]),
        ]);
        assert_eq!(way.messages_a_minute, 200.0);
        assert_eq!((way.p50_ms, way.p95_ms), (2.0, 9.0));
    }
}
