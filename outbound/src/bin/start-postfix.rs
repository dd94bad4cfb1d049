//! `start-postfix HOSTNAME`: makes the queue's folders, writes the configuration,
//! and becomes Postfix's master. Run by the supervisor in Postfix's sandbox.

use outbound::settings::Settings;
use outbound::smarthost::Smarthost;
use outbound::{postfix, queue};
use std::error::Error;
use std::fs;
use std::os::fd::AsFd;
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

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
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
    // Standard error is the supervisor's journal, and there is no /proc by which to
    // open it. `-i`: as process 1, in the foreground (master(8)).
    let log = std::io::stderr().as_fd().try_clone_to_owned()?;
    let error = Command::new(MASTER)
        .args(["-i", "-c", CONFIGURATION])
        .stdin(Stdio::null())
        .stdout(Stdio::from(log))
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
