//! A real zygote with Debian's SpamAssassin, in a real sandbox, on this
//! machine's kernel: root, Linux 6.12 or later, mmdebstrap. What is missing
//! fails the test and does not skip it.

use std::fs;
use std::io::{IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::messages;
use crate::support::root::{Tree, packages};
use crate::support::running::{PATIENCE, Running, ends, parts, plain, send, start, start_with};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::Pid;
use sandbox::Exit;
use zygote::client::ClientError;

/// The same with a plugin that runs what a message says.
fn hostile() -> &'static Path {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        plain();
        let tree = Tree::new("hostile");
        let site = tree.path().join("etc/spamassassin");
        fs::write(site.join("Hostile.pm"), include_str!("support/Hostile.pm")).unwrap();
        let load = "loadplugin Hostile /etc/spamassassin/Hostile.pm\n";
        fs::write(site.join("hostile.pre"), load).unwrap();
        tree
    })
    .path()
}

/// Sends a message to a new child and gives all that came back.
fn scan(running: &mut Running, message: &[u8]) -> String {
    let (socket, pidfd) = running.zygote.fork(&[], PATIENCE).unwrap();
    let mut answer = String::new();
    send(socket, message).read_to_string(&mut answer).unwrap();
    assert!(ends(&pidfd), "the child is still there after its answer");
    answer
}

/// A process's pid on this machine.
fn pid(pidfd: &OwnedFd) -> i32 {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    let line = info.lines().find_map(|l| l.strip_prefix("Pid:")).unwrap();
    line.trim().parse().unwrap()
}

