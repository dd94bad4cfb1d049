//! The gate in front of Debian's Dovecot with our configuration, in namespaces
//! that end with the test. Also Unbound's, as it is made the same way.
//!
//! The packages are unpacked once, into `target/mail-tree`; remove that folder
//! to take newer ones.

use channels::deliver::{self, Outcome};
use channels::recipient_check::{self, Question};
use nix::fcntl::{Flock, FlockArg};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const USERS: &str = "root:x:0:0::/:\ndovecot:x:110:110::/:\ndovenull:x:111:111::/:\n";
/// What `doveadm pw` wants to know, though it makes no difference to a hash.
const VERSIONS: &str = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n";
const GROUPS: &str = "root:x:0:\ndovecot:x:110:\ndovenull:x:111:\n";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

fn run(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn tree() -> PathBuf {
    let target = repository().join("target");
    fs::create_dir_all(&target).unwrap();
    // One test makes the tree, the others wait; they may be other processes.
    let lock = fs::File::create(target.join("mail-tree.lock")).unwrap();
    let _one = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
    let tree = target.join("mail-tree");
    if tree.join("etc/passwd").exists() {
        return tree;
    }
    // What a run that was ended left; the file above is made last.
    if tree.exists() {
        fs::remove_dir_all(&tree).unwrap();
    }
    let packages = "--include=dovecot-imapd,dovecot-lmtpd,dovecot-sieve,unbound,dns-root-data";
    run(Command::new("mmdebstrap")
        .args(["--quiet", "--variant=extract", packages, "trixie"])
        .arg(&tree));
    for link in ["bin", "sbin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{link}"), tree.join(link)).unwrap();
    }
    for folder in ["proc", "mail", "people", "tls", "run"] {
        fs::create_dir_all(tree.join(folder)).unwrap();
    }
    fs::write(tree.join("etc/versions.conf"), VERSIONS).unwrap();
    fs::write(tree.join("etc/group"), GROUPS).unwrap();
    fs::write(tree.join("etc/passwd"), USERS).unwrap();
    tree
}

/// A program in namespaces of its own, with this thread's network. `mounts`
/// are shell lines; `$T` is the tree, and descriptor 3 is `passed`.
struct Boxed(Child);

impl Boxed {
    fn start(mounts: &str, passed: OwnedFd, program: &str) -> Self {
        let script = format!(
            "set -e; mount -t proc proc $T/proc
            for F in run tmp dev; do mount -t tmpfs tmpfs $T/$F; done
            mkdir $T/run/dovecot; mknod -m 666 $T/dev/null c 1 3
            mknod -m 666 $T/dev/urandom c 1 9; ln -s /proc/self/fd/2 $T/dev/stderr
            {mounts}
            exec 3<&0 </dev/null
            export LISTEN_FDS=1 LISTEN_FDNAMES=imaps LISTEN_PID=$$
            exec chroot $T {program}"
        );
        let child = Command::new("unshare")
            .args(["-mpf", "--kill-child", "sh", "-c", &script])
            .env("T", tree())
            .env("O", repository().join("overlays"))
            .stdin(passed)
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Boxed {
    /// SIGKILL for every process in it: a power cut, as far as Dovecot can tell.
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Gives this thread, and what it starts, a network of its own.
fn own_network() {
    let _made_while_there_is_a_network = tree();
    unshare(CloneFlags::CLONE_NEWNET).expect("root is needed");
    run(Command::new("ip").args(["link", "set", "lo", "up"]));
}

fn dial(address: &str) -> TcpStream {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < end, "{address}: {error}"),
        }
        thread::sleep(Duration::from_millis(50));
    }
}

struct Mail {
    folder: PathBuf,
    boxed: Option<Boxed>,
}

