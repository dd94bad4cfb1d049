//! A sandbox and what surrounds it: another service, its file, those who listen
//! on the host.

use crate::attacks::{Attack, Listener, Needs};
use crate::layers::{self, Layer};
use crate::sys::{Queue, key_in_a_new_session};
use crate::target::{self, FIRST_ID_OF_ANOTHER, per_connection};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, Shutdown, SockFlag, SockType, shutdown, socketpair};
use sandbox::weak::{self, Protection};
use sandbox::{Child, Exit, ReadyRoot, Spec, User, spawn};
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Seek, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{self, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zygote::client::Zygote;

const PATIENCE: Duration = Duration::from_secs(20);
/// The exit code of `attack` that was executed anew.
const EXECUTED: i32 = 42;
/// What its exit code is when a process that it made was killed by SIGSYS.
const PART_KILLED: i32 = 128 + libc::SIGSYS;

/// What it takes to attack.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The program `attack`, static.
    pub program: PathBuf,
    /// Where cgroup v2 is mounted; without it there are no limits on memory and tasks.
    pub cgroups: Option<PathBuf>,
}

/// The sandbox that is attacked from, and all that is attacked.
#[derive(Debug)]
pub struct World {
    name: String,
    spec: Spec,
    /// Whether the attack runs in a child of the zygote that the spec starts.
    child: bool,
    another: Spec,
    folder: tempfile::TempDir,
    open: File,
    queue: Queue,
    tcp: [TcpListener; 2],
    udp: [SocketAddr; 2],
    abstract_name: String,
    unix: (UnixListener, UnixListener),
}