/// A field of /proc/PID/status.
fn status(pid: i32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Makes a child and waits until it has given up everything.
fn locked(running: &mut Running) -> (OwnedFd, OwnedFd, i32) {
    let (socket, pidfd) = running.zygote.fork(&[], PATIENCE).unwrap();
    let pid = pid(&pidfd);
    let end = Instant::now() + PATIENCE;
    // The seed's descriptor is the last to go.
    while fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() != 4
        || status(pid, "Seccomp_filters")
            == status(running.sandbox.pid().as_raw(), "Seccomp_filters")
    {
        assert!(
            Instant::now() < end,
            "the child was not locked down in time"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    (socket, pidfd, pid)
}

/// What Perl of an attacker's, run in a child, gives; empty when it was killed.
fn attack(running: &mut Running, code: &str) -> String {
    scan(running, &attacking(code))
}

/// A message that makes the hostile plugin run `code`.
fn attacking(code: &str) -> Vec<u8> {
    let hex: String = code.bytes().map(|b| format!("{b:02x}")).collect();
    // A field's line has limits elsewhere; here it is folded anyway.
    let folded: Vec<&str> = hex
        .as_bytes()
        .chunks(60)
        .map(|c| str::from_utf8(c).unwrap())
        .collect();
    let field = format!("X-Hostile: {}\nSubject: x\n\n", folded.join("\n "));
    messages::with_fields("mail.example.com", &field, b"x\n")
}

#[test]
fn the_gtube_sentence_is_spam_and_a_letter_is_not() {
    let mut running = start(plain());
    let answer = scan(&mut running, &messages::gtube());
    let (score, tests) = parts(&answer);
    assert!(score > 990.0 && tests.contains(&"GTUBE"), "{answer}");
    let answer = scan(&mut running, &messages::ham());
    let (score, _) = parts(&answer);
    assert!(score < 1.0, "{answer}");
}

/// An update: the image's own rules and these files, mounted at `/rules`. Returns
/// what the zygote says of an advance-fee letter, and what it said at its start.
fn with_update(name: &str, files: &[(&str, &str)]) -> (String, String) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = folder.join(format!("spamassassin-{}-{name}", std::process::id()));
    let own = plain().join("usr/share/spamassassin/.");
    let (from, to) = (own.to_str().unwrap(), folder.to_str().unwrap());
    crate::support::root::run("cp", &["-r", from, to]);
    fs::write(folder.join("VERSION"), "2026112401\n").unwrap();
    for (file, text) in files {
        fs::write(folder.join(file), text).unwrap();
    }
    let mut running = start_with(plain(), Some(&folder));
    let answer = scan(&mut running, &advance_fee());
    running.sandbox.kill().unwrap();
    running.sandbox.wait().unwrap();
    let mut said = String::new();
    running.log.read_to_string(&mut said).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    (answer, said)
}

/// What the image's own rules say of the same letter.
fn without_update() -> String {
    scan(&mut start(plain()), &advance_fee())
}

fn advance_fee() -> Vec<u8> {
    let mut all = messages::all().into_iter();
    all.find(|(name, _)| *name == "an advance fee").unwrap().1
}

const BARRISTER: &str = "body PX_BARRISTER /Barrister Smith/\nscore PX_BARRISTER 7.5\n";

#[test]
fn a_good_update_changes_a_verdict() {
    // A plugin makes a function for each of these, and only once.
    let part = "mimeheader PX_PART Subject =~ /URGENT/\nscore PX_PART 1\n";
    let files = [("80_new.cf", BARRISTER), ("81_part.cf", part)];
    let (answer, said) = with_update("good", &files);
    let (score, tests) = parts(&answer);
    let own = without_update();
    let (before, known) = parts(&own);
    assert!(tests.contains(&"PX_BARRISTER"), "{answer}; {said}");
    assert!(tests.contains(&"PX_PART"), "{answer}; {said}");
    assert!((score - before - 8.5).abs() < 0.15, "{answer} after {own}");
    // All else is judged as before: lint has left nothing behind.
    let rest = tests.into_iter().filter(|test| !test.starts_with("PX_"));
    assert_eq!(rest.collect::<Vec<_>>(), known);
    assert!(!said.contains("zygote:"), "{said}");
}

#[test]
fn an_update_replaces_all_rules_of_the_image() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = folder.join(format!("spamassassin-{}-lone", std::process::id()));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("VERSION"), "2026112401\n").unwrap();
    fs::write(folder.join("80_new.cf"), BARRISTER).unwrap();
    let judged = || scan(&mut start_with(plain(), Some(&folder)), &advance_fee());
    let answer = judged();
    assert_eq!(parts(&answer), (7.5, vec!["PX_BARRISTER"]), "{answer}");
    // What lint has compiled of it must not stand for the image's rules.
    fs::write(folder.join("90_bad.cf"), "score PX_BARRISTER many\n").unwrap();
    assert_eq!(judged(), without_update());
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn an_update_that_does_not_load_leaves_the_images_own_rules() {
    let own = without_update();
    for (name, file, text, why) in [
        (
            "score",
            "80_new.cf",
            "score PX_BARRISTER many\n",
            "PX_BARRISTER",
        ),
        ("regex", "80_new.cf", "body PX_OPEN /(open/\n", "PX_OPEN"),
        (
            "plugin",
            "80_new.cf",
            "loadplugin Evil /rules/Evil.pm\n",
            "80_new.cf:3: \"loadplugin\" is not allowed",
        ),
        (
            "dash",
            "80_new.cf",
            "lang en LoadPlugin Evil\n",
            "\"loadplugin\" is not allowed",
        ),
        (
            "include",
            "80_new.cf",
            "include /etc/passwd\n",
            "\"include\" is not allowed",
        ),
        (
            "call",
            "80_new.cf",
            "if (can(POSIX::pause))\nendif\n",
            "\"POSIX::pause\" is not allowed",
        ),
        (
            "code",
            "80_new.cf",
            "body PX_CODE /(?{ die })/\n",
            "eval (?{}) found",
        ),
        (
            "pre",
            "80_new.pre",
            "loadplugin Evil\n",
            "80_new.pre: only VERSION and *.cf",
        ),
        (
            "pm",
            "Evil.pm",
            "package Evil; 1;\n",
            "Evil.pm: only VERSION and *.cf",
        ),
    ] {
        // The good rule comes along, and must not stay of a bad update.
        let text = if file.ends_with(".cf") {
            BARRISTER.to_owned() + text
        } else {
            text.to_owned()
        };
        let (answer, said) = with_update(name, &[(file, &text)]);
        assert_eq!(answer, own, "{name}: {said}");
        let lines: Vec<&str> = said.lines().filter(|l| l.contains("not used")).collect();
        assert_eq!(lines.len(), 1, "{name}: {said}");
        assert!(lines[0].contains(why), "{name}: {said}");
    }
}

#[test]
fn the_boxs_own_received_line_is_believed() {
    let mut running = start(plain());
    let letter = |rdns| messages::with_fields(rdns, "Subject: Lunch\n\n", b"At noon?\n");
    let known = scan(&mut running, &letter("mail.example.com"));
    let unknown = scan(&mut running, &letter("unknown"));
    assert!(!parts(&known).1.contains(&"RDNS_NONE"), "{known}");
    assert!(parts(&unknown).1.contains(&"RDNS_NONE"), "{unknown}");
}

#[test]
fn a_locked_child_judges_as_an_unlocked_spamassassin_does() {
    let mut running = start(plain());
    let all = messages::all();
    let expected = reference(&all);
    for ((name, message), expected) in all.iter().zip(expected) {
        let answer = scan(&mut running, message);
        assert_eq!(answer, expected, "{name}");
        // Or two that both can't read a charset would agree.
        let seen = match *name {
            "iso-2022-jp" => "SEEN_JAPANESE",
            // Not gb18030, for which Perl has no table, nor utf-16 with a
            // mark, which SpamAssassin leaves alone, locked or not.
            "gb2312" => "SEEN_CHINESE",
            "big5" => "SEEN_TAIWANESE",
            "euc-kr" => "SEEN_KOREAN",
            "koi8-r" | "windows-1251" => "SEEN_RUSSIAN",
            "quoted-printable" => "SEEN_GERMAN",
            _ => continue,
        };
        assert!(answer.contains(seen), "{name}: {answer}");
    }
}

/// What `spamassassin -L -t` of Debian's, with all of its files and plugins,
/// says of each message, in the child's words.
fn reference(all: &[messages::Message]) -> Vec<String> {
    let folder = packages().join("tmp/messages");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new("chroot");
    command.arg(packages());
    command
        .args(["/usr/bin/spamassassin", "-L", "-t"])
        .env("LC_ALL", "C");
    for (index, (_, message)) in all.iter().enumerate() {
        let name = format!("{index:02}");
        fs::write(folder.join(&name), message).unwrap();
        command.arg(format!("/tmp/messages/{name}"));
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout).replace("\r", "");
    let mut found = Vec::new();
    for part in text.split("\nX-Spam-Status: ").skip(1) {
        let field = part.replace("\n\t", " ").replace("\n ", " ");
        let field = field.lines().next().unwrap().to_owned();
        let word = |name: &str| {
            let after = field
                .split_once(name)
                .unwrap_or_else(|| panic!("{field}"))
                .1;
            after.to_owned()
        };
        let first = |text: String| text.split(' ').next().unwrap().to_owned();
        let tests = word("tests=");
        let tests = tests.split(" autolearn=").next().unwrap().replace(' ', "");
        let tests = if tests == "none" { "" } else { &tests };
        let (score, required) = (first(word("score=")), first(word("required=")));
        found.push(format!("score={score} required={required} tests={tests}\n"));
    }
    assert_eq!(found.len(), all.len(), "{text}");
    found
}

#[test]
fn each_message_has_a_process_of_its_own_in_namespaces_of_its_own() {
    let mut running = start(plain());
    let zygote = running.sandbox.pid().as_raw();
    let (one, one_fd, first) = locked(&mut running);
    let (two, two_fd, second) = locked(&mut running);
    assert_ne!(first, second);
    for name in ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup"] {
        let of = |pid| fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        let all = [of(zygote), of(first), of(second)];
        assert!(
            all[0] != all[1] && all[1] != all[2] && all[0] != all[2],
            "{name}: {all:?}"
        );
    }
    for (socket, pidfd) in [(one, one_fd), (two, two_fd)] {
        let mut answer = String::new();
        send(socket, &messages::ham())
            .read_to_string(&mut answer)
            .unwrap();
        parts(&answer);
        assert!(ends(&pidfd));
    }
    // And they were reaped, not left as zombies.
    let end = Instant::now() + PATIENCE;
    while Path::new(&format!("/proc/{first}")).exists()
        || Path::new(&format!("/proc/{second}")).exists()
    {
        assert!(Instant::now() < end, "a zombie is left");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_child_that_reads_its_message_has_nothing_but_its_socket() {
    let mut running = start(plain());
    let (_socket, _pidfd, pid) = locked(&mut running);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(pid, set), "0000000000000000", "{set}");
    }
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    assert_eq!(status(pid, "Seccomp"), "2");
    assert_eq!(status(pid, "NSpid").split(' ').count(), 3);
    assert!(status(pid, "NSpid").ends_with(" 1"));
    let mut fds: Vec<String> = Vec::new();
    for fd in 0..4 {
        let target = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
        fds.push(target.to_string_lossy().into_owned());
    }
    assert_eq!(fds[..3], ["/dev/null", "/dev/null", "/dev/null"]);
    assert!(fds[3].starts_with("socket:"), "{fds:?}");
    let root = fs::read_dir(format!("/proc/{pid}/root")).unwrap().count();
    assert_eq!(root, 0, "the child's root is not empty");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    for (name, most) in [
        ("Max cpu time", "30"),
        ("Max file size", "0"),
        ("Max core file size", "0"),
        ("Max processes", "0"),
        ("Max address space", "440401920"),
    ] {
        let line = limits.lines().find(|l| l.starts_with(name)).unwrap();
        let words: Vec<&str> = line[name.len()..].split_whitespace().collect();
        assert_eq!(words[..2], [most, most], "{name}");
    }
}

