//! An app of probes that runs, and what is seen of it from outside.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{self, Signal};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use nix::unistd::Pid;
use sandbox::policy;
use services::leftovers::{Leftovers, adopt_orphans};
use services::runtime::{Journal, Lives, Running, Setting};
use std::fs;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long anything may take: an emulated or busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was said, by whom ("event" for the runtime), in order.
#[derive(Debug, Default)]
pub struct Lines(Mutex<Vec<(String, String)>>);

impl Lines {
    fn get(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for Lines {
    fn event(&self, words: &str) {
        self.line("event", words);
    }

    fn line(&self, service: &str, words: &str) {
        self.get().push((service.to_owned(), words.to_owned()));
    }
}

/// A running app. The tests that have one wait for each other: they count the
/// children of this process.
pub struct App {
    running: Running,
    lines: Arc<Lines>,
    folder: tempfile::TempDir,
    before: Leftovers,
    _alone: MutexGuard<'static, ()>,
}

impl App {
    /// Starts it, in new namespaces of the calling thread for network and mounts:
    /// what others do on this machine is not counted.
    pub fn start(manifest: &str, name: &str) -> Self {
        Self::start_with(manifest, name, Lives::default())
    }

    /// The same with other lives of what is made beforehand.
    pub fn start_with(manifest: &str, name: &str, lives: Lives) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("root is needed");
        let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
        mount(none, "/", none, private, none).unwrap();
        adopt_orphans().unwrap();
        run(Command::new("ip").args(["link", "set", "lo", "up"]));
        let folder = tempfile::tempdir().unwrap();
        let lines = Arc::new(Lines::default());
        let app = manifest::read(name, manifest).unwrap_or_else(|errors| panic!("{errors}"));
        let setting = Setting {
            lives,
            ..setting(folder.path())
        };
        let before = look(folder.path());
        let running = Running::start(app, setting, lines.clone()).unwrap();
        Self {
            running,
            lines,
            folder,
            before,
            _alone: alone,
        }
    }

    pub fn wait_ready(&self) {
        self.until("ready", || self.running.is_ready().then_some(()));
        // The ports open just after.
        let listens = |words: &str| words.ends_with(" is open");
        self.wait_for(0, |_, line| listens(line).then_some(()));
    }

    /// How many lines there are.
    pub fn lines(&self) -> usize {
        self.lines.get().len()
    }

    /// What `who` has said.
    pub fn all_lines(&self, who: &str) -> Vec<String> {
        let lines = self.lines.get();
        let own = lines.iter().filter(|(teller, _)| teller == who);
        own.map(|(_, line)| line.clone()).collect()
    }

    /// Waits for a line from number `from` on.
    #[track_caller]
    pub fn wait_for<T>(&self, from: usize, wanted: impl Fn(&str, &str) -> Option<T>) -> T {
        self.until("the line", || {
            let lines = self.lines.get();
            lines[from..]
                .iter()
                .find_map(|(who, line)| wanted(who, line))
        })
    }

    #[track_caller]
    fn until<T>(&self, what: &str, attempt: impl FnMut() -> Option<T>) -> T {
        let found = try_until(attempt);
        found.unwrap_or_else(|| panic!("{what} did not come: {:#?}", self.lines.get()))
    }

    pub fn pid(&self, service: &str) -> Pid {
        self.until(service, || self.running.daemon_pid(service))
    }

    pub fn restart(&self, service: &str) {
        self.running.restart(service);
    }

    pub fn kill(&self, service: &str) {
        kill(self.pid(service));
    }

    /// A stranger. The port may have closed for a moment.
    pub fn connect(&self, port: u16) -> TcpStream {
        self.until("a connection", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })
    }

    /// The folder of its image.
    pub fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// What there is now that is this process's.
    pub fn look(&self) -> Leftovers {
        look(self.folder.path())
    }

    /// The receipts so far.
    pub fn receipts(&self) -> Vec<String> {
        let mut lines = self.all_lines("runtime");
        lines.retain(|line| line.starts_with("receipt: "));
        lines
    }

