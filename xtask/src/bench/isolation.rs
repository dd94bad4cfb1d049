//! `cargo xtask bench isolation`: what fresh sandboxes cost the way of a message.
//!
//! The box as it is, beside the same way in one process that lives on and is in
//! no sandbox (`ci/unsandboxed`): the same session and gate code, the same
//! SpamAssassin in as many Perls as there are processors, the same Unbound,
//! signer and Dovecot, on another port of the same running box. Rounds take
//! turns, and who begins changes with each. *Not scanned* is both ways with a
//! SpamAssassin that answers at once.
//!
//! It is done natively (`ci/native`), or with `--in-guest` in a booted box, to
//! which the test agent brings that process.
//!
//! Messages a minute depend on what else the machine does; the processor time of
//! the box for each message does so much less, and a processor that has nothing
//! else to do takes as many messages as that allows. Natively it is that of the
//! box's processes, in the guest that of the emulator. It is read [`SETTLING`] after
//! a round, when its sandboxes are gone and the next ones are ready.
//!
//! Limits: natively there are no cgroups, the clients share the processors with
//! the box, and what the kernel's own threads do is not counted as processor time.
//! In the guest there is one processor. A zygote is loaded anew after 300 messages;
//! a run with fewer has none of that.

use super::mail::messages;
use super::mail::smtp::{self, Route};
use super::with_place;
use crate::scenarios::{Lab, mail};
use crate::{campaign, guest, image, workspace};
use anyhow::{Context, Result, ensure};
use native::{BOX, Native, sender_name};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Where the sandboxed way is, and where the other.
pub const PORTS: [u16; 2] = [25, 2525];
/// What the header of a message that went the other way holds.
const UNSANDBOXED: &[u8] = b"unsandboxed";
/// How many senders there are at a time.
const AT_ONCE: usize = 4;
/// Messages each way before the first round; they fill caches and don't count.
const FIRST: usize = 4;
/// From the end of a round until its processor time is read.
const SETTLING: Duration = Duration::from_secs(3);
/// Clock ticks a second in /proc (proc_pid_stat(5)), on every architecture here.
const TICKS: f64 = 100.0;
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
    /// In a booted box instead of natively
    #[arg(long)]
    in_guest: bool,
    #[command(flatten)]
    order: Order,
}

/// How much is measured.
#[derive(Debug, Clone, Serialize, Deserialize, clap::Args)]
pub struct Order {
    /// How many messages a round
    #[arg(long, default_value_t = 40)]
    pub messages: usize,
    /// How many rounds of each
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
}

impl Order {
    /// How many messages go each way.
    fn each(&self) -> usize {
        FIRST + self.messages * self.rounds
    }
}

/// What one way did.
#[derive(Debug, Serialize, Deserialize)]
struct Way {
    /// Of the middle round.
    messages_a_minute: f64,
    /// From MAIL to 250, all rounds.
    p50_ms: f64,
    p95_ms: f64,
    /// Processor time for each message, all rounds.
    processor_ms: f64,
}

/// Both ways.
#[derive(Debug, Serialize, Deserialize)]
pub struct Both {
    sandboxed: Way,
    unsandboxed: Way,
    /// How many percent fewer messages a minute the sandboxed way takes.
    cost_percent: f64,
    /// The same for a processor that does nothing else.
    processor_cost_percent: f64,
}

/// All that is measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    /// As people have it.
    pub scanned: Both,
    /// Without SpamAssassin's scan.
    pub not_scanned: Both,
}

