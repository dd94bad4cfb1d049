//! The boot tests: each makes a card from the real ZIP and boots it in QEMU.
//!
//! A failed test leaves its folder `target/test/NAME` with the serial log and
//! the card; a passed one leaves nothing.

mod apart;
mod attacks;
mod card_refused;
mod card_unreadable;
mod cut_while_claiming;
mod damaged_system;
mod disk_failing;
mod factory_reset;
mod first_boot_virt;
mod header_restored;
pub mod home_network;
mod locked_listens;
pub mod mail;
mod order;
mod page_without_scripts;
mod phone_page;
mod pid1_transcript;
mod plain_card;
pub mod power_cuts;
mod rpi3_reaches_the_page;
mod saved_moment;
mod second_box;
mod slots_fall_back;
mod transcript;
mod usb_key;
mod wifi_joins;

use crate::agent::append_to_initrd;
use crate::card_image;
use crate::image::Tree;
use crate::qemu::{self, Board, Machine, Network, Recording, Setup, Start};
use crate::{guest, workspace};
use anyhow::{Context, Result, anyhow};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use order::plan;

/// One boot test.
#[derive(Debug)]
pub struct Scenario {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it shows, in a few words.
    pub about: &'static str,
    run: fn(&Lab, &Path) -> Result<()>,
}

/// Every boot test. [`plan`] says which comes when.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "plain_card",
        about: "the ZIP's files and nothing else boot to the page and stay up",
        run: plain_card::run,
    },
    Scenario {
        name: "first_boot_virt",
        about: "claim, file, power cut, wrong passphrase, right one, file there, card clean",
        run: first_boot_virt::run,
    },
    Scenario {
        name: "card_refused",
        about: "a locked card and one with a foreign partition: words, and nothing changed",
        run: card_refused::run,
    },
    Scenario {
        name: "card_unreadable",
        about: "a sector that fails while the card shrinks: told, no file lost, then it goes on",
        run: card_unreadable::run,
    },
    Scenario {
        name: "power_cuts",
        about: "three power cuts during first boot, writes lost: the next boot is good",
        run: power_cuts::run,
    },
    Scenario {
        name: "phone_page",
        about: "a phone's browser sets the passphrase, restarts the box, unlocks it",
        run: phone_page::run,
    },
    Scenario {
        name: "page_without_scripts",
        about: "a browser without scripts claims, restarts and unlocks the box over TLS",
        run: page_without_scripts::run,
    },
    Scenario {
        name: "locked_listens",
        about: "every open port of a box before unlock has its reason; a cable's result on the card",
        run: locked_listens::run,
    },
    Scenario {
        name: "factory_reset",
        about: "a browser changes the keys; then the reset: nothing that was good opens anything",
        run: factory_reset::run,
    },
    Scenario {
        name: "header_restored",
        about: "both copies of the disk's header are lost: the recovery key restores it",
        run: header_restored::run,
    },
    Scenario {
        name: "usb_key",
        about: "a USB stick opens the box if the owner wants it: the right one, and while it is on",
        run: usb_key::run,
    },
    Scenario {
        name: "cut_while_claiming",
        about: "the power goes while the disk is made: the box can be claimed again",
        run: cut_while_claiming::run,
    },
    Scenario {
        name: "saved_moment",
        about: "an unlocked box kept by QEMU: goes on as often as one likes, each from the same moment",
        run: saved_moment::run,
    },
    Scenario {
        name: "pid1_transcript",
        about: "boot and shutdown order; supervisor killed and stopped, PID 1 stopped",
        run: pid1_transcript::run,
    },
    Scenario {
        name: "attacks",
        about: "every attack from every sandbox on the box's kernel: refused, and why",
        run: attacks::run,
    },
    Scenario {
        name: "damaged_system",
        about: "one changed bit in the system image: verity refuses it, the box restarts",
        run: damaged_system::run,
    },
    Scenario {
        name: "disk_failing",
        about: "blocks that fail or were changed: told on the page, remembered; few writes; the log",
        run: disk_failing::run,
    },
    Scenario {
        name: "slots_fall_back",
        about: "an empty slot on trial is given up after three tries, a working one is kept",
        run: slots_fall_back::run,
    },
    Scenario {
        name: "home_network",
        about: "addresses, projectx.local and the time from a router of a home",
        run: home_network::run,
    },
    Scenario {
        name: "second_box",
        about: "two boxes in one home: one becomes projectx-2.local, and says so everywhere",
        run: second_box::run,
    },
    Scenario {
        name: "wifi_joins",
        about: "wifi.txt by radio: absent, right and wrong password, WPA3, hidden; wifi-result.txt says which",
        run: wifi_joins::run,
    },
    Scenario {
        name: "mail_world",
        about: "the world of the mail tests: signed names that only its own key opens",
        run: mail::world,
    },
    Scenario {
        name: "mail_lands",
        about: "by swaks to the inbox, GTUBE to Junk; read by mbsync, curl and imaplib",
        run: mail::lands,
    },
    Scenario {
        name: "mail_replies",
        about: "no STARTTLS, unknown recipient, too big, malformed: the exact replies",
        run: mail::replies,
    },
    Scenario {
        name: "mail_authenticated",
        about: "SPF, DKIM and DMARC, judged by names that are signed or not believed",
        run: mail::authenticated,
    },
    Scenario {
        name: "mail_unseen",
        about: "every packet and every write kept: no sentence of a message in the clear",
        run: mail::unseen,
    },
    Scenario {
        name: "mail_abroad",
        about: "foreign mail servers both ways, on an internet of theirs; nothing in the clear",
        run: mail::abroad,
    },
    Scenario {
        name: "mail_cuts",
        about: "three power cuts while mail arrives and leaves, writes lost: all that had 250 is there",
        run: mail::cuts,
    },
    Scenario {
        name: "mail_explained",
        about: "projectx says on the box what each sandbox may do, as lint does on the host",
        run: mail::explained,
    },
    Scenario {
        name: "mail_goes_on",
        about: "SpamAssassin's zygote is killed, then the supervisor: mail comes in again",
        run: mail::goes_on,
    },
    Scenario {
        name: "mail_rules",
        about: "a signed update of SpamAssassin's rules is in force, a stranger's is not",
        run: mail::rules,
    },
    Scenario {
        name: "mail_learns",
        about: "what Anna moves into Junk and out of it: judged otherwise, for her alone",
        run: mail::learns,
    },
    Scenario {
        name: "mail_locked",
        about: "every process of the app: namespaces, user, filter, limits; a message's too",
        run: mail::locked,
    },
    Scenario {
        name: "mail_power_cut",
        about: "the power goes right after 250 and before it: there, and still with its sender",
        run: mail::power_cut,
    },
    Scenario {
        name: "mail_backlogs",
        about: "50 messages from Exim and 50 from Postfix in one queue run each",
        run: mail::backlogs,
    },
    Scenario {
        name: "rpi3_reaches_the_page",
        about: "the same ZIP on a Raspberry Pi 3: QR code on HDMI, page over USB network, claim, power-off",
        run: rpi3_reaches_the_page::run,
    },
];