    /// Stops it: of all that it made nothing is left, but the folder of its
    /// sockets, which is empty. A thread may take a moment to end.
    pub fn stop_leaves_nothing(self) {
        self.running.stop();
        assert_eq!(children(), []);
        let folder = self.folder.path();
        let sockets = format!("folder {}", folder.join("sockets/probe").display());
        let left = || {
            let mut left = look(folder).since(&self.before);
            left.retain(|thing| *thing != sockets);
            left
        };
        let end = Instant::now() + PATIENCE;
        while !left().is_empty() {
            assert!(Instant::now() < end, "{:#?}", left());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn look(folder: &Path) -> Leftovers {
    Leftovers::look(&[&folder.join("sockets")], None).unwrap()
}

/// A stranger at this address of the loopback interface.
pub fn connect_from(address: [u8; 4], port: u16) -> TcpStream {
    let [a, b, c, d] = address;
    let made = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    );
    let made = made.unwrap();
    bind(made.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0)).unwrap();
    connect(made.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).unwrap();
    made.into()
}

/// An image below `folder` whose one root holds the probe and its libraries.
pub fn setting(folder: &Path) -> Setting {
    let image = folder.join("image");
    let root = image.join("roots/probe");
    fs::create_dir_all(root.join("dev")).unwrap();
    for device in ["null", "zero", "random"] {
        fs::write(root.join("dev").join(device), "").unwrap();
    }
    let probe = env!("CARGO_BIN_EXE_channel-probe");
    // Not to be read inside: what could be dumped is not started.
    install(Path::new(probe), &root.join("probe"), "0711");
    // The same for a service that has it alone.
    install(Path::new(probe), &root.join("end"), "0711");
    let output = Command::new("ldd").arg(probe).output().unwrap();
    let libraries = String::from_utf8(output.stdout).unwrap();
    for library in libraries.split_whitespace().filter(|w| w.starts_with('/')) {
        install(Path::new(library), &root.join(&library[1..]), "0755");
    }
    fs::create_dir_all(image.join("policies")).unwrap();
    let policy = include_str!("probe.seccomp");
    let compiled = policy::compile("probe.seccomp", policy, policy::Arch::HERE).unwrap();
    fs::write(image.join("policies/probe.seccomp"), policy).unwrap();
    fs::write(image.join("policies/probe.bpf"), compiled.to_bytes()).unwrap();
    Setting {
        image,
        volumes: folder.join("volumes"),
        sockets: folder.join("sockets"),
        hostname: "mail.example.org".into(),
        shared_ports: Vec::new(),
        cgroups: None,
        relay: Some(relay(folder)),
        lives: Lives::default(),
    }
}

/// With install(1), whose descriptors no sandbox can inherit (ETXTBSY).
fn install(from: &Path, to: &Path, mode: &str) {
    run(Command::new("install")
        .args(["-D", "-m", mode])
        .args([from, to]));
}

/// The relay's own program, static as in the image: its sandbox holds no
/// library. Cargo can't give a test the programs of another package. Each test
/// has a copy of its own, since they run at once.
fn relay(test: &Path) -> PathBuf {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("static");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    run(Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "relay", "--bin", "relay"])
        .args(["--target", &target, "--target-dir"])
        .arg(&folder)
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .current_dir(env!("CARGO_MANIFEST_DIR")));
    let hidden = test.join("relay");
    install(&folder.join(target).join("debug/relay"), &hidden, "0711");
    hidden
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

pub fn kill(pid: Pid) {
    signal::kill(pid, Signal::SIGKILL).unwrap();
}

/// The children of this process and their programs' names, by pid: sandboxes,
/// as nothing else is started while an app runs.
pub fn children() -> Vec<(Pid, String)> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Ok(pid) = name.parse() else { continue };
        // One that has ended meanwhile is none.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // PID (NAME) STATE PARENT …: proc_pid_stat(5)
        let Some((start, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        if rest.split(' ').nth(2) == Some(own.as_str()) {
            let name = start.split_once('(').unwrap().1.to_owned();
            found.push((Pid::from_raw(pid), name));
        }
    }
    found.sort_unstable();
    found
}

/// Dials 127.0.0.1 in the network namespace of another process, where no
/// Landlock holds this one back.
pub fn dial_in_network_of(pid: Pid, port: u16) -> io::Result<TcpStream> {
    let thread = std::thread::spawn(move || {
        let namespace = fs::File::open(format!("/proc/{pid}/ns/net"))?;
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        TcpStream::connect(("127.0.0.1", port))
    });
    thread.join().unwrap()
}

/// Tries for a minute.
#[track_caller]
pub fn until<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    try_until(attempt).unwrap_or_else(|| panic!("in vain: {what}; children: {:?}", children()))
}

fn try_until<T>(mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Some(done) => return Some(done),
            None if Instant::now() >= end => return None,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
