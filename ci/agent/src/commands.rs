//! What a boot test can ask for. Paths are the box's, as its PID 1 sees them.

use crate::{BROUGHT, PROC, sys};
use agent::leftovers::Sight;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File, OpenOptions};
use std::io::SeekFrom::{End, Start};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Does what one request says and returns what it found.
pub(crate) fn run(words: &[String]) -> io::Result<Vec<u8>> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["ping"] => Ok(b"pong".to_vec()),
        ["clock"] => clock(),
        ["read", path] => fs::read(inside(path)),
        ["write", path, text] => write(path, text),
        ["bring", from, to] => bring(from, to),
        ["list", path] => list(path),
        ["link", path] => Ok(fs::read_link(inside(path))?
            .to_string_lossy()
            .into_owned()
            .into_bytes()),
        ["owner", path] => Ok(fs::metadata(inside(path))?.uid().to_string().into_bytes()),
        ["block-of", path] => block_of(path),
        ["tcp-ports", address] => tcp_ports(address),
        ["find-bytes", path, text] => find_bytes(path, text.as_bytes()),
        ["kill", signal, name] => kill_by_name(signal, name),
        ["pids", name] => Ok(pids(name)?
            .into_iter()
            .map(|pid| format!("{pid}\n"))
            .collect::<String>()
            .into_bytes()),
        ["leftovers", maker] => leftovers(maker),
        ["freeze-pid1"] => freeze_pid1(),
        ["lay-over", path, text] => lay_over(path, text),
        ["write-end", path, text] => write_at(path, End(-length(text)?), text),
        ["write-at", path, offset, text] => {
            write_at(path, Start(offset.parse().map_err(io::Error::other)?), text)
        }
        ["sync"] => {
            nix::unistd::sync();
            Ok(Vec::new())
        }
        ["exec", argv @ ..] if !argv.is_empty() => exec(&format!("{PROC}/1/root"), argv),
        ["run", argv @ ..] if !argv.is_empty() => exec(BROUGHT, argv),
        ["start", argv @ ..] if !argv.is_empty() => start(argv),
        _ => Err(io::Error::other(format!(
            "no such request: {}",
            words.join(" ")
        ))),
    }
}

/// The box's clock in seconds since 1970.
fn clock() -> io::Result<Vec<u8>> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(io::Error::other)?;
    Ok(now.as_secs().to_string().into_bytes())
}

/// The box's path as the agent reaches it.
fn inside(path: &str) -> PathBuf {
    PathBuf::from(format!("{PROC}/1/root/{}", path.trim_start_matches('/')))
}

/// Writes a file and returns once it and its directory are on the disk.
fn write(path: &str, text: &str) -> io::Result<Vec<u8>> {
    let path = inside(path);
    let mut file = File::create(&path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(Vec::new())
}

/// Copies a file that the test brought along into the box, over the one that is
/// there, and makes the directory.
fn bring(from: &str, to: &str) -> io::Result<Vec<u8>> {
    let to = inside(to);
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory)?;
    }
    // A new file under the name: the old one may be mounted.
    let new = to.with_extension("new");
    fs::copy(format!("{BROUGHT}/{from}"), &new)?;
    fs::rename(new, to)?;
    Ok(Vec::new())
}

/// Writes over a part of a file or a device, and returns once it is there.
fn write_at(path: &str, place: SeekFrom, text: &str) -> io::Result<Vec<u8>> {
    let mut file = OpenOptions::new().write(true).open(inside(path))?;
    file.seek(place)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(Vec::new())
}

fn length(text: &str) -> io::Result<i64> {
    i64::try_from(text.len()).map_err(io::Error::other)
}

/// In which block of its file system a file begins.
fn block_of(path: &str) -> io::Result<Vec<u8>> {
    let block = sys::block_of(&File::open(inside(path))?, 0)?;
    Ok(block.to_string().into_bytes())
}

/// The ports from 1 to 65535 that take a connection at one of the box's addresses,
/// with a comma between two.
fn tcp_ports(address: &str) -> io::Result<Vec<u8>> {
    let address: IpAddr = address.parse().map_err(io::Error::other)?;
    let open = (1..=u16::MAX).filter(|port| {
        let limit = Duration::from_secs(2);
        let there = SocketAddr::new(address, *port);
        let connected = TcpStream::connect_timeout(&there, limit);
        // One that was given this very port to ask from has reached itself.
        connected.is_ok_and(|stream| stream.local_addr().is_ok_and(|here| here != there))
    });
    let open: Vec<String> = open.map(|port| port.to_string()).collect();
    Ok(open.join(",").into_bytes())
}

/// The names in a directory, sorted, one a line.
fn list(path: &str) -> io::Result<Vec<u8>> {
    let mut names = fs::read_dir(inside(path))?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<String>>>()?;
    names.sort();
    Ok(names.join("\n").into_bytes())
}