/// Measures both, scanned and not scanned.
pub fn run(arguments: &IsolationArguments) -> Result<()> {
    let order = &arguments.order;
    ensure!(
        order.messages > 0 && order.rounds > 0,
        "--messages and --rounds: at least one"
    );
    let measured = match arguments.in_guest {
        true => in_guest(order)?,
        false => natively(order)?,
    };
    if arguments.json {
        let mut line = json!(measured);
        line["bench"] = json!("isolation");
        line["where"] = json!(if arguments.in_guest {
            "guest"
        } else {
            "native"
        });
        line["messages"] = json!(order.messages);
        line["rounds"] = json!(order.rounds);
        line["at_once"] = json!(AT_ONCE);
        println!("{}", with_place(line));
        return Ok(());
    }
    for (name, both) in [
        ("scanned", measured.scanned),
        ("not scanned", measured.not_scanned),
    ] {
        println!(
            "{name}: isolation costs {} %, by processor time {} %",
            both.cost_percent, both.processor_cost_percent
        );
        for (name, way) in [
            ("sandboxed", both.sandboxed),
            ("unsandboxed", both.unsandboxed),
        ] {
            println!(
                "  {name}: {} messages a minute, {AT_ONCE} at once; MAIL to 250 {} ms (p50), {} ms (p95); processor {} ms a message",
                way.messages_a_minute, way.p50_ms, way.p95_ms, way.processor_ms
            );
        }
    }
    Ok(())
}

fn in_guest(order: &Order) -> Result<Measured> {
    image::host_packages_for_boots()?;
    guest::build_zip()?;
    let program = image::compile("unsandboxed")?.join("unsandboxed");
    let program = fs::read(&program).with_context(|| program.display().to_string())?;
    let lab = Lab::new(false)?.bringing("unsandboxed", program);
    mail::isolated(&lab, order)
}

fn natively(order: &Order) -> Result<Measured> {
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
        let used = || processor_time(&native.seen_inside("/proc"));
        let corpus = messages(SENDER, RECIPIENT);
        let both = rounds(order, &corpus, used, |sender, port, message| {
            native.enter_internet()?;
            let route = Route {
                from: Ipv4Addr::new(128, 66, 1, sender),
                helo: &sender_name(sender),
                to: SocketAddrV4::new(BOX, port),
                sender: SENDER,
                recipient: RECIPIENT,
            };
            smtp::send_timed(&route, message)
        });
        let both = both.context(name.to_owned())?;
        went_their_way(order, mailbox(&native)?)?;
        drop(other);
        native.stop()?;
        Ok::<Both, anyhow::Error>(both)
    };
    let measured = Measured {
        scanned: measure("scanned", image, "scan")?,
        not_scanned: measure("not scanned", without, "no-scan")?,
    };
    fs::remove_dir_all(&folder)?;
    Ok(measured)
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

/// What one round did.
struct Round {
    messages_a_minute: f64,
    /// Of each message.
    milliseconds: Vec<f64>,
    /// Of all of it.
    processor: Duration,
}

/// Sends every round. `send` is called in as many threads as there are senders,
/// with the sender's number (from 1 on), the port and the message; `used` says how
/// much processor time the box has used so far.
pub fn rounds(
    order: &Order,
    corpus: &[Vec<u8>],
    used: impl Fn() -> Result<Duration>,
    send: impl Fn(u8, u16, &[u8]) -> Result<smtp::Taken> + Sync,
) -> Result<Both> {
    let mut done: [Vec<Round>; 2] = Default::default();
    let measured = |count: usize, way: usize| {
        let before = used()?;
        let sent = round(count, corpus, |sender, message| {
            send(sender, PORTS[way], message)
        });
        let (messages_a_minute, milliseconds) = sent?;
        sleep(SETTLING);
        Ok::<Round, anyhow::Error>(Round {
            messages_a_minute,
            milliseconds,
            processor: used()?.saturating_sub(before),
        })
    };
    for way in [0, 1] {
        measured(FIRST, way)?;
    }
    for number in 0..order.rounds {
        for way in [number % 2, 1 - number % 2] {
            done[way].push(measured(order.messages, way)?);
        }
    }
    let [sandboxed, unsandboxed] = done.map(summed);
    let cost = |share: f64| tidy(100.0 * (1.0 - share));
    Ok(Both {
        cost_percent: cost(sandboxed.messages_a_minute / unsandboxed.messages_a_minute),
        processor_cost_percent: cost(unsandboxed.processor_ms / sandboxed.processor_ms),
        sandboxed,
        unsandboxed,
    })
}