/// Hands two pipes over to a child that runs `code`, and gives what came out of
/// each and on its socket.
fn attack_with_two_pipes(running: &mut Running, code: &str) -> [String; 3] {
    let pipes = [(); 2].map(|()| nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap());
    // The first is where the child asks for what was learnt; it closes it then.
    let null = fs::File::open("/dev/null").unwrap();
    let handed = [null.as_fd(), pipes[0].1.as_fd(), pipes[1].1.as_fd()];
    let (socket, pidfd) = running.zygote.fork(&handed, PATIENCE).unwrap();
    let mut answer = String::new();
    send(socket, &attacking(code))
        .read_to_string(&mut answer)
        .unwrap();
    assert!(ends(&pidfd));
    // Our own copies are closed here; the zygote has none, or this would not end.
    let [one, two] = pipes.map(|(read, write)| {
        drop(write);
        let mut text = String::new();
        fs::File::from(read).read_to_string(&mut text).unwrap();
        text
    });
    [one, two, answer]
}

#[test]
fn a_child_has_what_was_handed_over_in_order_and_the_zygote_keeps_none_of_it() {
    let mut running = start(hostile());
    let open = |running: &Running| {
        let zygote = running.sandbox.pid();
        fs::read_dir(format!("/proc/{zygote}/fd")).unwrap().count()
    };
    let before = open(&running);
    let code = "POSIX::write(6, 'first', 5); POSIX::write(7, 'second', 6); \
                POSIX::write(8, 'x', 1) // 'no third'";
    let [one, two, answer] = attack_with_two_pipes(&mut running, code);
    assert_eq!((&*one, &*two), ("first", "second"));
    assert!(answer.starts_with("[no third]\n"), "{answer}");
    // The next child, which is given nothing, has nothing.
    let code = "POSIX::write(6, 'x', 1) // 'nothing'";
    assert!(attack(&mut running, code).starts_with("[nothing]\n"));
    // It reaps a child soon after its end, and has the child's pidfd until then.
    let end = Instant::now() + PATIENCE;
    while open(&running) != before {
        assert!(Instant::now() < end, "the zygote kept a descriptor");
        std::thread::sleep(Duration::from_millis(2));
    }
    // The seed is still where it was.
    let seeds = [(); 2].map(|()| attack_with_two_pipes(&mut running, "rand(1e9)")[2].clone());
    assert!(seeds[0].starts_with('['), "{seeds:?}");
    assert_ne!(seeds[0].lines().next(), seeds[1].lines().next());
}

