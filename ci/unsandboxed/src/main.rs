//! The way of a message without any isolation, beside which `cargo xtask bench
//! isolation` measures the box: one process that lives on, with the session of
//! smtp-in and the gate in threads, and Perls that live on, have loaded the same
//! SpamAssassin from the same root and scan one message after another. Names,
//! TLS signatures and delivery come from the box's own Unbound, signer and
//! Dovecot. No image holds it.
//!
//! ```text
//! unsandboxed HOSTNAME PORT SIGNER-SOCKET SPAMASSASSIN-ROOT PERLS scan|no-scan
//! ```
//!
//! It must run in the box's pid and network namespace, as root. It says `ready`
//! once it listens, and runs until its standard input ends.

mod perl;

use anyhow::{Context, Result, bail};
use channels::spam_check;
use nix::sched::{CloneFlags, setns};
use perl::Perls;
use smtp_in::session::{self, Channels, Identity, Limits};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

/// Where the services listen inside (apps/email/app.yaml).
const DNS: u16 = 53;
const LMTP: u16 = 24;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["perl", root, scan] => perl::become_one(root, scan == "scan"),
        [
            hostname,
            port,
            signer,
            root,
            perls,
            scan @ ("scan" | "no-scan"),
        ] => serve(hostname, port, signer, root, perls, scan),
        _ => Err(anyhow::anyhow!(
            "usage: unsandboxed HOSTNAME PORT SIGNER-SOCKET SPAMASSASSIN-ROOT PERLS scan|no-scan"
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unsandboxed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What every connection needs.
struct House {
    hostname: String,
    signer: String,
    perls: Perls,
    names: File,
    mail: File,
}

fn serve(
    hostname: &str,
    port: &str,
    signer: &str,
    root: &str,
    perls: &str,
    scan: &str,
) -> Result<()> {
    let house = Arc::new(House {
        hostname: hostname.to_owned(),
        signer: signer.to_owned(),
        perls: Perls::start(root, perls.parse()?, scan)?,
        names: network_of("unbound")?,
        mail: network_of("dovecot")?,
    });
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port.parse()?)).context("the port")?;
    let serving = Arc::clone(&house);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let house = Arc::clone(&serving);
            thread::spawn(move || {
                if let Err(error) = session(&house, connection) {
                    eprintln!("unsandboxed: {error:#}");
                }
            });
        }
    });
    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    house.perls.end();
    Ok(())
}

/// The network namespace of a service, by its program's name: the first of its
/// processes is the one that the supervisor started.
fn network_of(name: &str) -> Result<File> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>()
            && comm.trim_end() == name
        {
            pids.push(pid);
        }
    }
    let Some(pid) = pids.iter().min() else {
        bail!("no process is called {name}");
    };
    Ok(File::open(format!("/proc/{pid}/ns/net"))?)
}

/// Dials a service inside. The thread stays in that network.
fn dial(network: &File, port: u16) -> Result<TcpStream> {
    setns(network, CloneFlags::CLONE_NEWNET)?;
    Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?)
}

/// One connection, with the same code as in the sandboxes.
fn session(house: &Arc<House>, connection: TcpStream) -> Result<()> {
    let (check, check_end) = UnixStream::pair()?;
    let (deliver, deliver_end) = UnixStream::pair()?;
    let (spam, spam_end) = UnixStream::pair()?;
    let (tokens, tokens_end) = UnixStream::pair()?;
    let dns = dial(&house.names, DNS).context("dns")?;
    let lmtp = dial(&house.mail, LMTP).context("lmtp")?;
    let name = house.hostname.clone();
    let gate = thread::spawn(move || -> Result<()> {
        let ends = gate::Channels {
            check: check_end,
            deliver: deliver_end,
            tokens: tokens_end,
            // Nobody reads reports here: the bench sends none.
            report: UnixStream::pair()?.0,
            dovecot: lmtp,
        };
        let settings = gate::Settings {
            hostname: &name,
            learned: Path::new("/nonexistent"),
            rules: Path::new("/nonexistent"),
        };
        gate::serve(settings, ends).context("the gate")
    });
    let scanner = Arc::clone(house);
    let scan = thread::spawn(move || scan(&scanner.perls, spam_end, tokens));
    let channels = Channels {
        connection,
        dns,
        tls_sign: UnixStream::connect(&house.signer).context("the signer")?,
        recipient_check: check,
        spam_check: spam,
        deliver,
    };
    let identity = Identity {
        sandbox: "unsandboxed".into(),
        made: "never".into(),
        used: "never".into(),
    };
    session::run(channels, &house.hostname, &identity, Limits::default());
    let gate = gate.join();
    scan.join().ok();
    match gate {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error),
        Err(_) => bail!("the gate's thread panicked"),
    }
}

/// The other end of `spam-check`, as the zygote's child is it.
fn scan(perls: &Perls, mut end: UnixStream, mut tokens: UnixStream) -> Result<()> {
    let mut length = [0; 4];
    if end.read_exact(&mut length).is_err() {
        // There was no message.
        return Ok(());
    }
    let length = u32::from_be_bytes(length) as usize;
    anyhow::ensure!(length <= spam_check::MAX_MESSAGE, "too long");
    let mut message = vec![0; length];
    end.read_exact(&mut message)?;
    let line = perls.verdict(&message, &mut tokens)?;
    Ok(end.write_all(line.as_bytes())?)
}