impl World {
    /// The sandbox `name`, one of [`crate::SANDBOXES`].
    ///
    /// # Panics
    /// Here and below, when the machine does not do what a test needs.
    pub fn new(name: &str, ground: &Ground) -> Self {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        }
        key_in_a_new_session();
        let folder = tempfile::tempdir().unwrap();
        // Or this folder would be one more protection.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let (service, child) = match name.strip_suffix("-child") {
            Some(service) => (service, true),
            None => (name, false),
        };
        let spec = target::make(service, ground, folder.path());
        let beside = folder.path().join("beside");
        let mut another = target::service("signer", FIRST_ID_OF_ANOTHER, ground, &beside);
        if let Some(cgroup) = &mut another.cgroup {
            cgroup.path = "services/another".into();
        }
        fs::create_dir_all(&another.volumes[0].host).unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
        let tcp = ["127.0.0.1:0", "[::1]:0"].map(|address| TcpListener::bind(address).unwrap());
        let abstract_name = format!("attacks-{}", std::process::id());
        let address = net::SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let path = folder.path().join("socket");
        let unix = (
            UnixListener::bind_addr(&address).unwrap(),
            UnixListener::bind(&path).unwrap(),
        );
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        Self {
            name: name.to_owned(),
            spec,
            child,
            another,
            open: File::open(&secret).unwrap(),
            folder,
            queue: Queue::new(),
            tcp,
            udp: ["127.0.0.1:0", "[::1]:0"].map(answering),
            abstract_name,
            unix,
        }
    }

    /// As the files in `expected/` are called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The protections that it has.
    pub fn layers(&self) -> Vec<Layer> {
        layers::all(self.child)
    }

    /// The same, the wide ones first.
    pub fn layers_to_give_back(&self) -> Vec<Layer> {
        layers::to_give_back(self.child)
    }

    /// Whether there is something here that the attack aims at.
    pub fn has(&self, attack: &Attack) -> bool {
        self.aim(attack, "0", 0).is_some()
    }

    /// The words after the attack's name; the victim's are known only when it runs.
    fn aim(&self, attack: &Attack, address: &str, victim: i32) -> Option<Vec<String>> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let scratch = self.spec.scratch.first();
        let scratch_file = || scratch.map(|scratch| text(&scratch.path.join("attacked")));
        let volume = |writable| {
            let mut all = self.spec.volumes.iter();
            all.find(move |volume| volume.writable == writable)
        };
        let kept = || match volume(true) {
            Some(volume) => Some(text(&volume.path.join("attacked"))),
            None => scratch_file(),
        };
        let limits = self.spec.rlimits;
        Some(match attack.needs {
            Needs::Nothing => vec![],
            Needs::OtherFile => vec![text(&self.folder.path().join("secret"))],
            Needs::OpenFile => vec![self.open.as_raw_fd().to_string()],
            Needs::RootFile => vec!["/attacked".into()],
            Needs::ReadOnlyFile => vec![text(&volume(false)?.path.join("attacked"))],
            Needs::WritableFile => vec![kept()?],
            Needs::VolumeProgram => vec![text(&self.spec.volumes.first()?.path.join("program"))],
            // One that is root inside has become nothing by it.
            Needs::SetUserId if self.spec.user.run_as() == 0 => return None,
            Needs::SetUserId => vec![text(&self.spec.volumes.first()?.path.join("set-user-id"))],
            Needs::ScratchFile => vec![scratch_file()?],
            Needs::Victim => vec![victim.to_string()],
            Needs::VictimMemory => vec![victim.to_string(), address.to_owned()],
            Needs::Queue => vec![self.queue.key.to_string()],
            Needs::Listener(listener) => vec![match listener {
                Listener::Tcp4 => self.tcp[0].local_addr().unwrap().to_string(),
                Listener::Tcp6 => self.tcp[1].local_addr().unwrap().to_string(),
                Listener::Udp4 => self.udp[0].to_string(),
                Listener::Udp6 => self.udp[1].to_string(),
                Listener::Abstract => self.abstract_name.clone(),
                Listener::Path => text(&self.folder.path().join("socket")),
            }],
            // A child of the zygote has fewer still.
            Needs::Descriptors => vec![limits.open_files.to_string()],
            Needs::FileSize => vec![limits.file_size.to_string(), kept()?],
            Needs::ScratchSize => vec![scratch?.size.to_string(), scratch_file()?],
            Needs::AddressSpace if self.child => vec![(420 << 20).to_string()],
            Needs::AddressSpace => return None,
            // A child's own cgroup is the matter of those who adopt it.
            Needs::Memory | Needs::Tasks if self.child => return None,
            Needs::Memory => vec![self.spec.cgroup.as_ref()?.memory_max.to_string()],
            Needs::Tasks => vec![self.spec.cgroup.as_ref()?.pids_max.to_string()],
        })
    }

    /// What the attack comes to without these protections: `in`, an error, or
    /// `killed` by the policy.
    pub fn run(&self, attack: &Attack, removed: &[Layer]) -> String {
        self.queue.fill();
        (&self.open).rewind().unwrap();
        let sandbox: Vec<Protection> = removed
            .iter()
            .filter_map(|layer| match layer {
                Layer::Sandbox(protection) => Some(*protection),
                _ => None,
            })
            .collect();
        let mut spec = self.spec.clone();
        if removed.contains(&Layer::ScratchSize) {
            for scratch in &mut spec.scratch {
                scratch.size *= 4;
            }
        }
        weak::remove(&sandbox);
        self.give(&spec);
        let victim = matches!(attack.needs, Needs::Victim | Needs::VictimMemory)
            .then(|| Victim::start(&self.another));
        let (pid, address) = match &victim {
            Some(victim) => (victim.child.pid().as_raw(), victim.address.as_str()),
            None => (0, "0"),
        };
        let mut words = vec![attack.name.to_owned()];
        words.extend(self.aim(attack, address, pid).expect(attack.name));
        // As the user inside that has the other service's id, where there are several.
        let another = victim.is_some() || attack.needs == Needs::OtherFile;
        let several = matches!(spec.user, User::Range { .. });
        if another && several && !sandbox.contains(&Protection::UserNamespace) {
            words.splice(0..0, ["as".to_owned(), "1000".to_owned()]);
        }
        let outcome = match self.child {
            true => in_child(&mut spec, &words, removed),
            false => in_sandbox(&mut spec, &words, per_connection(&self.name)),
        };
        weak::restore();
        drop(victim);
        self.remove_files();
        outcome
    }

    /// Volumes belong to the service, the secret to another. Their ids are as the
    /// protections have them, which are removed already.
    fn give(&self, spec: &Spec) {
        let inside = spec.user.run_as();
        let owner = spec.user.on_host(inside).unwrap();
        for volume in &spec.volumes {
            chown(&volume.host, Some(owner), Some(owner)).unwrap();
        }
        let another = self.another.user.on_host(1000).unwrap();
        let secret = self.folder.path().join("secret");
        chown(secret, Some(another), Some(another)).unwrap();
    }

    fn remove_files(&self) {
        let volumes = self.spec.volumes.iter();
        let mut folders: Vec<PathBuf> = volumes.map(|volume| volume.host.clone()).collect();
        if let sandbox::Root::Directory(root) = &self.spec.root {
            // The second is the root of SpamAssassin's child.
            folders.extend([root.clone(), root.join("empty")]);
        }
        for folder in folders {
            // Mostly there is none.
            fs::remove_file(folder.join("attacked")).ok();
        }
        // Connections that came: the queues must not get full.
        for listener in &self.tcp {
            listener.set_nonblocking(true).unwrap();
            while listener.accept().is_ok() {}
        }
        for listener in [&self.unix.0, &self.unix.1] {
            listener.set_nonblocking(true).unwrap();
            while listener.accept().is_ok() {}
        }
    }
}

/// The address of a socket that answers everything.
fn answering(address: &str) -> SocketAddr {
    let socket = UdpSocket::bind(address).unwrap();
    let at = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 16];
        while let Ok((count, from)) = socket.recv_from(&mut bytes) {
            socket.send_to(&bytes[..count], from).ok();
        }
    });
    at
}