impl Mail {
    /// Dovecot with Anna (20001) and Ben (20002).
    fn start(name: &str) -> Self {
        own_network();
        let folder = std::env::temp_dir().join(format!("gate-{name}-{}", std::process::id()));
        for part in ["mail", "people", "tls"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let mut list = String::new();
        for (uid, person) in [(20_001, "anna"), (20_002, "ben")] {
            let home = folder.join(format!("mail/{uid}"));
            run(Command::new("mkdir").args(["-m", "700"]).arg(&home));
            chown(&home, Some(uid), Some(uid)).unwrap();
            let hash = run(Command::new("chroot").arg(tree()).args([
                "doveadm",
                "-c",
                "/etc/versions.conf",
                "pw",
                "-s",
                "ARGON2ID",
                "-p",
                person,
            ]));
            let hash = hash.trim();
            list += &format!("{person}@box.example:{hash}:{uid}:{uid}::/mail/{uid}::\n");
        }
        fs::write(folder.join("people/passwd"), list).unwrap();
        run(Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-nodes",
                "-subj",
                "/CN=box.example",
            ])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", "key.pem"])
            .args(["-out", "certificate.pem"])
            .current_dir(folder.join("tls")));
        let mounts = format!(
            "mkdir -p $T/etc/dovecot; mount --bind -r $O/dovecot/etc/dovecot $T/etc/dovecot
            for F in mail people tls; do mount --bind {}/$F $T/$F; done",
            folder.display()
        );
        let listener = TcpListener::bind("[::]:993").unwrap();
        let boxed = Boxed::start(&mounts, listener.into(), "dovecot -F");
        Self {
            folder,
            boxed: Some(boxed),
        }
    }

    fn gate(&self) -> (UnixStream, UnixStream, thread::JoinHandle<()>) {
        let dovecot = dial("127.0.0.1:24");
        let (check, check_end) = UnixStream::pair().unwrap();
        let (deliver, deliver_end) = UnixStream::pair().unwrap();
        let gate = thread::spawn(move || {
            let channels = Channels {
                check: check_end,
                deliver: deliver_end,
                tokens: tokens_end,
                dovecot,
            };
            gate::serve("box.example", &learned, channels).unwrap();
        });
        (check, deliver, gate)
    }

    fn deliver(&self, to: &[&str], message: &[u8]) -> Outcome {
        let (mut check, mut deliver, gate) = self.gate();
        let to: Vec<String> = to.iter().map(|one| (*one).to_owned()).collect();
        for recipient in &to {
            assert!(ask(&mut check, recipient), "{recipient}");
        }
        let outcome = deliver::send(&mut deliver, "s@x.example", &to, message).unwrap();
        gate.join().unwrap();
        outcome
    }

    /// A message as a mail program reads it, over TLS.
    fn read(&self, person: &str, url: &str) -> String {
        let mut curl = Command::new("curl")
            .args(["--silent", "--show-error", "--insecure", "--config", "-"])
            .arg(format!("imaps://127.0.0.1/{url}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let login = format!("user = \"{person}@box.example:{person}\"\n");
        curl.stdin
            .take()
            .unwrap()
            .write_all(login.as_bytes())
            .unwrap();
        String::from_utf8(curl.wait_with_output().unwrap().stdout).unwrap()
    }

    /// Every file below somebody's home.
    fn files(&self, uid: u32) -> Vec<PathBuf> {
        let home = self.folder.join(format!("mail/{uid}"));
        let list = run(Command::new("find").arg(home));
        list.lines().map(PathBuf::from).collect()
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        self.boxed.take();
        let _left_for_the_system = fs::remove_dir_all(&self.folder);
    }
}

fn ask(check: &mut UnixStream, recipient: &str) -> bool {
    let (sender, recipient) = ("s@x.example".to_owned(), recipient.to_owned());
    recipient_check::ask(check, &Question { sender, recipient }).unwrap()
}

const MESSAGE: &str = "From: s@x.example\r\nSubject: dots\r\n\r\n.\r\n..two\r\nbody \u{e9}\r\n";

