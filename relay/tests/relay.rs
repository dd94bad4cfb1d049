//! The relay's own program in a sandbox with its policy, as the supervisor
//! starts it. Needs root and Linux 6.12 or later.

use channels::handed;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use sandbox::{
    Access, Child, Dumpable, Entry, Exit, Network, PathRule, Proc, Rlimits, Root, Spec, User,
    WriteExecute, policy,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

/// Static, as in the image: its sandbox holds no library.
fn program() -> PathBuf {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("static");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "relay", "--bin", "relay"])
        .args(["--target", &target, "--target-dir"])
        .arg(&folder)
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success());
    folder.join(target).join("debug/relay")
}

/// A relay, and the supervisor's end of its control socket.
struct Relay {
    control: OwnedFd,
    child: Child,
}

impl Relay {
    fn start() -> Self {
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let (control, theirs) = socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let spec = Spec {
            name: "relay".into(),
            root: Root::Entries(vec![Entry {
                host: program(),
                path: "/relay".into(),
                access: Access::Execute,
            }]),
            volumes: vec![],
            scratch: vec![],
            devices: vec![],
            proc: Proc::Absent,
            argv: vec!["/relay".into()],
            env: [
                ("LISTEN_PID", "1"),
                ("LISTEN_FDS", "1"),
                ("LISTEN_FDNAMES", relay::CONTROL),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
            cgroup: None,
            user: User::One {
                inside: 1000,
                outside: 200_000,
            },
            capabilities: vec![],
            network: Network::default(),
            rlimits: Rlimits {
                open_files: relay::DESCRIPTORS,
                file_size: 0,
            },
            paths: vec![PathRule {
                path: "/relay".into(),
                access: Access::Execute,
            }],
            policy: policy::load_compiled(
                relay::POLICY_NAME,
                relay::POLICY,
                "relay.bpf",
                relay::COMPILED_POLICY,
            )
            .unwrap(),
            write_execute: WriteExecute::Refused,
            dumpable: Dumpable::Allowed,
        };
        let log = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
        let child = sandbox::spawn(&spec, vec![(log, 2), (theirs, 3)]).unwrap();
        Self { control, child }
    }

    /// A connection through it: the two sides that are not the relay's.
    fn join(&self) -> (TcpStream, TcpStream) {
        let (user, near) = pair();
        let (provider, far) = pair();
        let ends = [near.as_fd(), far.as_fd()];
        while handed::send(self.control.as_fd(), &ends).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        (user, provider)
    }
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    for end in [&one, &other] {
        end.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    }
    (one, other)
}

fn read_all(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn each_direction_ends_by_itself() {
    let relay = Relay::start();
    let (mut user, mut provider) = relay.join();
    user.write_all(b"question").unwrap();
    user.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&provider), b"question");
    // The other one goes on.
    provider.write_all(b"answer").unwrap();
    provider.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&user), b"answer");
}

#[test]
fn megabytes_arrive_whole_both_ways_beside_one_who_takes_nothing() {
    let relay = Relay::start();
    let (stuck, _deaf) = relay.join();
    stuck.set_nonblocking(true).unwrap();
    // Until every buffer on its way is full.
    while (&stuck).write(&[0; 65536]).is_ok() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (user, provider) = relay.join();
    let bytes = |seed: u32| -> Vec<u8> {
        let next = |i: u32| i.wrapping_mul(2_654_435_761).to_be_bytes()[0];
        (seed..seed + 8_000_000).map(next).collect()
    };
    let (there, back) = (bytes(1), bytes(7));
    let send = |mut to: &TcpStream, what: &[u8]| {
        to.write_all(what).unwrap();
        to.shutdown(Shutdown::Write).unwrap();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| send(&user, &there));
        scope.spawn(|| send(&provider, &back));
        scope.spawn(|| assert!(read_all(&user) == back));
        assert!(read_all(&provider) == there);
    });
}

#[test]
fn who_is_cut_off_does_not_look_like_one_who_has_ended() {
    let mut relay = Relay::start();
    let (user, provider) = relay.join();
    let reset = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&user, sockopt::Linger, &reset).unwrap();
    drop(user);
    let error = (&provider).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    // Only that connection is over.
    assert_eq!(relay.child.try_wait().unwrap(), None);
    let (mut user, provider) = relay.join();
    user.write_all(b"next").unwrap();
    drop(user);
    assert_eq!(read_all(&provider), b"next");
}

#[test]
fn more_connections_than_places_wait_and_are_served_in_their_turn() {
    let relay = Relay::start();
    let held: Vec<_> = (0..relay::MOST).map(|_| relay.join()).collect();
    for (user, provider) in &held {
        let (mut user, mut provider, mut byte) = (user, provider, [0]);
        user.write_all(b"a").unwrap();
        provider.read_exact(&mut byte).unwrap();
    }
    let (mut user, provider) = relay.join();
    user.write_all(b"b").unwrap();
    user.shutdown(Shutdown::Write).unwrap();
    let short = Some(Duration::from_millis(300));
    provider.set_read_timeout(short).unwrap();
    let error = (&provider).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "it had no place");
    drop(held);
    provider
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    assert_eq!(read_all(&provider), b"b");
}

#[test]
fn it_ends_well_with_its_last_connection_when_no_more_can_come() {
    let mut relay = Relay::start();
    let (mut user, provider) = relay.join();
    user.write_all(b"x").unwrap();
    (&provider).read_exact(&mut [0]).unwrap();
    drop(relay.control);
    user.write_all(b"still carried").unwrap();
    drop(user);
    assert_eq!(read_all(&provider), b"still carried");
    assert_eq!(relay.child.try_wait().unwrap(), None);
    drop(provider);
    assert_eq!(relay.child.wait().unwrap(), Exit::Code(0));
}

#[test]
fn a_packet_that_is_none_of_the_supervisor_s_ends_it() {
    let mut relay = Relay::start();
    let (_user, near) = pair();
    handed::send(relay.control.as_fd(), &[near.as_fd()]).unwrap();
    assert_eq!(relay.child.wait().unwrap(), Exit::Code(1));
}
