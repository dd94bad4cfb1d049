//! `start-postfix HOSTNAME`: makes the queue's folders, writes the configuration,
//! and becomes Postfix's master. Run by the supervisor in Postfix's sandbox.

use nix::sys::stat::Mode;
use outbound::settings::Settings;
use outbound::smarthost::Smarthost;
use outbound::{postfix, queue};
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// Postfix's user in the image.
const OWNER: &str = "postfix";
const PASSWD: &str = "/etc/passwd";
const MASTER: &str = "/usr/lib/postfix/sbin/master";
const IMAGE: &str = "/etc/postfix";
const CONFIGURATION: &str = "/run/postfix";
const DATA: &str = "/run/data";
const QUEUE: &str = "/queue";
const LOG: &str = "/run/log";
/// In place of the host's name: no name has such a dash.
const CARRY: &str = "--carry-log";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == [CARRY] {
        return carry();
    }
    let [hostname] = &arguments[..] else {
        eprintln!("usage: start-postfix HOSTNAME");
        return ExitCode::FAILURE;
    };
    match start(hostname) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("start-postfix: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Postfix opens its log by a path, and nobody inside may open the supervisor's
/// journal, which is standard error: so a pipe lies at [`LOG`], and this program, once
/// more, carries what comes out of it. It ends with the sandbox.
fn carry_log() -> std::io::Result<()> {
    nix::unistd::mkfifo(LOG, Mode::S_IRUSR | Mode::S_IWUSR)?;
    // For writing too: the pipe never ends when a process of Postfix's does.
    let pipe = OpenOptions::new().read(true).write(true).open(LOG)?;
    let mut carrier = Command::new(std::env::current_exe()?);
    carrier.arg(CARRY).stdin(Stdio::from(pipe));
    carrier.stdout(Stdio::null()).spawn().map(drop)
}

fn carry() -> ExitCode {
    let mut bytes = [0; 4096];
    let (mut from, mut to) = (std::io::stdin(), std::io::stderr());
    // Not by std::io::copy, which takes calls that the policy has no need of.
    while let Ok(count) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // There is nobody left to tell.
    ExitCode::FAILURE
}

fn start(hostname: &str) -> Result<std::convert::Infallible, Box<dyn Error>> {
    let owner = id_of(OWNER)?
        .ok_or_else(|| format!("{PASSWD}: there is no {OWNER}; make the image anew"))?;
    let settings = Settings::read(Path::new("/outbound"))?;
    let smarthost = Smarthost::read(Path::new("/smarthost"))?;
    if let Some(smarthost) = &smarthost {
        smarthost.check()?;
    }
    queue::make(Path::new(QUEUE), owner)?;
    let made = fs::create_dir_all(DATA).and_then(|()| chown(DATA, Some(owner), Some(owner)));
    made.map_err(|error| format!("{DATA}: {error}"))?;
    postfix::write(
        Path::new(IMAGE),
        Path::new(CONFIGURATION),
        hostname,
        &settings,
        smarthost.as_ref(),
    )?;
    carry_log().map_err(|error| format!("{LOG}: {error}"))?;
    // `-i`: as process 1, in the foreground (master(8)).
    let error = Command::new(MASTER)
        .args(["-i", "-c", CONFIGURATION])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .exec();
    Err(format!("{MASTER}: {error}").into())
}

/// The number of a user. A static program can't ask the C library for it.
fn id_of(user: &str) -> std::io::Result<Option<u32>> {
    let text = fs::read_to_string(PASSWD)
        .map_err(|error| std::io::Error::new(error.kind(), format!("{PASSWD}: {error}")))?;
    // NAME:PASSWORD:UID:… (passwd(5))
    let id = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then(|| fields.nth(1)?.parse().ok())?
    });
    Ok(id)
}