/// How a boot test went.
pub enum Outcome {
    /// As it should.
    Passed,
    /// Not so; with the reason, the end of the serial log and where the rest is.
    Failed(String),
}

/// What all boot tests share.
pub struct Lab {
    zip: PathBuf,
    virt_u_boot: PathBuf,
    agent: Vec<u8>,
    bless: bool,
    /// Besides what every test brings along for the agent to run.
    brought: Tree,
    /// Made once, by the first test that needs it; or why it could not be made.
    mail_moment: OnceLock<Result<mail::Moment, String>>,
    /// Held, so that a second test run does not take this one's cards away.
    _lock: Flock<File>,
}

impl Lab {
    /// Gets everything ready that a boot test starts from.
    pub fn new(bless: bool) -> Result<Self> {
        let folder = workspace::target().join("test");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let lock = File::create(folder.join("lock")).context("target/test/lock")?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|_| anyhow!("another test run is at work in {}", folder.display()))?;
        Ok(Self {
            _lock: lock,
            zip: workspace::zip(),
            virt_u_boot: qemu::virt_u_boot(&workspace::cache())?,
            agent: guest::agent_program()?,
            bless,
            brought: Tree::default(),
            mail_moment: OnceLock::new(),
        })
    }

    /// The same, where the box of the tests of mail has this program besides.
    pub fn bringing(mut self, name: &str, program: Vec<u8>) -> Self {
        self.brought.put_program(name, program);
        self
    }

    /// The folder of the box that the tests of mail go on from. While one test
    /// sets it up, others that need it wait.
    fn mail_moment(&self) -> Result<PathBuf> {
        let made = self
            .mail_moment
            .get_or_init(|| mail::Moment::make(self).map_err(|error| format!("{error:#}")));
        let moment = made
            .as_ref()
            .map_err(|why| anyhow!("the box of the tests of mail: {why}"))?;
        Ok(moment.folder().to_owned())
    }

    /// A card from the ZIP, with `args` on the kernel's command line.
    pub fn card(&self, folder: &Path, args: &str) -> Result<PathBuf> {
        let debug_env = format!("args={args}\n");
        self.card_with(folder, &[("debug.env", debug_env.as_bytes())])
    }

    /// The same for `virt`, with the test agent beside the box's own programs.
    fn card_with_agent(&self, folder: &Path, args: &str) -> Result<PathBuf> {
        self.card_with_agent_and(folder, args, &Tree::default(), &[])
    }

    /// The same with what the test brings along for the agent to run, and with
    /// more files on the card.
    pub fn card_with_agent_and(
        &self,
        folder: &Path,
        args: &str,
        brought: &Tree,
        files: &[(&str, &[u8])],
    ) -> Result<PathBuf> {
        let (initrd, debug_env) = self.agent_and_words(brought, args)?;
        let agents: [(&str, &[u8]); 2] =
            [("a/initrd", &initrd), ("debug.env", debug_env.as_bytes())];
        self.card_with(folder, &[&agents, files].concat())
    }

    /// An initramfs with the test agent, and the `debug.env` that starts it.
    fn agent_and_words(&self, brought: &Tree, args: &str) -> Result<(Vec<u8>, String)> {
        let mut archive = zip::ZipArchive::new(File::open(&self.zip)?)?;
        let mut initrd = Vec::new();
        archive
            .by_name("a/initrd")
            .context("a/initrd in the ZIP")?
            .read_to_end(&mut initrd)?;
        let initrd = append_to_initrd(&initrd, &self.agent, brought)?;
        // Without address randomisation QEMU's system calls are ten times cheaper.
        Ok((initrd, format!("args=rdinit=/agent nokaslr {args}\n")))
    }

    /// The card with the test agent, from the ZIP whose image is written raw.
    fn flashed_card_with_agent(&self, folder: &Path) -> Result<PathBuf> {
        let (initrd, debug_env) = self.agent_and_words(&Tree::default(), "")?;
        let card = folder.join("card.img");
        let extra: [(&str, &[u8]); 2] =
            [("a/initrd", &initrd), ("debug.env", debug_env.as_bytes())];
        let zip = workspace::image_zip();
        card_image::flash(&zip, &card, card_image::DEFAULT_SIZE, &extra)?;
        Ok(card)
    }

    fn card_with(&self, folder: &Path, extra: &[(&str, &[u8])]) -> Result<PathBuf> {
        let card = folder.join("card.img");
        card_image::make(&self.zip, &card, card_image::DEFAULT_SIZE, extra)?;
        Ok(card)
    }

    /// Switches a box on.
    pub fn start(&self, board: Board, card: &Path, folder: &Path) -> Result<Machine> {
        self.start_from(Start::PowerOn, board, card, folder, None)
    }

    /// Switches a box on, or lets it go on from a kept moment, and may keep
    /// what it sends, gets and writes.
    fn start_from(
        &self,
        start: Start,
        board: Board,
        card: &Path,
        folder: &Path,
        recording: Option<Recording>,
    ) -> Result<Machine> {
        Ok(Machine::start(&Setup {
            board,
            card: card.to_owned(),
            start,
            memory: 1024,
            serial: folder.join("serial.log"),
            virt_u_boot: self.virt_u_boot.clone(),
            network: Network::Ports,
            recording,
            stick: None,
        })?)
    }

    /// Switches a box on that has a USB stick in it, or none.
    fn start_with_stick(
        &self,
        card: &Path,
        folder: &Path,
        stick: Option<&Path>,
    ) -> Result<Machine> {
        Ok(Machine::start(&Setup {
            board: Board::Virt,
            card: card.to_owned(),
            start: Start::PowerOn,
            memory: 1024,
            serial: folder.join("serial.log"),
            virt_u_boot: self.virt_u_boot.clone(),
            network: Network::Ports,
            recording: None,
            stick: stick.map(Path::to_owned),
        })?)
    }
}

