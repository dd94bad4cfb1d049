//! Debian's Dovecot with our configuration, in namespaces that end with the test,
//! and gates in front of it. `learn`'s tests use this too.
//!
//! The packages are unpacked once, into `target/mail-tree`; remove that folder
//! to take newer ones.

use channels::deliver::{self, Outcome};
use channels::recipient_check::{self, Question};
use channels::rules::{self, Rules};
use channels::tokens::{self, Counts, Token};
use gate::{Channels, Settings};
use nix::fcntl::{Flock, FlockArg};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::fs::Permissions;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const USERS: &str = "root:x:0:0::/:\ndovecot:x:110:110::/:\ndovenull:x:111:111::/:\n";
/// What `doveadm pw` wants to know, though it makes no difference to a hash.
const VERSIONS: &str = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n";
const GROUPS: &str = "root:x:0:\ndovecot:x:110:\ndovenull:x:111:\n";

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

pub fn run(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn tree() -> PathBuf {
    let target = repository().join("target");
    fs::create_dir_all(&target).unwrap();
    // One test makes the tree, the others wait; they may be other processes.
    let lock = fs::File::create(target.join("mail-tree.lock")).unwrap();
    let _one = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
    let tree = target.join("mail-tree");
    let newest = tree.join("usr/lib/dovecot/managesieve");
    if tree.join("etc/passwd").exists() && newest.exists() {
        return tree;
    }
    // What a run that was ended left, or one of before; the first file is made last.
    if tree.exists() {
        fs::remove_dir_all(&tree).unwrap();
    }
    let packages = "--include=dovecot-imapd,dovecot-lmtpd,dovecot-managesieved,dovecot-sieve,unbound,dns-root-data";
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
pub struct Boxed(Child);

impl Boxed {
    pub fn start(mounts: &str, passed: OwnedFd, program: &str) -> Self {
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
pub fn own_network() {
    let _made_while_there_is_a_network = tree();
    unshare(CloneFlags::CLONE_NEWNET).expect("root is needed");
    run(Command::new("ip").args(["link", "set", "lo", "up"]));
}

pub fn dial(address: &str) -> TcpStream {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < end, "{address}: {error}"),
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// A gate in front of Dovecot.
pub struct Gate {
    pub check: UnixStream,
    pub deliver: UnixStream,
    pub tokens: UnixStream,
    pub thread: thread::JoinHandle<()>,
}

/// Dovecot with its people.
pub struct Mail {
    pub folder: PathBuf,
    pub boxed: Option<Boxed>,
}

/// The group that may read what the filters have learnt: the gate's on the box.
pub const READERS: u32 = 4242;

impl Mail {
    /// Dovecot with Anna (20001) and Ben (20002).
    pub fn start(name: &str) -> Self {
        Self::start_with(name, None)
    }

    /// The same with the folder of the program `learn`.
    pub fn start_with(name: &str, programs: Option<&Path>) -> Self {
        own_network();
        let folder = std::env::temp_dir().join(format!("gate-{name}-{}", std::process::id()));
        for part in ["mail", "people", "tls", "learned", "none"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        // As services/src/volumes.rs makes it.
        let learned = folder.join("learned");
        chown(&learned, Some(0), Some(READERS)).unwrap();
        fs::set_permissions(&learned, Permissions::from_mode(0o2751)).unwrap();
        let mut list = String::new();
        for (uid, person) in [(20_001, "anna"), (20_002, "ben")] {
            let home = folder.join(format!("mail/{uid}"));
            run(Command::new("mkdir").args(["-m", "700"]).arg(&home));
            chown(&home, Some(uid), Some(uid)).unwrap();
            // As people/src/store.rs makes it.
            let own = learned.join(uid.to_string());
            fs::create_dir(&own).unwrap();
            chown(&own, Some(uid), Some(READERS)).unwrap();
            fs::set_permissions(&own, Permissions::from_mode(0o2750)).unwrap();
            symlink(
                uid.to_string(),
                learned.join(format!("{person}@box.example")),
            )
            .unwrap();
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
        // As people/src/aliases.rs writes it.
        let aliases = "sales@box.example::20001:20001:alias:/mail/20001::\n\
            _@caught.example::20002:20002:catch-all:/mail/20002::\n\
            postmaster@box.example::20001:20001:postmaster:/mail/20001::\n\
            postmaster::20001:20001:postmaster:/mail/20001::\n\
            far@box.example::20001:20001:outside:/mail/20001::userdb_sieve_user_email=anna@box.example \
            userdb_sieve_environment/outside1=bob@far.example userdb_sieve_environment/outside2=cleo@third.example\n";
        fs::write(folder.join("people/aliases"), aliases).unwrap();
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
            mkdir -p $T/learned $T/usr/lib/projectx
            mount --bind -r {} $T/usr/lib/projectx
            for F in mail people tls learned; do mount --bind {}/$F $T/$F; done",
            programs.unwrap_or(&folder.join("none")).display(),
            folder.display()
        );
        let listener = TcpListener::bind("[::]:993").unwrap();
        let boxed = Boxed::start(&mounts, listener.into(), "dovecot -F");
        Self {
            folder,
            boxed: Some(boxed),
        }
    }

    /// A gate, and smtp-in's and the child's ends.
    pub fn gate(&self) -> Gate {
        let dovecot = dial("127.0.0.1:24");
        let (check, check_end) = UnixStream::pair().unwrap();
        let (deliver, deliver_end) = UnixStream::pair().unwrap();
        let (tokens, tokens_end) = UnixStream::pair().unwrap();
        let learned = self.folder.join("learned");
        let rules = self.folder.join("rules");
        let gate = thread::spawn(move || {
            let channels = Channels {
                check: check_end,
                deliver: deliver_end,
                tokens: tokens_end,
                // Nobody reads reports here.
                report: UnixStream::pair().unwrap().0,
                dovecot,
            };
            let settings = Settings {
                hostname: "box.example",
                learned: &learned,
                rules: &rules,
            };
            gate::serve(settings, channels).unwrap();
        });
        let mut check = check;
        assert_eq!(rules::hear(&mut check).unwrap(), Rules::default());
        Gate {
            check,
            deliver,
            tokens,
            thread: gate,
        }
    }

    /// The same of a message whose tokens SpamAssassin's child has said; also
    /// what it was answered.
    pub fn deliver_with(
        &self,
        to: &[&str],
        message: &[u8],
        said: Option<&[Token]>,
    ) -> (Outcome, Option<(Counts, Vec<Counts>)>) {
        let mut gate = self.gate();
        let to: Vec<String> = to.iter().map(|one| (*one).to_owned()).collect();
        for recipient in &to {
            assert!(ask(&mut gate.check, recipient), "{recipient}");
        }
        let answer = said.map(|said| tokens::ask(&mut gate.tokens, said).unwrap());
        let outcome = deliver::send(&mut gate.deliver, "s@x.example", &to, message).unwrap();
        gate.thread.join().unwrap();
        (outcome, answer)
    }

    /// What an IMAP command gives in a mailbox; curl's words when it fails.
    pub fn imap(&self, person: &str, mailbox: &str, arguments: &[&str]) -> Result<String, String> {
        let mut curl = Command::new("curl")
            .args(["--silent", "--show-error", "--insecure", "--config", "-"])
            .args(arguments)
            .arg(format!("imaps://127.0.0.1/{mailbox}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let login = format!("user = \"{person}@box.example:{person}\"\n");
        let mut input = curl.stdin.take().unwrap();
        input.write_all(login.as_bytes()).unwrap();
        drop(input);
        let output = curl.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        match output.status.success() {
            true => Ok(text(output.stdout)),
            false => Err(text(output.stderr)),
        }
    }

    /// A message as a mail program reads it, over TLS.
    pub fn read(&self, person: &str, url: &str) -> String {
        self.imap(person, url, &[]).unwrap_or_default()
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        self.boxed.take();
        let _left_for_the_system = fs::remove_dir_all(&self.folder);
    }
}

pub fn ask(check: &mut UnixStream, recipient: &str) -> bool {
    let (sender, recipient) = ("s@x.example".to_owned(), recipient.to_owned());
    recipient_check::ask(check, &Question { sender, recipient }).unwrap()
}
