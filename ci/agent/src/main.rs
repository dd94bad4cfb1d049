//! The test agent: started as PID 1 of a test card by `rdinit=/agent`, it
//! leaves a copy of itself behind that does what the boot tests ask over a
//! second serial port, and becomes the box's own `/init`.
//!
//! The box under test is the box that ships: the agent only lies beside it in
//! the initramfs of a test card. It keeps a mount namespace of its own and
//! reaches the box's files through `/proc/1/root`, so it holds no mount busy
//! when the box shuts down. Programs that a test needs in the box besides lie
//! in `/test` of the same archive. None of it is part of any image.
//!
//! Limits: QEMU `virt` only (the second port is a PCI 16550, whose driver is
//! built into Debian's kernel); one request at a time; whole files in memory.

mod commands;
mod sys;

use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::Duration;

/// The node that the agent makes for its serial port: a 16550, first of its kind.
const PORT: &str = "/agent-port";
/// The root of the programs that a test brought along.
pub(crate) const BROUGHT: &str = "/test";
/// Where the agent mounts its own `/proc`: where they look for one.
pub(crate) const PROC: &str = "/test/proc";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let done = match words.get(1).map(String::as_str) {
        Some("serve") => serve(),
        Some("exec") if words.len() > 3 => exec_inside(&words[2], &words[3..]),
        Some("lay-over") if words.len() == 4 => mount_over(&words[2], &words[3]),
        _ if std::process::id() == 1 => become_init(),
        _ => Err(io::Error::other(
            "this program is only for test cards (rdinit=/agent)",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Leaves the serving copy behind and becomes the box's PID 1. The kernel's
/// arguments are passed on as they came: ignoring them is the box's business.
fn become_init() -> io::Result<()> {
    if let Err(error) = Command::new("/agent").arg("serve").spawn() {
        eprintln!("agent: cannot start the serving copy: {error}");
    }
    Err(Command::new("/init")
        .args(std::env::args_os().skip(1))
        .exec())
}

/// Answers requests until the box stops.
fn serve() -> io::Result<()> {
    nix::unistd::setsid()?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )?;
    std::fs::create_dir_all(PROC)?;
    mount(
        Some("proc"),
        PROC,
        Some("proc"),
        MsFlags::empty(),
        None::<&str>,
    )?;
    mknod(
        PORT,
        SFlag::S_IFCHR,
        Mode::S_IRUSR | Mode::S_IWUSR,
        makedev(4, 64),
    )?;
    let mut port = open_port()?;
    let mut requests = BufReader::new(port.try_clone()?);
    let mut line = String::new();
    loop {
        line.clear();
        if requests.read_line(&mut line)? == 0 {
            sleep(Duration::from_millis(100));
            continue;
        }
        let words = agent::parse_request(&line);
        let result = commands::run(&words).map_err(|error| error.to_string());
        writeln!(port, "{}", agent::answer(&result))?;
    }
}

/// Opens the port once its driver has found it, without echo or translation.
fn open_port() -> io::Result<File> {
    let mut tries = 0;
    let port = loop {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(PORT)
            .and_then(|port| Ok((tcgetattr(&port)?, port)));
        match opened {
            Ok((mut settings, port)) => {
                cfmakeraw(&mut settings);
                tcsetattr(&port, SetArg::TCSANOW, &settings)?;
                break port;
            }
            Err(error) if tries == 100 => return Err(error),
            Err(_) => tries += 1,
        }
        sleep(Duration::from_millis(100));
    };
    Ok(port)
}

/// Enters another root directory and becomes the command there.
fn exec_inside(root: &str, argv: &[String]) -> io::Result<()> {
    nix::unistd::chroot(root)?;
    std::env::set_current_dir("/")?;
    Err(Command::new(&argv[0])
        .args(&argv[1..])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .exec())
}

/// Mounts one file of the box's on another one, in the box's own mount namespace.
fn mount_over(file: &str, path: &str) -> io::Result<()> {
    setns(
        File::open(format!("{PROC}/1/ns/mnt"))?,
        CloneFlags::CLONE_NEWNS,
    )?;
    mount(
        Some(file),
        path,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )?;
    Ok(())
}
