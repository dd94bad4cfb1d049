//! `internet FOLDER`: makes an internet there and keeps it until its input ends,
//! to look at and to play with. It says the inode of its pid namespace, where
//! its network is to be entered, and `ready`.
//!
//! ```text
//! nsenter --net=/proc/PID/fd/FD ping 128.66.1.10
//! ```

use internet::Internet;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: internet FOLDER");
        return ExitCode::FAILURE;
    };
    match keep(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("internet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn keep(folder: &Path) -> anyhow::Result<()> {
    let internet = Internet::start(folder)?;
    let mut out = std::io::stdout().lock();
    let (pid, fd) = (std::process::id(), internet.namespace().as_raw_fd());
    writeln!(out, "pids {}", internet.pid_namespace()?)?;
    writeln!(out, "network /proc/{pid}/fd/{fd}")?;
    writeln!(out, "ready")?;
    out.flush()?;
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    Ok(())
}
