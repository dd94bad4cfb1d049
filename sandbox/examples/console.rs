//! Runs a static console program under its real policy on this machine and
//! asks it for its page, to see whether the policy suffices:
//! `cargo run -p sandbox --example console -- PROGRAM NACL_FILE`. It stays for a minute,
//! for whoever wants to try TLS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sandbox::{
    Access, Dumpable, Entry, Network, PathRule, Proc, Rlimits, Root, Spec, User, WriteExecute,
    console_policy, spawn,
};

/// The status of a box that is fresh.
const ANSWER: &[u8] = br#"{"reply":"status","disk":"unclaimed","setup_code_needed":true,"claimable":true,"retry_after":0,"recovery_key":true,"reset_code":null,"reset_asked":false,"name":"projectx"}
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, nacl] = arguments.as_slice() else {
        return Err("give PROGRAM and NACL_FILE".into());
    };
    let entry = |host: &str, path: &str, access| Entry {
        host: host.into(),
        path: path.into(),
        access,
    };
    let rule = |path: &str, access| PathRule {
        path: path.into(),
        access,
    };
    let spec = Spec {
        name: "console".into(),
        root: Root::Entries(vec![
            entry(program, "/console", Access::Execute),
            entry(nacl, "/nacl-fast.min.js", Access::Read),
        ]),
        volumes: vec![],
        scratch: vec![],
        devices: vec![],
        proc: Proc::Absent,
        argv: vec!["/console".into()],
        env: vec![],
        cgroup: None,
        user: User::One {
            inside: 1000,
            outside: 200_000,
        },
        capabilities: vec![],
        network: Network::default(),
        rlimits: Rlimits {
            open_files: 256,
            file_size: 0,
        },
        paths: vec![
            rule("/console", Access::Execute),
            rule("/nacl-fast.min.js", Access::Read),
        ],
        policy: console_policy()?,
        write_execute: WriteExecute::Refused,
        dumpable: Dumpable::Allowed,
    };
    let (control, ours) = UnixStream::pair()?;
    let listener = TcpListener::bind("[::]:0")?;
    let tls = TcpListener::bind("[::]:0")?;
    let port = listener.local_addr()?.port();
    println!("https://127.0.0.1:{}", tls.local_addr()?.port());
    let log = std::io::stderr().as_fd().try_clone_to_owned()?;
    let mut child = spawn(
        &spec,
        vec![
            (log, 2),
            (control.into(), 3),
            (listener.into(), 4),
            (tls.into(), 5),
        ],
    )?;
    // Prints what the console asks the supervisor and answers nothing useful.
    std::thread::spawn(move || {
        let mut answers = ours.try_clone().ok()?;
        for line in BufReader::new(ours).lines() {
            println!("asked: {}", line.ok()?);
            answers.write_all(ANSWER).ok()?;
        }
        Some(())
    });
    for path in ["/", "/nacl-fast.min.js", "/nothing"] {
        let mut http = TcpStream::connect(("127.0.0.1", port))?;
        http.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(
            http,
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        let read = http.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        let first = text.lines().next().unwrap_or("nothing");
        println!("{path}: {first} ({} bytes, {read:?})", answer.len());
    }
    std::thread::sleep(Duration::from_secs(60));
    println!("ended: {:?}", child.try_wait()?);
    Ok(())
}
