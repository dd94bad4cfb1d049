//! Mail with the mail systems of others, natively: the app's real services
//! (`ci/native`) on an internet that is made for the test (`ci/internet`), in
//! which Postfix, Exim and OpenSMTPD run domains of their own. Mail comes in
//! ([`inbound`]), goes out ([`outbound`]) and is passed on ([`forwarding`]), or goes by a
//! provider's server ([`smarthost`]), on one internet with one box; a sender sees the box's
//! policy ([`own_policy`]), and all of its records
//! ([`own_records`]). All packets of the box are kept and searched ([`wire`]).

mod client;
mod forwarding;
mod inbound;
mod outbound;
mod own_policy;
mod own_records;
mod queue;
mod reports;
mod sieve;
mod smarthost;
mod wire;

pub use outbound::records;

use crate::scenarios::mail::now;
use crate::{campaign, image, workspace};
use anyhow::{Context, Result};
use internet::{HOME, Internet};
use native::{Native, Options, Person};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// From one mail server's queue into another's mailbox; SpamAssassin judges meanwhile.
const LIMIT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(100);
const PASSWORD: &str = "tide and heron 7";

/// A box and the internet that it is on.
struct Meeting {
    internet: Internet,
    native: Native,
    options: Options,
    /// Who lives there.
    anna: String,
}

impl Meeting {
    /// What the box has said.
    fn journal(&self) -> String {
        fs::read_to_string(&self.options.journal).unwrap_or_default()
    }
}

/// What is built for it.
#[derive(Debug)]
pub struct Built {
    image: PathBuf,
    program: PathBuf,
}

/// Installs and builds what it needs; all else is waiting for mail, mostly.
///
/// # Errors
/// When something can't be installed or built.
pub fn build() -> Result<Built> {
    // Mail programs, and tcpdump.
    image::host_packages_for_boots()?;
    Ok(Built {
        image: image::native::make("email")?,
        program: campaign::build_box()?,
    })
}

/// Does it all.
///
/// # Errors
/// When mail becomes something else than it should, with what both sides said.
pub fn run(built: Built) -> Result<()> {
    let Built { image, program } = built;
    let folder = tempfile::tempdir_in(workspace::target())?;
    let begun = Instant::now();
    let domains = inbound::domains().chain(outbound::domains());
    let mut domains: Vec<_> = domains.chain(forwarding::domains()).collect();
    domains.sort_unstable();
    domains.dedup();
    let internet = Internet::with(&folder.path().join("internet"), &domains)?;
    let anna = format!("anna@{HOME}");
    let options = Options {
        program,
        image: with_authority(&image, &internet, folder.path())?,
        volumes: folder.path().join("volumes"),
        journal: folder.path().join("journal"),
        people: vec![Person {
            address: anna.clone(),
            password: PASSWORD.into(),
        }],
    };
    let native = Native::start_on(&internet, &options)
        .with_context(|| fs::read_to_string(&options.journal).unwrap_or_default())?;
    let wire = wire::Wire::tap(native.pid(), folder.path())?;
    let meeting = Meeting {
        internet,
        native,
        options,
        anna,
    };
    eprintln!(
        "    internet and box are there after {:.1?}",
        begun.elapsed()
    );
    own_records::run(&meeting)?;
    eprintln!(
        "    the box's own records done after {:.1?}",
        begun.elapsed()
    );
    own_policy::run(&meeting)?;
    eprintln!(
        "    the box's own policy done after {:.1?}",
        begun.elapsed()
    );
    inbound::run(&meeting)?;
    reports::run(&meeting)?;
    eprintln!("    inbound done after {:.1?}", begun.elapsed());
    outbound::begin(&meeting)?;
    forwarding::run(&meeting)?;
    eprintln!("    forwarding done after {:.1?}", begun.elapsed());
    outbound::run(&meeting)?;
    eprintln!("    outbound done after {:.1?}", begun.elapsed());
    smarthost::run(&meeting)?;
    eprintln!("    smarthost done after {:.1?}", begun.elapsed());
    wire.holds_only(&outbound::in_the_clear())?;
    meeting.native.stop()
}

/// A copy of the app that believes the internet's authority as it would the world's.
fn with_authority(image: &Path, internet: &Internet, folder: &Path) -> Result<PathBuf> {
    const ROOTS: [&str; 2] = ["postfix", "tls-policy"];
    let copy = image::native::copy(image, folder)?;
    let authority = fs::read(internet.authority())?;
    for root in ROOTS {
        let path = copy.join(format!("roots/{root}/etc/ssl/certs/ca-certificates.crt"));
        image::native::replace(&path, &authority)?;
    }
    Ok(copy)
}

/// What is in somebody's inbox, lines ending with CR LF.
fn inbox(home: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in ["Maildir/new", "Maildir/cur"] {
        let Ok(entries) = fs::read_dir(home.join(folder)) else {
            // Nothing has come yet.
            continue;
        };
        for entry in entries {
            // Dovecot moves one from new to cur when somebody looks; nobody does.
            let text = String::from_utf8_lossy(&fs::read(entry?.path())?).into_owned();
            found.push(text.replace("\r\n", "\n").replace('\n', "\r\n"));
        }
    }
    Ok(found)
}

fn letter(from: &str, to: &str, number: usize, sentence: &str) -> String {
    wire::is_sent(sentence);
    let date = now();
    let (_, domain) = from.split_once('@').unwrap_or_default();
    format!(
        "From: Ada Archer <{from}>\r\nTo: <{to}>\r\nSubject: Message {number}\r\nDate: {date}\r\n\
         Message-ID: <{number}.letters@{domain}>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         Hello,\r\n\r\n{sentence}\r\n\
         .a line that begins with a dot, and a blank at its end \r\nGrüße aus Zürich.\r\n"
    )
}
