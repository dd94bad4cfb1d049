//! A zygote that runs in its sandbox.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use sandbox::policy::load_str;
use sandbox::{
    Access, Child, Device, Dumpable, PathRule, Proc, Rlimits, Root, Spec, User, WriteExecute, spawn,
};
use zygote::client::Zygote;

use super::root::Tree;

const POLICY: &str = include_str!("../../../../apps/email/policies/spamassassin.seccomp");
const LINKER: &str = match cfg!(target_arch = "x86_64") {
    true => "/lib64/ld-linux-x86-64.so.2",
    false => "/lib/ld-linux-aarch64.so.1",
};
/// As in `apps/email/app.yaml`.
const MALLOC_CONF: &str = "thp:always,narenas:1,dirty_decay_ms:-1,muzzy_decay_ms:-1";
/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

fn spec(root: &Path, rules: Option<&Path>) -> Spec {
    let rule = |path: &str, access| PathRule {
        path: path.into(),
        access,
    };
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Spec {
        name: "spamassassin".into(),
        root: Root::Directory(root.to_owned()),
        volumes: rules.map(volume).into_iter().collect(),
        scratch: vec![],
        devices: vec![Device::Random],
        proc: Proc::Absent,
        argv: ["/usr/bin/perl", "/usr/lib/projectx/zygote.pl"]
            .map(String::from)
            .into(),
        env: vec![
            variable("LC_ALL", "C"),
            variable("MALLOC_CONF", MALLOC_CONF),
            variable("LISTEN_FDS", "1"),
            variable("LISTEN_PID", "1"),
            variable("LISTEN_FDNAMES", "control"),
        ],
        cgroup: None,
        user: User::One {
            inside: 1000,
            outside: 200_000,
        },
        capabilities: vec![],
        network: sandbox::Network::default(),
        rlimits: Rlimits {
            open_files: 128,
            file_size: 0,
        },
        paths: vec![
            rule("/usr/bin/perl", Access::Execute),
            rule(LINKER, Access::Execute),
            rule("/usr/lib", Access::Execute),
            rule("/usr/share", Access::Read),
            rule("/etc", Access::Read),
            rule("/rules", Access::Read),
            rule("/proc", Access::Read),
        ],
        policy: load_str("spamassassin.seccomp", POLICY).unwrap(),
        write_execute: WriteExecute::Refused,
        dumpable: Dumpable::Allowed,
    }
}

/// What the supervisor mounts for the service.
fn volume(rules: &Path) -> sandbox::Volume {
    sandbox::Volume {
        host: rules.to_owned(),
        path: "/rules".into(),
        writable: false,
    }
}

/// A zygote that is loaded.
pub struct Running {
    pub zygote: Zygote,
    pub sandbox: Child,
    pub log: fs::File,
}

/// Starts one in its sandbox and waits until it is loaded.
pub fn start(root: &Path) -> Running {
    start_with(root, None)
}

/// One that finds this folder at `/rules`.
pub fn start_with(root: &Path, rules: Option<&Path>) -> Running {
    let kind = (AddressFamily::Unix, SockType::SeqPacket);
    let (ours, theirs) = socketpair(kind.0, kind.1, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let (log, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let sandbox = spawn(&spec(root, rules), vec![(theirs, 3), (write, 2)]);
    let mut sandbox = sandbox.unwrap_or_else(|e| panic!("{e}"));
    let mut zygote = Zygote::from_socket(ours);
    let mut log = fs::File::from(log);
    if let Err(error) = zygote.wait_ready(PATIENCE) {
        let exit = sandbox.kill().and_then(|()| sandbox.wait());
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        panic!("{error}; {exit:?}; its log: {text}");
    }
    Running {
        zygote,
        sandbox,
        log,
    }
}

/// The box's own root; made once for all tests.
pub fn plain() -> &'static Path {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        // Statics are not dropped: take away what earlier runs left.
        sweep();
        Tree::new("plain")
    })
    .path()
}

fn sweep() {
    for entry in fs::read_dir(env!("CARGO_TARGET_TMPDIR")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let pid = name
            .strip_prefix("spamassassin-")
            .and_then(|n| n.split('-').next());
        let pid = pid.and_then(|n| n.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// Sends a message to a child.
pub fn send(socket: OwnedFd, message: &[u8]) -> UnixStream {
    let mut socket = UnixStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
        .write_all(&(message.len() as u32).to_be_bytes())
        .unwrap();
    socket.write_all(message).unwrap();
    socket
}

/// Whether a process ends in time.
pub fn ends(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(5000u16)).unwrap() == 1
}

/// `score=5.3 required=5.0 tests=A,B` in its parts.
pub fn parts(answer: &str) -> (f64, Vec<&str>) {
    let line = answer
        .strip_suffix('\n')
        .unwrap_or_else(|| panic!("no line: {answer:?}"));
    let words: Vec<&str> = line.split(' ').collect();
    let [score, required, tests] = words[..] else {
        panic!("not three words: {answer:?}");
    };
    assert_eq!(required, "required=5.0");
    let score = score.strip_prefix("score=").unwrap().parse().unwrap();
    let tests = tests.strip_prefix("tests=").unwrap();
    (score, tests.split(',').filter(|t| !t.is_empty()).collect())
}
