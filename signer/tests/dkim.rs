//! The keys of the box's domains. That others verify the signatures is tested where
//! whole messages are (submission/tests, smtp-in).

use channels::dkim_sign::{Reply, Request, ask};
use outbound::settings::Settings;
use signer::dkim::{Signer, connection};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::OnceLock;
use std::thread;

/// Folders with keys that were made once, as that takes seconds; each test has copies.
fn folders() -> tempfile::TempDir {
    static KEYS: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = KEYS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        for part in ["dkim", "outbound"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        Settings::own(&folder.path().join("outbound"), ["home.example"]).unwrap();
        open(folder.path()).prepare();
        folder
    });
    let copy = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(format!("{}/.", made.path().display()))
        .arg(copy.path())
        .status();
    assert!(copied.unwrap().success());
    copy
}

fn open(folder: &Path) -> Signer {
    Signer::new(&folder.join("dkim"), &folder.join("outbound"))
}

fn request(domain: &str) -> Request {
    Request {
        domain: domain.into(),
        fields: vec![
            ("From".into(), " anna@home.example".into()),
            ("Subject".into(), " hello".into()),
        ],
        body_hash: "00".repeat(32),
    }
}

/// The values of a tag in the signatures, the upper one last.
fn tags(reply: &Reply, tag: &str) -> Vec<String> {
    let Reply::Signed { fields } = reply else {
        panic!("{reply:?}");
    };
    let of = |field: &String| {
        let whole: String = field.split_whitespace().collect();
        let (_, tags) = whole.split_once(':').unwrap();
        let mut tags = tags.split(';').filter_map(|tag| tag.split_once('='));
        tags.find(|(name, _)| *name == tag).unwrap().1.to_owned()
    };
    fields.iter().map(of).collect()
}

#[test]
fn a_message_gets_an_ed25519_and_an_rsa_signature_of_the_keys_in_force() {
    let folder = folders();
    let signer = open(folder.path());
    let reply = signer.reply(&request("Home.Example"));
    assert_eq!(tags(&reply, "a"), ["ed25519-sha256", "rsa-sha256"]);
    assert_eq!(tags(&reply, "s"), ["px1-ed25519", "px1-rsa"]);
    assert_eq!(tags(&reply, "d"), ["home.example", "home.example"]);
    // From and what the message has, and once more what nobody may add.
    let sealed =
        "From:From:To:Cc:Subject:Subject:Date:Message-ID:Reply-To:MIME-Version:Content-Type";
    assert_eq!(tags(&reply, "h"), [sealed, sealed]);
    // 2048 and 512 bits in base64.
    let lengths: Vec<usize> = tags(&reply, "b").iter().map(String::len).collect();
    assert_eq!(lengths, [88, 344]);
}

#[test]
fn the_next_keys_are_ready_and_their_records_too_before_they_are_in_force() {
    let folder = folders();
    let records = || fs::read_to_string(folder.path().join("dkim/home.example/records")).unwrap();
    let names = |text: &str| -> Vec<String> {
        let names = text.lines().map(|line| line.split(' ').next().unwrap());
        let short = names.map(|name| name.trim_end_matches("._domainkey.home.example"));
        short.map(str::to_owned).collect()
    };
    let before = records();
    assert_eq!(
        names(&before),
        ["px1-ed25519", "px1-rsa", "px2-ed25519", "px2-rsa"]
    );
    let next = before.lines().nth(3).unwrap().to_owned();
    assert!(next.contains(" v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"));
    let outbound = folder.path().join("outbound");
    let mut settings = Settings::read(&outbound).unwrap();
    settings.domains[0].dkim = 2;
    settings.write(&outbound).unwrap();
    let reply = open(folder.path()).reply(&request("home.example"));
    assert_eq!(tags(&reply, "s"), ["px2-ed25519", "px2-rsa"]);
    assert!(records().contains(&next), "the key is another");
    assert_eq!(
        names(&records()),
        ["px2-ed25519", "px2-rsa", "px3-ed25519", "px3-rsa"]
    );
}

#[test]
fn no_other_domain_and_nothing_but_a_message_is_signed() {
    let folder = folders();
    let signer = open(folder.path());
    for domain in ["far.example", "sub.home.example", "", "../home.example"] {
        assert_eq!(signer.reply(&request(domain)), Reply::Refused, "{domain}");
    }
    let with = |change: &dyn Fn(&mut Request)| {
        let mut request = request("home.example");
        change(&mut request);
        signer.reply(&request)
    };
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(with(&|r| r.body_hash = "00".repeat(31)), Reply::Refused);
    assert_eq!(with(&|r| r.body_hash = "xx".repeat(32)), Reply::Refused);
    assert_eq!(with(&|r| r.fields.clear()), Reply::Refused);
    assert_eq!(with(&|r| r.fields.push(field("from", "b"))), Reply::Refused);
    assert_eq!(with(&|r| r.fields.push(field("a b", "c"))), Reply::Refused);
    assert_eq!(
        with(&|r| r.fields.push(field("To", "\u{fc}"))),
        Reply::Refused
    );
    let many = |r: &mut Request| r.fields.extend((0..100).map(|_| field("To", "b")));
    assert_eq!(with(&many), Reply::Refused);
    // Settings that can't be read are no domain.
    fs::write(folder.path().join("outbound/settings.json"), "{").unwrap();
    assert_eq!(signer.reply(&request("home.example")), Reply::Refused);
}

#[test]
fn the_keys_are_readable_by_the_signer_alone_and_stay_the_same() {
    let folder = folders();
    let own = folder.path().join("dkim/home.example");
    let read = || -> Vec<Vec<u8>> {
        let names = ["1-rsa.der", "1-ed25519.der", "2-rsa.der", "2-ed25519.der"];
        let files = names.map(|name| own.join(name));
        for file in &files {
            let mode = fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "{}", file.display());
        }
        files.map(|file| fs::read(file).unwrap()).into()
    };
    let before = read();
    open(folder.path()).prepare();
    assert_eq!(read(), before);
}

#[test]
fn one_submission_after_the_other_asks_over_the_channel() {
    let folder = folders();
    let signer = open(folder.path());
    for _ in 0..2 {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| connection(theirs, &signer));
            let reply = ask(&mut ours, &request("home.example")).unwrap();
            assert!(matches!(reply, Reply::Signed { .. }), "{reply:?}");
            let reply = ask(&mut ours, &request("far.example")).unwrap();
            assert_eq!(reply, Reply::Refused);
            drop(ours);
        });
    }
}