/// Runs the owner's way through the page and leaves pictures of it in `folder`;
/// their names without `.png`.
pub fn pictures(lab: &Lab, folder: &Path) -> Result<&'static [&'static str]> {
    phone_page::run(lab, folder)?;
    Ok(phone_page::PICTURES)
}

/// Runs one boot test in its own folder.
pub fn run(scenario: &Scenario, lab: &Lab) -> Outcome {
    let folder = workspace::target().join("test").join(scenario.name);
    let fresh = || -> std::io::Result<()> {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)
    };
    let done = fresh()
        .with_context(|| folder.display().to_string())
        .and_then(|()| {
            // Other tests go on; the words of a panic stand on standard error.
            catch_unwind(AssertUnwindSafe(|| (scenario.run)(lab, &folder)))
                .unwrap_or_else(|_| Err(anyhow!("the test itself panicked")))
        });
    match done {
        Ok(()) => {
            // What cannot be removed is removed before the next run, or reported then.
            let _ = fs::remove_dir_all(&folder);
            Outcome::Passed
        }
        Err(error) => {
            let log = folder.join("serial.log");
            let text = fs::read(&log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).replace('\r', "");
            let lines: Vec<&str> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(15)..].join("\n    ");
            let log = log.display();
            Outcome::Failed(format!(
                "{error:#}\n  the serial log, {log}, ends:\n    {end}"
            ))
        }
    }
}
