//! The sandbox's own network, and the parent's way into it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use sandbox::{Connect, Network, Tcp, bind_tcp_early, spawn_prepared};

use crate::{assert_says, error, run, spec, start, without};

fn network(bind: &[u16], connect: Connect) -> Network {
    Network {
        loopback: true,
        unprivileged_ports: false,
        tcp: Tcp {
            bind: bind.to_vec(),
            connect,
        },
    }
}

fn is_close_on_exec(fd: impl AsFd) -> bool {
    let flags = fcntl(fd, FcntlArg::F_GETFD).unwrap();
    FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC)
}

#[test]
fn without_loopback_nothing_is_reached_whatever_ports_are_allowed() {
    let mut spec = spec(Some("ports"));
    spec.network = Network {
        loopback: false,
        ..network(&[], Connect::Any)
    };
    assert_says(
        &run(&spec).0,
        &["connect 80=ENETUNREACH", "datagram=ENETUNREACH"],
    );
}

/// Waits until so many are ready.
fn keep_ready(count: usize) {
    sandbox::keep_networks_ready(count).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while sandbox::networks_ready() != count {
        assert!(Instant::now() < end, "{} ready", sandbox::networks_ready());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_network_that_lay_ready_is_one_sandbox_s_alone_and_as_empty_as_any() {
    let network_of = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/net")).unwrap();
    let home = network_of("thread-self");
    keep_ready(2);
    let sleepers: Vec<_> = (0..3)
        .map(|_| start(&spec(Some("sleep")), vec![]))
        .collect();
    let pids = sleepers.iter().map(|(child, _)| child.pid().to_string());
    let mut networks: Vec<_> = pids.map(|pid| network_of(&pid)).collect();
    networks.push(home.clone());
    networks.sort();
    networks.dedup();
    assert_eq!(networks.len(), 4);
    // The caller is where it was.
    assert_eq!(network_of("thread-self"), home);
    // And so is who made them: a network ends with its sandbox.
    keep_ready(2);
    let own = |task: std::io::Result<std::fs::DirEntry>| {
        let task = task.unwrap().file_name();
        network_of(&format!("self/task/{}", task.to_str().unwrap())) == home
    };
    assert!(std::fs::read_dir("/proc/self/task").unwrap().all(own));
    let (lines, _) = run(&spec(None));
    assert_says(&lines, &["connect=EACCES", "unshare net=EPERM"]);
    let mut spec = spec(Some("ports"));
    spec.network = Network {
        loopback: false,
        ..network(&[], Connect::Any)
    };
    let expected = ["connect 80=ENETUNREACH", "datagram=ENETUNREACH"];
    assert_says(&run(&spec).0, &expected);
    // With its loopback, which it can bring up only in one of its own.
    spec.network.loopback = true;
    assert_says(&run(&spec).0, &["connect 80=ECONNREFUSED", "datagram=ok"]);
    keep_ready(0);
    spec.network.loopback = false;
    assert_says(&run(&spec).0, &expected);
}

#[test]
fn loopback_is_the_sandbox_s_own_and_landlock_still_refuses_every_port() {
    let mut spec = spec(Some("ports"));
    spec.network = network(&[], Connect::None);
    assert_says(
        &run(&spec).0,
        &[
            "datagram=ok",
            "bind 2525=EACCES",
            "connect 80=EACCES",
            "connect ::1=EACCES",
        ],
    );
}

#[test]
fn only_the_listed_ports_can_be_bound_and_connected_to() {
    let mut spec = spec(Some("ports"));
    spec.network = network(&[2525], Connect::Ports(vec![80]));
    assert_says(
        &run(&spec).0,
        &[
            "bind 2525=ok",
            "bind 2526=EACCES",
            // Nobody listens, but Landlock let it through.
            "connect 80=ECONNREFUSED",
            "connect ::1=ECONNREFUSED",
            "connect 25=EACCES",
        ],
    );
    spec.network = network(&[], Connect::Any);
    assert_says(
        &run(&spec).0,
        &[
            "connect 25=ECONNREFUSED",
            "connect 80=ECONNREFUSED",
            "bind 2525=EACCES",
        ],
    );
    spec.network.tcp.connect = Connect::Ports(vec![80, 0]);
    assert!(error(&spec).contains("no port 0"), "{}", error(&spec));
}

#[test]
fn low_ports_need_the_spec_s_word_and_landlock_s() {
    let mut spec = spec(Some("ports"));
    spec.network = network(&[25], Connect::None);
    assert_says(&run(&spec).0, &["bind 25=EACCES", "bind udp 53=EACCES"]);
    spec.network.unprivileged_ports = true;
    assert_says(
        &run(&spec).0,
        &["bind 25=ok", "bind 26=EACCES", "bind udp 53=ok"],
    );
    // Only there: the thread that wrote it has left the host's as it was.
    let host = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    assert_ne!(std::fs::read_to_string(host).unwrap().trim(), "0");
}

#[test]
fn the_parent_connects_to_a_port_inside_that_the_host_does_not_have() {
    let mut spec = spec(Some("serve"));
    spec.network = network(&[2525], Connect::None);
    let (mut child, output) = start(&spec, vec![]);
    let mut output = BufReader::new(output);
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "listening=true\n");
    TcpStream::connect("127.0.0.1:2525").unwrap_err();
    let refused = child.connect_tcp(2526).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(
        refused
            .to_string()
            .starts_with("sandbox probe: connect to 127.0.0.1:2526 inside: "),
        "{refused}"
    );
    let mut stream = child.connect_tcp(2525).unwrap();
    assert!(is_close_on_exec(&stream));
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "from inside\n");
    child.wait().unwrap();
    // Nobody is there any more, and nobody else is dialled instead.
    child.connect_tcp(2525).unwrap_err();
}