#[test]
fn no_child_is_given_more_than_four_descriptors() {
    let mut running = start(hostile());
    let null = fs::File::open("/dev/null").unwrap();
    let error = running
        .zygote
        .fork(&[null.as_fd(); 5], PATIENCE)
        .unwrap_err();
    assert!(matches!(error, ClientError::TooMany(5)), "{error}");
    let four = running.zygote.fork(&[null.as_fd(); 4], PATIENCE).unwrap();
    let mut answer = String::new();
    let code = "join ' ', map { defined POSIX::read($_, my $b, 1) ? 'open' : 'none' } 5 .. 9";
    send(four.0, &attacking(code))
        .read_to_string(&mut answer)
        .unwrap();
    let expected = "[none open open open none]\n";
    assert!(answer.starts_with(expected), "{answer}");
    // A supervisor that sends five all the same loses its zygote.
    let fds = [null.as_raw_fd(); 5];
    sendmsg::<()>(
        running.zygote.as_fd().as_raw_fd(),
        &[IoSlice::new(b"F")],
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::empty(),
        None,
    )
    .unwrap();
    assert_eq!(running.sandbox.wait().unwrap(), Exit::Code(1));
}

#[test]
fn hostile_perl_in_a_child_reaches_no_file() {
    let mut running = start(hostile());
    // A positive control: the attacker's code does run, as PID 1.
    assert!(attack(&mut running, "6 * 7").starts_with("[42]\n"));
    assert!(attack(&mut running, "$$").starts_with("[1]\n"));
    for (code, errno) in [
        (
            "open(my $f, '<', '/etc/spamassassin/local.cf') ? 'open' : $!{ENOENT}",
            "ENOENT",
        ),
        ("open(my $f, '<', '/') ? 'open' : $!{ENOENT}", "ENOENT"),
        ("open(my $f, '>', '/x') ? 'open' : $!{ENOENT}", "ENOENT"),
        (
            "open(my $f, '<', '/proc/1/status') ? 'open' : $!{ENOENT}",
            "ENOENT",
        ),
        ("opendir(my $d, '/') ? 'open' : $!{ENOENT}", "ENOENT"),
    ] {
        let code = format!("require Errno; {code}");
        let answer = attack(&mut running, &code);
        let value = answer.lines().next().unwrap_or_default();
        // %! gives the error's number when it is that error.
        let number: i32 = value.trim_matches(['[', ']']).parse().unwrap_or(0);
        assert!(number > 0, "{code}: not {errno} but {answer}");
    }
}

