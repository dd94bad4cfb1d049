//! The names, the time, and that nothing is left of an internet.

use internet::tree::{Peers, WORLD};
use internet::{Domain, HOME, Internet, RESOLVER, TIME_SERVER};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What unbound-host, which asks from the root down with a key, says of a name.
fn asked(internet: &Internet, key: &str, name: &str, kind: &str) -> String {
    let conf = format!("{WORLD}/host.conf");
    // An empty file: Debian's tells where the real key is.
    let words = [
        "unbound-host",
        "-C",
        &conf,
        "-f",
        key,
        "-v",
        "-t",
        kind,
        name,
    ];
    internet.run(Peers::Internet, &words).unwrap()
}

#[test]
fn each_name_is_as_secure_as_its_zone_and_only_for_who_has_our_key() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("host.conf"), "server:\n  do-ip6: no\n").unwrap();
    let internet = Internet::with(folder.path(), &[]).unwrap();
    let ours = format!("{WORLD}/root.key");
    for domain in Domain::ALL {
        let expected = match domain {
            Domain::OpenSmtpd => format!("{domain} mail is handled by 10 mx.{domain}. (insecure)"),
            Domain::Bogus => {
                format!("{domain} mail is handled by 10 mx.{domain}. (BOGUS (security failure))")
            }
            _ => format!("{domain} mail is handled by 10 mx.{domain}. (secure)"),
        };
        let said = asked(&internet, &ours, &domain.name(), "MX");
        let first = said.lines().next().unwrap_or_default();
        assert_eq!(first, expected, "{said}");
    }
    let said = asked(&internet, &ours, "_25._tcp.mx.dane.example", "TLSA");
    assert!(
        said.starts_with("_25._tcp.mx.dane.example has TLSA record 3 1 1 ")
            && said.ends_with(" (secure)\n"),
        "{said}"
    );
    let back = asked(&internet, &ours, "10.1.66.128.in-addr.arpa", "PTR");
    let expected = "10.1.66.128.in-addr.arpa domain name pointer mx.postfix.example. (secure)\n";
    assert_eq!(back, expected);
    let others = "/usr/share/dns/root.key";
    let said = asked(&internet, others, "postfix.example", "MX");
    assert!(said.contains("BOGUS (security failure)"), "{said}");
}

#[test]
fn the_box_s_own_records_are_what_was_published_last() {
    let folder = tempfile::tempdir().unwrap();
    let internet = Internet::with(folder.path(), &[]).unwrap();
    let resolver = format!("@{RESOLVER}");
    let ask = |name: &str, kind: &str| {
        let words = ["kdig", "+short", &resolver, name, kind];
        internet.run(Peers::Internet, &words).unwrap()
    };
    assert_eq!(ask(HOME, "MX"), "10 box.home.example.\n");
    assert_eq!(ask("box.home.example", "A"), "128.66.0.25\n");
    let records = "@ MX 20 other\nother A 128.66.0.26\n_dmarc TXT \"v=DMARC1; p=reject\"\n";
    internet.publish(records).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while ask(HOME, "MX") != "20 other.home.example.\n" {
        assert!(Instant::now() < end, "the old records are still there");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(
        ask("_dmarc.home.example", "TXT"),
        "\"v=DMARC1; p=reject\"\n"
    );
    assert_eq!(ask("box.home.example", "A"), "");
    let error = internet.publish("@ MX nonsense nonsense nonsense\n");
    assert!(error.is_err(), "Knot took nonsense");
}

#[test]
fn the_time_server_tells_the_time_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let internet = Internet::with(folder.path(), &[]).unwrap();
    // Measures once and sets nothing (chronyd(8), -Q).
    let server = format!("server {TIME_SERVER} iburst");
    let words = format!("chronyd -Q -t 20 -l {WORLD}/clock.log");
    let mut words: Vec<&str> = words.split(' ').collect();
    words.extend(["user root", "cmdport 0", "pidfile /run/q.pid", &server]);
    internet.run(Peers::Internet, &words).unwrap();
    let said = fs::read_to_string(folder.path().join("clock.log")).unwrap();
    let (_, off) = said.split_once("System clock wrong by ").expect(&said);
    let off: f64 = off.split(' ').next().unwrap().parse().unwrap();
    assert!(off.abs() < 0.5, "{said}");
}

/// How many processes are in a pid namespace.
fn processes_in(namespace: u64) -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let is_in = |path: std::path::PathBuf| {
        fs::metadata(path.join("ns/pid")).is_ok_and(|meta| meta.ino() == namespace)
    };
    processes.filter(|entry| is_in(entry.path())).count()
}

#[test]
fn two_are_there_at_once_and_nothing_is_left_of_one_whose_process_was_killed() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut killed = Command::new(env!("CARGO_BIN_EXE_internet"))
        .arg(folders[0].path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(killed.stdout.take().unwrap()).lines();
    let pids = lines.next().unwrap().unwrap();
    let pids: u64 = pids.strip_prefix("pids ").unwrap().parse().unwrap();
    let ready = lines.find(|line| line.as_ref().unwrap() == "ready");
    assert!(ready.is_some());
    let other = Internet::with(folders[1].path(), &[Domain::Postfix]).unwrap();
    // Of each domain's server at least one, and those that all share.
    assert!(processes_in(pids) > Domain::ALL.len());
    killed.kill().unwrap();
    killed.wait().unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while processes_in(pids) > 0 {
        assert!(Instant::now() < end, "{} are left", processes_in(pids));
        std::thread::sleep(Duration::from_millis(50));
    }
    other
        .host(Domain::Postfix)
        .run(&["postqueue", "-p"])
        .unwrap();
    let others = other.pid_namespace().unwrap();
    drop(other);
    assert_eq!(processes_in(others), 0);
}

#[test]
fn no_way_leads_from_it_to_the_real_network() {
    let folder = tempfile::tempdir().unwrap();
    let internet = Internet::with(folder.path(), &[Domain::Postfix]).unwrap();
    let routes = Command::new("nsenter")
        .arg(format!("--net=/proc/{}/fd/{}", std::process::id(), {
            use std::os::fd::AsRawFd;
            internet.namespace().as_raw_fd()
        }))
        .args(["ip", "-oneline", "route"])
        .output()
        .unwrap();
    let routes = String::from_utf8(routes.stdout).unwrap();
    assert_eq!(routes, "128.66.1.10 dev to-postfix scope link \n");
}
