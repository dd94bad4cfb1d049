//! The box's Postfix, pushed by the test, so that hours need not pass.

use super::{LIMIT, Meeting, STEP};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What postqueue(1) tells the queue manager for `-f`: no server counts as dead, all
/// messages, those that were put off too (mail_proto.h in Postfix).
const FLUSH: &[u8] = b"FAD";
/// How long a message may wait when hours are made short.
const SHORT: &str = "
maximal_queue_lifetime = 5s
bounce_queue_lifetime = 5s
queue_run_delay = 2s
minimal_backoff_time = 2s
maximal_backoff_time = 2s
";

/// Has it try all that waits at once.
pub(super) fn flush(meeting: &Meeting) -> Result<()> {
    let path = meeting.options.volumes.join("queue/public/qmgr");
    let end = Instant::now() + LIMIT;
    let mut manager = loop {
        match UnixStream::connect(&path) {
            // Postfix has just started.
            Err(_) if Instant::now() < end => std::thread::sleep(STEP),
            connected => break connected.with_context(|| path.display().to_string())?,
        }
    };
    manager.write_all(FLUSH)?;
    Ok(())
}

/// Has it give up what has waited for five seconds: its own configuration with
/// another time in it, taken by its own way to take one (master(8), SIGHUP).
pub(super) fn make_hours_short(meeting: &Meeting) -> Result<()> {
    let master = master(meeting)?;
    let path = format!("/proc/{master}/root/run/postfix/main.cf");
    let path = meeting.native.seen_inside(&path);
    let mut text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    for line in SHORT.lines().filter(|line| !line.is_empty()) {
        // What stands twice is said to be so in the log.
        let (name, _) = line.split_once(" = ").context("a line of main.cf")?;
        let lines = text
            .lines()
            .filter(|known| !known.starts_with(&format!("{name} =")));
        text = lines.map(|line| format!("{line}\n")).collect();
        text += &format!("{line}\n");
    }
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    kill(on_host(meeting, master)?, Signal::SIGHUP)?;
    // The queue manager of before ends, and the next one begins.
    std::thread::sleep(Duration::from_secs(6));
    Ok(())
}

/// Has it start again, as the supervisor does when the owner has set something that it
/// reads when it starts.
pub(super) fn restart(meeting: &Meeting) -> Result<()> {
    let before = on_host(meeting, master(meeting)?)?;
    kill(before, Signal::SIGTERM)?;
    let end = Instant::now() + LIMIT;
    loop {
        let now = master(meeting).and_then(|pid| on_host(meeting, pid));
        if now.is_ok_and(|now| now != before) {
            return Ok(());
        }
        ensure!(
            Instant::now() < end,
            "Postfix did not start again:\n{}",
            meeting.journal()
        );
        std::thread::sleep(STEP);
    }
}

/// The pid of Postfix's master, as the box counts.
fn master(meeting: &Meeting) -> Result<i32> {
    let proc = meeting.native.seen_inside("/proc");
    let mut found = Vec::new();
    for entry in fs::read_dir(&proc).context("the box's /proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let name = fs::read_to_string(proc.join(format!("{pid}/comm"))).unwrap_or_default();
        if name.trim() == "master" {
            found.push(pid);
        }
    }
    ensure!(found.len() == 1, "Postfix's masters: {found:?}");
    Ok(found[0])
}

/// The same process as the host counts: NSpid in proc_pid_status(5) has both.
fn on_host(meeting: &Meeting, pid: i32) -> Result<Pid> {
    let status = meeting.native.seen_inside(&format!("/proc/{pid}/ns/pid"));
    let wanted = fs::read_link(&status).with_context(|| status.display().to_string())?;
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(number) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let same = fs::read_link(entry.path().join("ns/pid")).is_ok_and(|own| own == wanted);
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if same && name.trim() == "master" {
            return Ok(Pid::from_raw(number));
        }
    }
    anyhow::bail!("Postfix's master is not seen from the host")
}