/// The processor time of all processes in a `/proc`, and of those that they have
/// waited for (proc_pid_stat(5), fields 14 to 17).
fn processor_time(proc: &Path) -> Result<Duration> {
    let mut ticks = 0;
    for entry in fs::read_dir(proc).with_context(|| proc.display().to_string())? {
        // What is no process, or has ended meanwhile, has none.
        let stat = fs::read_to_string(entry?.path().join("stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let fields = fields.split(' ').skip(11).take(4);
        ticks += fields.flat_map(str::parse::<u64>).sum::<u64>();
    }
    Ok(Duration::from_secs_f64(ticks as f64 / TICKS))
}

/// Sends so many; messages a minute, and the milliseconds of each.
fn round(
    count: usize,
    corpus: &[Vec<u8>],
    send: impl Fn(u8, &[u8]) -> Result<smtp::Taken> + Sync,
) -> Result<(f64, Vec<f64>)> {
    let next = AtomicUsize::new(0);
    let times: Mutex<Vec<f64>> = Mutex::default();
    let sender = |number: u8| -> Result<()> {
        loop {
            let message = next.fetch_add(1, Ordering::Relaxed);
            if message >= count {
                return Ok(());
            }
            let taken = send(number, &corpus[message % corpus.len()])?;
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

/// What came for the recipient.
fn mailbox(native: &Native) -> Result<Vec<Vec<u8>>> {
    let home = native.home(RECIPIENT)?;
    let mut all = Vec::new();
    for folder in ["Maildir/new", "Maildir/.Junk/new"] {
        let Ok(entries) = fs::read_dir(home.join(folder)) else {
            // Nothing has come yet.
            continue;
        };
        for entry in entries {
            all.push(fs::read(entry?.path())?);
        }
    }
    Ok(all)
}

/// Every message arrived, and as many as should went each way.
pub fn went_their_way(order: &Order, arrived: Vec<Vec<u8>>) -> Result<()> {
    let past = arrived.iter().filter(|message| {
        let header = &message[..message.len().min(4096)];
        memchr::memmem::find(header, UNSANDBOXED).is_some()
    });
    let (all, past, each) = (arrived.len(), past.count(), order.each());
    ensure!(
        (all, past) == (2 * each, each),
        "{all} messages arrived, {past} of them past the sandboxes; {each} each way were sent"
    );
    Ok(())
}

fn summed(rounds: Vec<Round>) -> Way {
    let mut rates: Vec<f64> = rounds.iter().map(|round| round.messages_a_minute).collect();
    let processor: Duration = rounds.iter().map(|round| round.processor).sum();
    let mut times: Vec<f64> = rounds.into_iter().flat_map(|r| r.milliseconds).collect();
    rates.sort_by(f64::total_cmp);
    times.sort_by(f64::total_cmp);
    Way {
        messages_a_minute: tidy(super::mail::percentile(&rates, 50)),
        p50_ms: tidy(super::mail::percentile(&times, 50)),
        p95_ms: tidy(super::mail::percentile(&times, 95)),
        processor_ms: tidy(processor.as_secs_f64() * 1000.0 / times.len().max(1) as f64),
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
        let round = |messages_a_minute, milliseconds: &[f64], processor| Round {
            messages_a_minute,
            milliseconds: milliseconds.into(),
            processor: Duration::from_millis(processor),
        };
        let way = summed(vec![
            round(300.0, &[1.0, 2.0], 10),
            round(100.0, &[9.0], 50),
            round(200.0, &[3.0], 20),
        ]);
        assert_eq!(way.messages_a_minute, 200.0);
        assert_eq!((way.p50_ms, way.p95_ms), (2.0, 9.0));
        assert_eq!(way.processor_ms, 20.0);
    }

    #[test]
    fn the_time_of_processes_that_were_waited_for_counts() {
        let proc = Path::new("/proc");
        let before = processor_time(proc).unwrap();
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        Command::new("sh").args(["-c", busy]).status().unwrap();
        let took = processor_time(proc).unwrap().saturating_sub(before);
        assert!(took >= Duration::from_millis(20), "{took:?}");
    }
}