#[test]
fn hostile_perl_in_a_child_is_killed_for_what_is_no_part_of_a_scan() {
    let mut running = start(hostile());
    let calls = [
        "socket(my $s, 2, 1, 0)",
        "socket(my $s, 1, 1, 0)",
        "fork",
        "exec '/usr/bin/perl'",
        "kill 9, 2",
        "kill 0, -1",
        "chroot '/'",
        "mkdir '/x'",
        "pipe(my $a, my $b)",
        "setpgrp",
        "POSIX::setuid(0)",
        "POSIX::dup2(0, 9)",
    ];
    for code in calls {
        assert_eq!(
            attack(&mut running, &format!("{code}; 'survived'")),
            "",
            "{code}"
        );
    }
    // Raw numbers: the same on every machine from 424 on, see asm-generic.
    for (number, name) in [
        (425, "io_uring_setup"),
        (428, "open_tree"),
        (434, "pidfd_open"),
        (435, "clone3"),
    ] {
        let code = format!("syscall({number}, 0, 0); 'survived'");
        assert_eq!(attack(&mut running, &code), "", "{name}");
    }
    // The next message is none the worse for it.
    assert!(attack(&mut running, "'fine'").starts_with("[fine]\n"));
    drop(running.zygote);
    assert_eq!(running.sandbox.wait().unwrap(), Exit::Code(0));
    let mut log = String::new();
    running.log.read_to_string(&mut log).unwrap();
    let kills = log.matches("was killed by SIGSYS").count();
    assert_eq!(kills, calls.len() + 4, "{log}");
}

#[test]
fn children_do_not_share_their_random_numbers() {
    let mut running = start(hostile());
    let first = attack(&mut running, "rand(1e9)");
    let second = attack(&mut running, "rand(1e9)");
    assert!(first.starts_with('[') && second.starts_with('['));
    assert_ne!(first.lines().next(), second.lines().next());
}

