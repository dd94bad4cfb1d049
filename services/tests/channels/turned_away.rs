//! Connections that find no place are told so, whatever the reason.

use super::support::{App, children, connect_from, until};
use nix::sys::resource::{Resource, setrlimit};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const FULL: &str = "421 4.3.2 mail.example.org busy, try again later\r\n";

/// A service that never ends, with these limits, and a daemon that it needs.
fn manifest(limits: &str) -> String {
    format!(
        r#"
app: probe
services:
  idle:
    root: probe
    programs: [/lib, /lib64]
    run: [/probe, idle, sleep]
    lifetime: per-connection
    listen: [{{ port: 25, zone: public, full: "421 4.3.2 {{hostname}} busy, try again later" }}]
    uses: [by-socket]
    policy: probe.seccomp
    limits: {{ memory: 64M, tasks: 16, files: 64, file-size: 0, {limits} }}
  keeper:
    root: probe
    programs: [/lib, /lib64]
    run: [/probe, keeper, "serve-listening:by-socket"]
    lifetime: daemon
    provides: [{{ name: by-socket, kind: connected, socket: listening }}]
    policy: probe.seccomp
    limits: {{ memory: 64M, tasks: 16, files: 64, file-size: 0 }}
"#
    )
}

/// All that it is told until its end; it has said something itself, which is
/// never read by anybody.
fn told(mut connection: TcpStream) -> String {
    connection.write_all(&[b'x'; 30_000]).unwrap();
    let patience = Some(Duration::from_secs(30));
    connection.set_read_timeout(patience).unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    text
}

/// How many connections are served once nothing changes any more.
fn sandboxes(served: usize) {
    let wanted = served + 1;
    until("so many sandboxes", || {
        (children().len() == wanted).then_some(())
    });
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(children().len(), wanted);
}

#[test]
fn beyond_the_places_of_all_or_of_one_sender_a_connection_is_told_and_closed() {
    let limits =
        "deadline: 10m, at-once: 2, from-one-address: 1, waiting: 1, waiting-from-one-address: 1";
    let app = App::start(&manifest(limits), "full");
    app.wait_ready();
    let served = connect_from([127, 0, 0, 1], 25);
    sandboxes(1);
    let waits = connect_from([127, 0, 0, 1], 25);
    // This sender has no third connection, though there is a place.
    assert_eq!(told(connect_from([127, 0, 0, 1], 25)), FULL);
    sandboxes(1);
    let other = connect_from([127, 0, 0, 2], 25);
    sandboxes(2);
    // Now there is none for anybody. Nor does it matter that others who were
    // turned away neither read nor close.
    let silent: Vec<TcpStream> = (0..100).map(|_| connect_from([127, 0, 0, 3], 25)).collect();
    let begun = Instant::now();
    assert_eq!(told(connect_from([127, 0, 0, 4], 25)), FULL);
    assert!(begun.elapsed() < Duration::from_secs(5), "{begun:?}");
    // Who waits gets no place while another of its own is served.
    sandboxes(2);
    drop(served);
    sandboxes(2);
    // The app ends: who still waits is told as well.
    let stopped = std::thread::spawn(move || told(waits));
    drop(silent);
    // And one at work is cut off.
    let cut = std::thread::spawn(move || {
        let mut other = other;
        other.read_to_end(&mut Vec::new()).unwrap()
    });
    app.stop_leaves_nothing();
    assert_eq!(stopped.join().unwrap(), FULL);
    assert_eq!(cut.join().unwrap(), 0);
}

/// How many descriptors and threads the runtime has, which is this process.
fn used() -> (usize, usize) {
    let count = |folder: &str| std::fs::read_dir(folder).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

#[test]
fn ten_thousand_connections_take_nobody_s_place_and_leave_nothing() {
    const MANY: u16 = 10_000;
    // This side holds all of them; the other must not.
    let files = u64::from(MANY) + 1000;
    setrlimit(Resource::RLIMIT_NOFILE, files, files).unwrap();
    let limits = "deadline: 10m, at-once: 2, from-one-address: 1, waiting: 0";
    let app = App::start(&manifest(limits), "flood");
    app.wait_ready();
    let served = connect_from([127, 0, 0, 1], 25);
    let other = connect_from([127, 0, 0, 2], 25);
    sandboxes(2);
    let before = used();
    let silent: Vec<TcpStream> = (0..MANY)
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            connect_from([127, 1, high, low], 25)
        })
        .collect();
    // Who comes behind them is told at once, and nobody was served in between.
    let begun = Instant::now();
    assert_eq!(told(connect_from([127, 0, 0, 3], 25)), FULL);
    assert!(begun.elapsed() < Duration::from_secs(5), "{begun:?}");
    sandboxes(2);
    let (descriptors, threads) = used();
    let theirs = descriptors - before.0 - silent.len();
    // `Farewells::MOST`, and one that is being turned away.
    assert!(theirs <= 65, "the runtime holds {theirs} of them");
    assert_eq!(threads, before.1);
    drop(silent);
    until("nothing is left of them", || {
        (used() == before).then_some(())
    });
    sandboxes(2);
    drop((served, other));
    app.stop_leaves_nothing();
}

#[test]
fn a_connection_that_cannot_be_served_is_told_at_its_deadline() {
    let app = App::start(&manifest("deadline: 2s"), "cannot");
    app.wait_ready();
    let root = app.image().join("roots/probe");
    let told_in_time = || {
        let begun = Instant::now();
        assert_eq!(told(app.connect(25)), FULL);
        let took = begun.elapsed();
        assert!(
            (Duration::from_millis(1900)..Duration::from_secs(10)).contains(&took),
            "{took:?}"
        );
    };
    std::fs::rename(&root, root.with_extension("away")).unwrap();
    // Its sandbox can't be made.
    told_in_time();
    // What it needs does not run, and may come again.
    app.kill("keeper");
    app.wait_for(0, |_, line| (line == "probe: not ready").then_some(()));
    told_in_time();
    app.stop_leaves_nothing();
}
