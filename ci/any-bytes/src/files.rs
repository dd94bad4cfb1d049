//! Files that the card, the disk or another service has: settings, people, an app's
//! manifest and policies, the figures of dm-verity.

use init::verity::Verity;
use outbound::postfix::{login_table, main_cf};
use outbound::settings::{self, Settings};
use outbound::smarthost::{self, Smarthost};
use people::{Address, Homes, People};
use sandbox::policy::{Arch, Compiled, compile};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

thread_local! {
    /// In memory, where `TMPDIR` is: each input is written there.
    static FOLDER: TempDir = tempfile::tempdir().expect("a folder");
}

fn written<T>(files: &[(&str, &[u8])], look: impl FnOnce(&Path) -> T) -> T {
    FOLDER.with(|folder| {
        for (name, content) in files {
            fs::write(folder.path().join(name), content).expect("room");
        }
        look(folder.path())
    })
}

/// Divides the input at its first line `---`.
fn halves(input: &[u8]) -> (&[u8], &[u8]) {
    const LINE: &[u8] = b"\n---\n";
    let middle = input.windows(LINE.len()).position(|part| part == LINE);
    middle.map_or((input, &[]), |at| (&input[..at], &input[at + LINE.len()..]))
}

/// The owner's settings are what was written, and no value of them leaves its line in
/// Postfix's configuration. A second part is a smarthost.
///
/// # Panics
/// When that does not hold.
pub fn settings(input: &[u8]) {
    let (one, two) = halves(input);
    let files = [(settings::FILE, one), (smarthost::FILE, two)];
    written(&files, |folder| {
        let Ok(settings) = Settings::read(folder) else {
            return;
        };
        settings.write(folder).expect("room");
        assert_eq!(Settings::read(folder).expect("our own"), settings);
        let lawful = |text: &str| {
            let mut lines = text.strip_suffix('\n').expect("an end").split('\n');
            lines.all(|line| {
                let name = line.split_once(" = ").map_or("", |(name, _)| name);
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            })
        };
        let place = Path::new("/run/postfix");
        let text = main_cf("box.example", &settings, None, place);
        assert!(lawful(&text) && text.lines().count() == 4, "{text}");
        let Ok(Some(host)) = Smarthost::read(folder) else {
            return;
        };
        let mut other = host.clone();
        other.password = "another".into();
        assert_eq!(format!("{host:?}"), format!("{other:?}"));
        if host.check().is_ok() {
            let text = main_cf("box.example", &settings, Some(&host), place);
            assert!(lawful(&text) && text.contains("\nrelayhost = ["), "{text}");
            let table = login_table(&host);
            let (line, rest) = table.split_once('\n').expect("a line");
            assert!(rest.is_empty() && !line.contains('\r'), "{table}");
            let (server, login) = line.split_once(' ').expect("a server");
            assert_eq!(server, format!("[{}]:{}", host.host, host.port.number()));
            assert_eq!(login, format!("{}:{}", host.login, host.password));
        }
    });
}

/// Who has mail here: every line is a person, or the file is refused with its line. A
/// second part is the list of other addresses.
///
/// # Panics
/// When that does not hold.
pub fn people(input: &[u8]) {
    let (one, two) = halves(input);
    written(&[("passwd", one), ("aliases", two)], |folder| {
        let homes = Homes {
            folder: folder.to_owned(),
            inside: "/mail".into(),
            learned: folder.to_owned(),
            first_id: 300_000,
        };
        match People::read(folder, homes) {
            Ok(people) => {
                let lines = String::from_utf8_lossy(one).lines().count();
                assert_eq!(people.all().len(), lines);
                for person in people.all() {
                    assert!((20_001..60_000).contains(&person.uid));
                    let address = Address::parse(person.address.as_str());
                    assert_eq!(address.as_ref(), Ok(&person.address));
                }
                for (address, person) in people.aliases() {
                    assert!(people.all().contains(person), "{address}");
                }
            }
            Err(error) => {
                let said = error.to_string();
                assert!(
                    said.contains(": ") && !said.contains(char::is_control),
                    "{said}"
                );
            }
        }
    });
}

/// A manifest is checked, or every error names a line that there is, in one line.
///
/// # Panics
/// When that does not hold.
pub fn manifest(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match manifest::read("app.yaml", &text) {
        Ok(app) => {
            for service in &app.services {
                let name = service.name.as_str();
                assert!(
                    app.service(name)
                        .is_some_and(|found| found.name == service.name)
                );
            }
        }
        Err(errors) => {
            assert!(!errors.0.is_empty());
            // What ends a line in YAML 1.1; a file that ends too early does so behind its
            // last one.
            let last = 1 + text
                .split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
                .count();
            for error in errors.0 {
                assert!((1..=last).contains(&error.line), "{error}");
                let said = error.to_string();
                assert!(
                    said.starts_with("app.yaml:") && !said.contains('\n'),
                    "{said:?}"
                );
            }
        }
    }
}

/// The figures of dm-verity are ten words for the kernel, whatever the file says.
///
/// # Panics
/// When that does not hold.
pub fn verity(input: &[u8]) {
    let Ok(verity) = Verity::parse(&String::from_utf8_lossy(input)) else {
        return;
    };
    let table = verity.table("7:0");
    let words: Vec<&str> = table.split(' ').collect();
    assert_eq!(words.len(), 10, "{table}");
    assert!(
        words[5].parse::<u64>().is_ok() && words[6].parse::<u64>().is_ok(),
        "{table}"
    );
    let hex = |word: &str| word.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(
        words[8].len() == 64 && hex(words[8]) && hex(words[9]),
        "{table}"
    );
    assert_eq!(verity.root_hash(), words[8]);
    assert!(verity.bytes() >= verity.sectors() * 512);
}

/// A policy of system calls is compiled for both machines, or refused in one line that
/// names its own; and compiled bytes that do not belong to it are not taken. What
/// stands behind `---` are such bytes.
///
/// # Panics
/// When that does not hold.
pub fn syscalls(input: &[u8]) {
    let (text, bytes) = halves(input);
    let text = String::from_utf8_lossy(text);
    for arch in Arch::ALL {
        match compile("a.seccomp", &text, arch) {
            Ok(compiled) => {
                let own = compiled.to_bytes();
                let read = |text: &str, bytes: &[u8]| {
                    Compiled::from_bytes("a.bpf", bytes, "a.seccomp", text)
                };
                // For another machine it is never taken here.
                let again = read(&text, &own).map(|read| read.to_bytes());
                assert_eq!(again.is_ok(), arch == Arch::HERE);
                assert!(again.is_err() || again == Ok(own.clone()));
                if let Ok(other) = read(&text, bytes) {
                    assert_eq!(other.to_bytes(), bytes);
                }
                assert!(read(&format!("{text}\n# other"), &own).is_err());
            }
            Err(error) => {
                let last = text.lines().count().max(1);
                assert!((1..=last).contains(&error.line), "{error}");
                assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
    }
}
