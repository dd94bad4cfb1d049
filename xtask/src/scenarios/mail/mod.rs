//! Mail to the box, from the programs that other people run and to the programs
//! that its owner runs.
//!
//! All of it happens in a world of namespaces ([`world`]): the home network with
//! the box, and behind its router an internet that is made for the test, with
//! names that are signed from the root down. No route leads out of it, and it
//! ends with its first process. That process is this program again
//! ([`inside`]), since a namespace is entered at a program's start.
//!
//! Every scenario goes on from one moment of the box ([`moment`]), kept after
//! unlock with everything at work, so the box is set up and loaded once only.
//!
//! Limits: as root only, since Postfix and Exim change their users.

mod abroad;
mod authenticated;
mod backlogs;
mod campaign;
mod corpus;
mod cuts;
mod dialogue;
mod explained;
mod goes_on;
mod home;
mod internet;
mod isolated;
mod lands;
mod learns;
mod letter;
mod locked;
mod measured;
mod measured_outgoing;
mod moment;
mod peers;
mod people;
mod power_cut;
mod readers;
mod replies;
mod rules;
mod sealed;
mod senders;
mod unseen;
mod world;
mod zone;

pub use authenticated::{authentication_results, says};
pub use cuts::{Cuts, Report as CutsReport};
pub use isolated::measure as isolated;
pub use letter::now;
pub use measured::measure;
pub(super) use moment::Moment;

use super::{Lab, apart};
use crate::qemu;
use anyhow::{Context, Result, ensure};
use peers::{Peers, Tree};
use readers::Person;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Who lives here.
const ANNA: Person = Person {
    address: "anna@home.example",
    password: "tide and heron 7",
};
const BEN: Person = Person {
    address: "ben@home.example",
    password: "mill and rain 11",
};
const PASSPHRASE: &str = "kept by the mail tests";

/// What the process in the world needs to know.
#[derive(Debug, clap::Args)]
pub struct InsideArguments {
    /// What to do there
    part: Part,
    /// The folder of the test
    folder: PathBuf,
    /// The folder of the kept moment
    moment: PathBuf,
    /// The U-Boot of `virt`
    u_boot: PathBuf,
}

/// What is done in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Sets a box up and keeps the moment.
    Moment,
    Abroad,
    Cuts,
    Lands,
    Replies,
    Authenticated,
    Backlogs,
    PowerCut,
    GoesOn,
    Locked,
    Learns,
    Explained,
    Rules,
    Unseen,
    /// What `cargo xtask bench mail` does.
    Measured,
    MeasuredOutgoing,
    /// What `cargo xtask bench isolation --in-guest` does.
    Isolated,
    /// What `cargo xtask campaign messages --in-guest` does.
    Campaign,
    /// What `cargo xtask campaign corpus --in-guest` does.
    Corpus,
    /// The world alone, without a box.
    World,
}

impl Part {
    /// Whether all that its boxes send and write is kept and searched.
    fn is_recorded(self) -> bool {
        let not = [
            Self::Moment,
            Self::Measured,
            Self::MeasuredOutgoing,
            Self::Isolated,
            Self::Campaign,
            Self::Corpus,
            Self::World,
        ];
        !not.contains(&self)
    }
}

macro_rules! scenario {
    ($($name:ident: $part:ident),*) => {
        $(pub(super) fn $name(lab: &Lab, folder: &Path) -> Result<()> {
            let moment = lab.mail_moment()?;
            enter(lab, Part::$part, folder, &moment)
        })*
    };
}
scenario!(abroad: Abroad, lands: Lands, replies: Replies, authenticated: Authenticated,
    backlogs: Backlogs, explained: Explained, goes_on: GoesOn, learns: Learns, locked: Locked,
    rules: Rules, power_cut: PowerCut, unseen: Unseen);