/// Another service, with a secret in its memory.
struct Victim {
    child: Child,
    address: String,
    _end: PipeWriter,
}

impl Victim {
    fn start(spec: &Spec) -> Self {
        let mut spec = spec.clone();
        spec.argv.truncate(1);
        spec.argv.push("victim".into());
        let (said, output) = std::io::pipe().unwrap();
        let (until, end) = std::io::pipe().unwrap();
        let child = spawn(&spec, vec![(output.into(), 1), (until.into(), 3)]);
        let child = child.unwrap_or_else(|error| panic!("{error}"));
        let mut address = String::new();
        BufReader::new(said).read_line(&mut address).unwrap();
        Self {
            child,
            address: address.trim().to_owned(),
            _end: end,
        }
    }
}

/// A sandbox that is made for each connection is in a root that lay ready.
fn in_sandbox(spec: &mut Spec, words: &[String], per_connection: bool) -> String {
    spec.argv.truncate(1);
    spec.argv.extend_from_slice(words);
    let (mut said, output) = std::io::pipe().unwrap();
    let fds = vec![(output.into(), 1)];
    let started = match per_connection {
        true => ReadyRoot::make(spec).and_then(|root| root.spawn(spec, fds)),
        false => spawn(spec, fds),
    };
    let mut child = match started {
        Ok(child) => child,
        // In such a combination nothing runs.
        Err(error) => return format!("not started: {error}"),
    };
    let text = all_of(&mut said, &child);
    outcome(&text, child.wait().unwrap())
}

/// What it says until its end, which comes in time or by us.
fn all_of(said: &mut PipeReader, child: &Child) -> String {
    let patience = PollTimeout::try_from(PATIENCE).unwrap();
    let mut ended = [PollFd::new(child.pidfd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut ended, patience).unwrap(), 1, "it does not end");
    let mut text = String::new();
    said.read_to_string(&mut text).unwrap();
    text
}

fn outcome(text: &str, exit: Exit) -> String {
    match (text.trim(), exit) {
        ("", Exit::Signal(libc::SIGSYS) | Exit::Code(PART_KILLED)) => "killed".into(),
        ("", Exit::Code(EXECUTED)) => "in".into(),
        // Of the kernel's, for want of memory: ours takes longer than a test.
        ("", Exit::Signal(libc::SIGKILL)) => "out of memory".into(),
        (text, Exit::Code(0)) if !text.is_empty() => text.to_owned(),
        (text, exit) => format!("{text:?} {exit:?}"),
    }
}

/// The same in a child of the zygote.
fn in_child(spec: &mut Spec, words: &[String], removed: &[Layer]) -> String {
    let steps: Vec<&str> = removed
        .iter()
        .filter_map(|layer| match layer {
            Layer::Child(name) => Some(*name),
            _ => None,
        })
        .collect();
    spec.argv.truncate(1);
    spec.argv.push("zygote".into());
    let without = (zygote::weak::VARIABLE.to_owned(), steps.join(","));
    spec.env.push(without);
    let (kind, flags) = (SockType::SeqPacket, SockFlag::SOCK_CLOEXEC);
    let (ours, theirs) = socketpair(AddressFamily::Unix, kind, None, flags).unwrap();
    let (mut log, output) = std::io::pipe().unwrap();
    let mut sandbox = match spawn(spec, vec![(theirs, 3), (output.into(), 2)]) {
        Ok(child) => child,
        Err(error) => return format!("not started: {error}"),
    };
    let mut zygote = Zygote::from_socket(ours);
    let made = zygote
        .wait_ready(PATIENCE)
        .and_then(|()| zygote.fork(&[], PATIENCE));
    let text = match made {
        Ok((socket, pidfd)) => talk(socket, &pidfd, words),
        Err(error) => format!("no child: {error}"),
    };
    // It reaps its child first, and says how that one ended. Not by closing: it may
    // have inherited our end.
    shutdown(zygote.as_fd().as_raw_fd(), Shutdown::Both).unwrap();
    let log = all_of(&mut log, &sandbox);
    sandbox.wait().unwrap();
    let killed = log.contains("was killed by SIGSYS") || log.contains("(exit code 159)");
    match text.trim() {
        "" if killed => "killed".into(),
        "" if log.contains("(exit code 42)") => "in".into(),
        "" => format!("nothing said: {log}"),
        text => text.to_owned(),
    }
}

fn talk(socket: OwnedFd, pidfd: &OwnedFd, words: &[String]) -> String {
    let mut socket = UnixStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // One that failed to lock itself down reads nothing.
    writeln!(socket, "{}", words.join(" ")).ok();
    let mut text = String::new();
    // What is reset has said nothing.
    socket.read_to_string(&mut text).ok();
    let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(PATIENCE).unwrap();
    assert_eq!(
        poll(&mut ended, patience).unwrap(),
        1,
        "the child does not end"
    );
    text
}