#[test]
fn a_child_that_loops_can_be_killed_and_one_that_eats_memory_ends() {
    let mut running = start(hostile());
    let (socket, pidfd, pid) = locked(&mut running);
    let code = "312b31207768696c652031"; // 1+1 while 1
    let field = format!("X-Hostile: {code}\nSubject: x\n\n");
    let _socket = send(socket, &messages::with_fields("unknown", &field, b"x\n"));
    std::thread::sleep(Duration::from_millis(300));
    let still = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert!(still.contains(") R "), "it does not loop: {still}");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert!(ends(&pidfd));
    let bomb = attack(
        &mut running,
        "my $x = 'a' x (1 << 20); my @all; push @all, $x . $_ for 1 .. 1000; 'survived'",
    );
    assert!(!bomb.contains("survived"), "{bomb}");
    assert_eq!(bomb, "");
}

#[test]
fn a_message_that_is_cut_short_or_too_long_has_no_answer() {
    let mut running = start(plain());
    let started = Instant::now();
    let (socket, pidfd) = running.zygote.fork(&[], PATIENCE).unwrap();
    let mut socket = UnixStream::from(socket);
    socket.write_all(&100u32.to_be_bytes()).unwrap();
    socket.write_all(b"Subject: cut").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "");
    assert!(ends(&pidfd));
    let (socket, pidfd) = running.zygote.fork(&[], PATIENCE).unwrap();
    let mut socket = UnixStream::from(socket);
    socket
        .write_all(&(512 * 1024 + 1u32).to_be_bytes())
        .unwrap();
    socket.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "");
    assert!(ends(&pidfd));
    // And not by the limit on CPU time.
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn thousands_of_header_fields_are_cut_and_judged() {
    let mut running = start(plain());
    let line = "Received: from a.example (a.example [203.0.113.5]) by b.example; Tue, 24 Nov 2026 09:00:00 +0000\n";
    let mut message = line.repeat(5_000).into_bytes();
    message.truncate(500 * 1024);
    message.extend(b"\nSubject: late\n\nx\n");
    let started = Instant::now();
    parts(&scan(&mut running, &message));
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// The dynamic linker goes on without a library that it was to load first.
#[test]
fn the_zygote_has_the_allocator_that_keeps_what_a_scan_writes_together() {
    let running = start(plain());
    let maps = format!("/proc/{}/maps", running.sandbox.pid());
    let maps = fs::read_to_string(maps).unwrap();
    assert!(maps.contains("/libjemalloc.so.2"), "{maps}");
    // And it takes memory as a whole, which can be huge pages, and not as it is needed:
    // proc_pid_maps(5), what has no file and no permission.
    let mut reserved = maps.lines().filter(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.len() == 5 && words[1] == "---p"
    });
    assert_eq!(reserved.next(), None, "{maps}");
}

#[test]
fn when_the_zygote_is_killed_its_children_die() {
    let mut running = start(plain());
    let (_socket, pidfd, _) = locked(&mut running);
    running.sandbox.kill().unwrap();
    assert!(ends(&pidfd));
    let error = running.zygote.fork(&[], PATIENCE).unwrap_err();
    assert!(matches!(error, ClientError::Ended), "{error}");
}

#[test]
fn when_the_control_socket_closes_the_zygote_and_its_children_end() {
    let mut running = start(plain());
    let (_socket, pidfd, _) = locked(&mut running);
    drop(running.zygote);
    assert_eq!(running.sandbox.wait().unwrap(), Exit::Code(0));
    assert!(ends(&pidfd));
}

#[test]
fn beyond_the_most_children_the_zygote_refuses_and_goes_on() {
    let mut running = start(plain());
    let mut children = Vec::new();
    for _ in 0..zygote::protocol::MOST_CHILDREN {
        children.push(running.zygote.fork(&[], PATIENCE).unwrap());
    }
    let error = running.zygote.fork(&[], PATIENCE).unwrap_err().to_string();
    assert!(
        error.starts_with("the zygote refused: no child: "),
        "{error}"
    );
    for (socket, pidfd) in children {
        drop(socket);
        assert!(ends(&pidfd));
    }
    parts(&scan(&mut running, &messages::ham()));
}