#[test]
fn the_parent_listens_on_a_port_inside() {
    let mut spec = spec(Some("dial"));
    spec.network = network(&[], Connect::Ports(vec![4000]));
    let (theirs, ours) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let (mut child, mut output) = start(&spec, vec![(theirs, 0)]);
    let listener = child.bind_tcp(4000).unwrap();
    assert!(is_close_on_exec(&listener));
    // This thread is still in the host's network.
    TcpStream::connect("127.0.0.1:4000").unwrap_err();
    nix::unistd::write(&ours, b"x").unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"hello").unwrap();
    drop(stream);
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert!(text.contains("dialled=ok\nheard=hello\n"), "{text}");
    child.wait().unwrap();
}

#[test]
fn a_port_that_was_made_early_is_there_before_the_program() {
    let mut spec = spec(Some("dial"));
    spec.network = network(&[], Connect::Ports(vec![4000]));
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    // The program reads it, and dials.
    let (told, tell) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    nix::unistd::write(&tell, b"x").unwrap();
    let mut listener = None;
    let mut child = spawn_prepared(&spec, vec![(told, 0), (write, 1)], |pid| {
        listener = Some(bind_tcp_early(pid, 4000)?);
        Ok(())
    })
    .unwrap();
    let listener = listener.unwrap();
    assert!(is_close_on_exec(&listener));
    TcpStream::connect("127.0.0.1:4000").unwrap_err();
    let (mut stream, from) = listener.accept().unwrap();
    assert!(from.ip().is_loopback(), "{from}");
    stream.write_all(b"hello").unwrap();
    drop(stream);
    let mut text = String::new();
    std::fs::File::from(read).read_to_string(&mut text).unwrap();
    assert!(text.contains("dialled=ok\nheard=hello\n"), "{text}");
    child.wait().unwrap();
}

#[test]
fn a_network_that_cannot_be_had_is_an_error_and_not_left_out() {
    for (call, step) in [
        (libc::SYS_ioctl, "loopback"),
        (libc::SYS_setns, "unprivileged ports"),
    ] {
        let mut spec = spec(Some("exit"));
        spec.network = network(&[], Connect::None);
        spec.network.unprivileged_ports = true;
        let failed = std::thread::spawn(move || {
            without(call, libc::EPERM);
            error(&spec)
        });
        assert_eq!(
            failed.join().unwrap(),
            format!("sandbox probe: step {step:?}: EPERM: Operation not permitted")
        );
    }
}