/// Power cuts while mail arrives and leaves, one after the other from the kept box on.
///
/// # Errors
/// When a message that was answered `250` is nowhere, or the box does not come back.
pub fn power_cuts(lab: &Lab, folder: &Path, cuts: &Cuts) -> Result<CutsReport> {
    cuts::order(folder, cuts)?;
    let moment = lab.mail_moment()?;
    enter(lab, Part::Cuts, folder, &moment)?;
    cuts::report(folder)
}

/// Three of them, always at the same moments.
pub(super) fn cuts(lab: &Lab, folder: &Path) -> Result<()> {
    let three = Cuts {
        seed: 6,
        numbers: 0..3,
    };
    let report = power_cuts(lab, folder, &three)?;
    ensure!(report.sent > 0 && report.taken > 0, "no mail: {report:?}");
    eprintln!("  {report:?}");
    Ok(())
}

/// A campaign in a world of its own; `folder` holds what is to be done.
pub fn campaign(lab: &Lab, folder: &Path) -> Result<()> {
    let moment = lab.mail_moment()?;
    enter(lab, Part::Campaign, folder, &moment)
}

/// The corpus in a world of its own; `folder` holds the messages' list.
pub fn corpus(lab: &Lab, folder: &Path) -> Result<()> {
    let moment = lab.mail_moment()?;
    enter(lab, Part::Corpus, folder, &moment)
}

/// The test of the world itself: its names are believed by an Unbound that has
/// its key, and by no other.
pub(super) fn world(lab: &Lab, folder: &Path) -> Result<()> {
    enter(lab, Part::World, folder, folder)
}

/// Has the part done in namespaces of its own.
fn enter(lab: &Lab, part: Part, folder: &Path, moment: &Path) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the boot tests of mail start Postfix and Exim, which needs root: sudo cargo xtask test"
    );
    unpack_peers()?;
    let part = clap::ValueEnum::to_possible_value(&part).context("a part without a name")?;
    let words = [
        "in-mail-world".as_ref(),
        part.get_name().as_ref(),
        folder.as_os_str(),
        moment.as_os_str(),
        lab.virt_u_boot.as_os_str(),
    ];
    apart::run(&["--mount"], &words, folder)
}

/// Two worlds may come at once, but only one unpacks.
fn unpack_peers() -> Result<()> {
    static UNPACKING: Mutex<()> = Mutex::new(());
    let _unpacking = UNPACKING.lock().unwrap_or_else(PoisonError::into_inner);
    for peers in [Peers::Internet, Peers::Postfix, Peers::OpenSmtpd] {
        Tree::unpack(peers)?;
    }
    Ok(())
}

/// The part, in the world.
pub fn inside(arguments: &InsideArguments) -> Result<()> {
    qemu::interrupted();
    if !arguments.part.is_recorded() {
        return act(arguments);
    }
    sealed::begin();
    act(arguments)?;
    sealed::hold()
}

fn act(arguments: &InsideArguments) -> Result<()> {
    match arguments.part {
        Part::Moment => moment::keep(arguments),
        Part::Abroad => abroad::run(arguments),
        Part::Cuts => cuts::run(arguments),
        Part::Lands => lands::run(arguments),
        Part::Replies => replies::run(arguments),
        Part::Authenticated => authenticated::run(arguments),
        Part::Backlogs => backlogs::run(arguments),
        Part::GoesOn => goes_on::run(arguments),
        Part::Explained => explained::run(arguments),
        Part::Rules => rules::run(arguments),
        Part::Locked => locked::run(arguments),
        Part::Learns => learns::run(arguments),
        Part::PowerCut => power_cut::run(arguments),
        Part::Unseen => unseen::run(arguments),
        Part::Measured => measured::run(arguments),
        Part::MeasuredOutgoing => measured_outgoing::run(arguments),
        Part::Isolated => isolated::run(arguments),
        Part::Campaign => campaign::run(arguments),
        Part::Corpus => corpus::run(arguments),
        Part::World => world::is_believed(arguments),
    }
}