#[test]
fn a_message_is_read_as_it_was_sent_and_belongs_to_its_person() {
    let mail = Mail::start("read");
    let (mut check, deliver, gate) = mail.gate();
    assert!(!ask(&mut check, "nobody@box.example"));
    assert!(!ask(&mut check, "anna+x@box.example"));
    assert!(ask(&mut check, "ANNA@box.example"));
    drop((check, deliver));
    gate.join().unwrap();

    let both = ["anna@box.example", "ben@box.example"];
    assert_eq!(mail.deliver(&both, MESSAGE.as_bytes()), Outcome::Delivered);
    for person in ["anna", "ben"] {
        let read = mail.read(person, "INBOX;UID=1");
        let (path, rest) = read.split_once("\r\n").unwrap();
        assert_eq!((path, rest), ("Return-Path: <s@x.example>", MESSAGE));
    }
    for uid in [20_001, 20_002] {
        for file in mail.files(uid) {
            let found = fs::symlink_metadata(&file).unwrap();
            assert_eq!((found.uid(), found.gid()), (uid, uid), "{file:?}");
        }
    }
    let cur = mail.folder.join("mail/20001/Maildir/cur");
    for (uid, may) in [(20_001, true), (20_002, false)] {
        let found = Command::new("setpriv")
            .arg("--clear-groups")
            .args([format!("--reuid={uid}"), format!("--regid={uid}")])
            .arg("ls")
            .arg(&cur)
            .output()
            .unwrap();
        assert_eq!(found.status.success(), may, "{uid}");
    }
}

#[test]
fn what_smtp_in_calls_spam_is_in_junk() {
    let mail = Mail::start("junk");
    let to = ["anna@box.example"];
    let spam = format!("X-Spam-Flag: YES\r\n{MESSAGE}");
    let ham = format!("X-Spam-Flag: NO\r\n{MESSAGE}");
    assert_eq!(mail.deliver(&to, spam.as_bytes()), Outcome::Delivered);
    assert_eq!(mail.deliver(&to, ham.as_bytes()), Outcome::Delivered);
    assert!(mail.read("anna", "Junk;UID=1").ends_with(&spam));
    assert!(mail.read("anna", "INBOX;UID=1").ends_with(&ham));
    assert_eq!(mail.read("anna", "INBOX;UID=2"), "");
    let list = mail.read("anna", "");
    for name in ["Junk", "Trash", "Sent", "Drafts", "Archive"] {
        assert!(list.contains(&format!("\\{name}) \"/\" {name}")), "{list}");
    }
}

#[test]
fn a_large_message_is_there_when_everything_is_killed_after_its_answer() {
    let mut mail = Mail::start("kill");
    let large = format!("{MESSAGE}{}", "0123456789abcdef.\r\n".repeat(400_000));
    let to = ["ben@box.example"];
    assert_eq!(mail.deliver(&to, large.as_bytes()), Outcome::Delivered);
    mail.boxed.take();
    let new = mail.files(20_002).into_iter();
    let texts: Vec<String> = new
        .filter(|file| file.to_str().unwrap().contains("Maildir/new/"))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    assert_eq!(texts.len(), 1);
    assert!(texts[0].ends_with(&large.replace("\r\n", "\n")));
}

#[test]
fn unbound_answers_over_tcp_in_its_own_network() {
    own_network();
    let mounts = "mkdir -p $T/etc/unbound; mount --bind -r $O/unbound/etc/unbound $T/etc/unbound";
    let null: OwnedFd = fs::File::open("/dev/null").unwrap().into();
    let _unbound = Boxed::start(mounts, null, "unbound -d -p");
    let mut stream = dial("127.0.0.1:53");
    // One question: localhost. IN A, with recursion desired (RFC 1035, RFC 7766).
    let question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x09localhost\0\0\x01\0\x01";
    stream.write_all(&[0, question.len() as u8]).unwrap();
    stream.write_all(question).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer.ends_with(&[0, 4, 127, 0, 0, 1]), "{answer:?}");
}
