//! A campaign on the machine here.

use super::{AT_ONCE, Kind, PEOPLE, Place, State, Way, go_on};
use crate::image;
use agent::leftovers::{self, Counts, Sight};
use anyhow::{Context, Result};
use native::{BOX, Native, Options, Person, SENDERS, sender_name};
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

/// Where Dovecot keeps a person's mail, below the home; and whether it is junk.
const FOLDERS: [(&str, bool); 4] = [
    ("Maildir/new", false),
    ("Maildir/cur", false),
    ("Maildir/.Junk/new", true),
    ("Maildir/.Junk/cur", true),
];

/// The program `native-box`, compiled as the box's programs are.
pub fn build_box() -> Result<PathBuf> {
    Ok(image::native::compile("native")?.join("native-box"))
}

/// A box below `folder`, with the people of a campaign.
pub fn options(program: PathBuf, image: PathBuf, folder: &Path) -> Options {
    let people = PEOPLE.map(|address| Person {
        address: address.into(),
        password: format!("the password of {address}"),
    });
    Options {
        program,
        image,
        volumes: folder.join("volumes"),
        journal: folder.join("journal"),
        people: people.into(),
    }
}

/// Sends what is still to be sent to a box whose volumes are in `folder`, looking
/// what is left after every `step` messages.
pub(super) fn run(state: State, folder: &Path, step: u64) -> Result<State> {
    let image = image::native::make("email")?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let native = Native::start(&options(build_box()?, image, folder))?;
    let mut place = Here(native);
    let state = go_on(&mut place, state, AT_ONCE, step)?;
    place.0.stop()?;
    Ok(state)
}

struct Here(Native);

impl Place for Here {
    fn enter(&self) -> Result<()> {
        self.0.enter_internet()
    }

    fn way(&self, number: u8, kind: Kind) -> Way {
        let number = number.clamp(*SENDERS.start(), *SENDERS.end());
        let domain = match kind {
            Kind::Forged => native::names::STRICT,
            _ => native::names::DOMAIN,
        };
        Way {
            from: Ipv4Addr::new(128, 66, 1, number),
            helo: sender_name(number),
            to: SocketAddrV4::new(BOX, 25),
            sender: format!("ada@{domain}"),
        }
    }

    /// Takes the messages out, so that the mailboxes stay small.
    fn mail(&mut self) -> Result<Vec<(Vec<u8>, bool)>> {
        let mut found = Vec::new();
        for person in PEOPLE {
            let home = self.0.home(person)?;
            for (folder, is_junk) in FOLDERS {
                let Ok(entries) = fs::read_dir(home.join(folder)) else {
                    // Nothing has come yet.
                    continue;
                };
                for entry in entries {
                    let path = entry?.path();
                    found.push((fs::read(&path)?, is_junk));
                    fs::remove_file(&path)?;
                }
            }
        }
        Ok(found)
    }

    fn look(&mut self) -> Result<Counts> {
        let root = self.0.seen_inside("/");
        let proc = self.0.seen_inside("/proc");
        let counts = leftovers::look(&Sight {
            root: &root,
            proc: &proc,
            maker: "1",
            folders: &[
                "/tmp",
                "/run",
                "/run/native/volumes/keys",
                "/run/native/volumes/people",
                "/run/native/volumes/tls",
            ],
            cgroup: None,
        });
        Ok(counts?)
    }
}