/// Where in a file or a device the bytes first stand, or `none`.
fn find_bytes(path: &str, needle: &[u8]) -> io::Result<Vec<u8>> {
    const CHUNK: usize = 1 << 20;
    let mut file = File::open(inside(path))?;
    let mut window: Vec<u8> = Vec::with_capacity(CHUNK + needle.len());
    let mut chunk = vec![0; CHUNK];
    let mut start = 0_u64;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(b"none".to_vec());
        }
        window.extend_from_slice(&chunk[..read]);
        // Most of a fresh disk is zeros, which are quick to pass over.
        if window.iter().any(|byte| *byte != 0)
            && let Some(at) = window.windows(needle.len()).position(|part| part == needle)
        {
            return Ok((start + at as u64).to_string().into_bytes());
        }
        let done = window.len().saturating_sub(needle.len() - 1);
        window.drain(..done);
        start += done as u64;
    }
}

/// Signals every process of that name and returns how many there were.
fn kill_by_name(signal: &str, name: &str) -> io::Result<Vec<u8>> {
    let signal = Signal::from_str(signal)?;
    let pids = pids(name)?;
    if pids.is_empty() {
        return Err(io::Error::other(format!("no process is called {name}")));
    }
    for pid in &pids {
        kill(Pid::from_raw(*pid), signal)?;
    }
    Ok(pids.len().to_string().into_bytes())
}

/// The processes of that name (`comm`, proc_pid_comm(5)).
fn pids(name: &str) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(PROC)?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if comm.trim_end() == name {
            found.push(pid);
        }
    }
    Ok(found)
}

/// What is there of the box, in numbers; `maker` is the name of the process
/// that makes the sandboxes.
fn leftovers(maker: &str) -> io::Result<Vec<u8>> {
    let pid = pids(maker)?.first().copied();
    let pid = pid.ok_or_else(|| io::Error::other(format!("no process is called {maker}")))?;
    let root = inside("/");
    let counts = agent::leftovers::look(&Sight {
        root: &root,
        proc: Path::new(PROC),
        maker: &pid.to_string(),
        folders: &[
            "/run",
            "/tmp",
            "/data/apps/email/keys",
            "/data/apps/email/people",
            "/data/apps/email/tls",
        ],
        cgroup: Some("/sys/fs/cgroup/services"),
    })?;
    Ok(agent::leftovers::print(&counts).into_bytes())
}

/// Stops PID 1 as nothing else can: signals don't, the cgroup freezer does.
fn freeze_pid1() -> io::Result<Vec<u8>> {
    let group = inside("/sys/fs/cgroup/test");
    fs::create_dir_all(&group)?;
    fs::write(group.join("cgroup.procs"), "1")?;
    fs::write(group.join("cgroup.freeze"), "1")?;
    Ok(Vec::new())
}

/// Lays a file with this text over one of the box's, until the box is off.
/// What looks at it from then on sees the text; the image stays what it is.
fn lay_over(path: &str, text: &str) -> io::Result<Vec<u8>> {
    let number = fs::read_dir(inside("/run"))?.count();
    let file = format!("/run/laid-over-{number}");
    fs::write(inside(&file), text)?;
    // Entering a mount namespace is for processes of one thread that share
    // nothing with another; the agent itself stays out, so that its own mounts
    // are its own.
    let output = Command::new(format!("{PROC}/self/exe"))
        .stdin(Stdio::inherit())
        .args(["lay-over", &file, path])
        .output()?;
    if output.status.success() {
        return Ok(Vec::new());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(said.trim().to_owned()))
}

/// Starts a program that the test brought along, waits for the first line that it
/// says and leaves it at work. Its input stays open until the box is off.
fn start(argv: &[&str]) -> io::Result<Vec<u8>> {
    let mut child = Command::new(format!("{PROC}/self/exe"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .args(["exec", BROUGHT])
        .args(argv)
        .spawn()?;
    let mut output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut line = String::new();
    BufReader::new(&mut output).read_line(&mut line)?;
    // Its ends of the pipes are closed when the agent ends, and it is reaped then.
    std::mem::forget((child, output));
    Ok(line.into_bytes())
}

/// Runs a program with `root` as its root: the box's, or that of the programs
/// which the test brought along. Status line first, output after.
fn exec(root: &str, argv: &[&str]) -> io::Result<Vec<u8>> {
    let output = Command::new(format!("{PROC}/self/exe"))
        // Not the default: /dev/null is in the box's root, not in the agent's.
        .stdin(Stdio::inherit())
        .args(["exec", root])
        .args(argv)
        .output()?;
    let mut answer = format!("{}\n", output.status).into_bytes();
    answer.extend(output.stdout);
    answer.extend(output.stderr);
    Ok(answer)
}
