//! The owner's way with a browser that runs no scripts: plain HTTP sends it to the page
//! over TLS, and there a fresh box is claimed, the recovery key confirmed, somebody
//! gets an address, the passphrase is changed, and after a restart the box is unlocked,
//! all by forms. At the end the scripts work over TLS too.

use super::Lab;
use crate::browser::Browser;
use crate::qemu::{Board, Machine};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Duration;

const PASSPHRASE: &str = "Zwölf \"Boxkämpfer\" & 100% +Viktor";
const SECOND_PASSPHRASE: &str = "Sylvia wagt quick den Jux";
const SETUP_CODE: &str = "blue-teapot";
const ADDRESS: &str = "anna@example.org";
const PASSWORD: &str = "Annas erstes Paßwort";
/// Making the disk, on a busy host.
const LIMIT: Duration = Duration::from_secs(240);
/// Begins the line that says by which certificate the page can be known.
const CERTIFICATE: &str = "projectx: page certificate SHA-256 ";

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let wifi_txt = format!("setup-code = {SETUP_CODE}\r\n");
    let files: [(&str, &[u8]); 2] = [
        ("wifi.txt", wifi_txt.as_bytes()),
        ("debug.env", b"args=nokaslr\n"),
    ];
    let card = lab.card_with(folder, &files)?;
    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine.wait_for_page()?;
    let browser = Browser::start()?;
    browser.scripts(false)?;
    let owner = Owner {
        browser: &browser,
        page: machine.page_over_tls(),
        folder,
    };

    owner.is_sent_to_the_protected_page(&machine)?;
    owner.claims(&mut machine)?;
    owner.has_the_recovery_key(&mut machine)?;
    owner.looks_after_people(&mut machine)?;
    owner.changes_the_passphrase()?;
    owner.restarts(&mut machine, 2)?;
    ensure!(
        certificate(&machine, 1)? != certificate(&machine, 2)?,
        "the certificate stayed the same over a restart"
    );
    owner.unlocks(&mut machine)?;

    let serial = machine.serial_text()?;
    for secret in [PASSPHRASE, SECOND_PASSPHRASE, PASSWORD, ADDRESS] {
        ensure!(!serial.contains(secret), "{secret:?} is in the log");
    }
    owner.uses_scripts_over_tls(&mut machine)?;
    machine.cut_power()?;
    Ok(())
}

/// The fingerprint that the box told at its start of this number, from 1.
fn certificate(machine: &Machine, start: usize) -> Result<String> {
    let serial = machine.serial_text()?;
    let line = serial
        .lines()
        .filter_map(|line| line.trim().strip_prefix(CERTIFICATE))
        .nth(start - 1);
    Ok(line.context("no certificate was told")?.to_owned())
}

struct Owner<'a> {
    browser: &'a Browser,
    /// Over TLS, without a path.
    page: String,
    folder: &'a Path,
}

impl Owner<'_> {
    fn open(&self, path: &str) -> Result<()> {
        self.browser.open(&format!("{}{path}", self.page))
    }

    fn fits(&self, state: &str) -> Result<()> {
        let picture = self.folder.join(format!("without-scripts-{state}.png"));
        self.browser.fits(&picture)
    }

    /// Empties a field of a form, types into it.
    fn gives(&self, action: &str, field: &str, text: &str) -> Result<()> {
        let field = format!("form[action='{action}'] [name={field}]");
        self.browser.clear(&field)?;
        self.browser.type_into(&field, text)
    }

    fn sends(&self, action: &str) -> Result<()> {
        let button = format!("form[action='{action}'] button");
        self.browser.press(&button)
    }

    fn sees(&self, words: &str) -> Result<()> {
        self.browser.wait_for_text(words, LIMIT)
    }

    fn is_sent_to_the_protected_page(&self, machine: &Machine) -> Result<()> {
        self.browser.open(&format!("{}/", machine.page()))?;
        self.sees("use the protected page")?;
        self.sees(&certificate(machine, 1)?)?;
        let links = "a[href='https://127.0.0.1/']";
        ensure!(self.browser.shows(links)?, "no link to the page over TLS");
        ensure!(
            !self.browser.shows("input")?,
            "a field over plain HTTP that nothing could send"
        );
        self.fits("http")
    }

    fn claims(&self, machine: &mut Machine) -> Result<()> {
        self.open("/")?;
        self.sees("Choose a passphrase")?;
        ensure!(
            !self.browser.shows(".check")?,
            "a box to tick that needs a script is shown without scripts"
        );
        self.fits("unclaimed")?;
        for (code, again, expected) in [
            (SETUP_CODE, "something else", "not the same"),
            ("not the code", PASSPHRASE, "not the setup code"),
            (SETUP_CODE, PASSPHRASE, "Your recovery key"),
        ] {
            self.gives("/claim", "setup_code", code)?;
            self.gives("/claim", "passphrase", PASSPHRASE)?;
            self.gives("/claim", "again", again)?;
            self.sends("/claim")?;
            self.sees(expected)?;
            self.fits("claiming")?;
            // The wait after a wrong code is one second.
            std::thread::sleep(Duration::from_secs(2));
        }
        machine.wait_for_serial("projectx: unlocked", 1, LIMIT)?;
        let made = machine.serial_text()?.matches("disk: being made").count();
        ensure!(made == 1, "the disk was made {made} times");
        Ok(())
    }

    /// Writes it down and types the two words that are asked for; first a wrong one.
    fn has_the_recovery_key(&self, machine: &mut Machine) -> Result<()> {
        let words = self.browser.texts("#words li")?;
        ensure!(words.len() == 12, "the recovery key is {words:?}");
        ensure!(self.browser.shows("#qr svg path")?, "no QR code");
        for wrong in ["x", ""] {
            let labels = self.browser.texts("#confirm label")?;
            for (label, name) in labels.iter().zip(["one", "two"]) {
                let place: usize = label
                    .trim_start_matches("Word ")
                    .parse()
                    .with_context(|| label.clone())?;
                let word = words.get(place - 1).context("a word of the key")?;
                self.gives("/keys/confirm", name, &format!("{word}{wrong}"))?;
            }
            self.sends("/keys/confirm")?;
            if !wrong.is_empty() {
                self.sees("Look at your paper")?;
                self.fits("recovery-key")?;
            }
        }
        self.sees("Keep the paper")?;
        self.sees("is unlocked")?;
        self.fits("open")?;
        let serial = machine.serial_text()?;
        ensure!(
            !serial.contains(&words.join(" ")),
            "the recovery key is in the log"
        );
        machine.wait_for_serial("the owner has the recovery key", 1, LIMIT)?;
        Ok(())
    }

    fn looks_after_people(&self, machine: &mut Machine) -> Result<()> {
        self.browser.press("a[href='/people']")?;
        self.sees("Passphrase of the box")?;
        self.fits("people-locked")?;
        self.gives("/people/prove", "passphrase", PASSPHRASE)?;
        self.sends("/people/prove")?;
        self.sees("Nobody has an address yet")?;
        for (password, expected) in [
            ("short", "needs 10 to 512 characters"),
            (PASSWORD, "was added"),
        ] {
            self.gives("/people/add", "address", ADDRESS)?;
            self.gives("/people/add", "password", password)?;
            self.sends("/people/add")?;
            self.sees(expected)?;
        }
        self.sees(ADDRESS)?;
        self.fits("people")?;
        self.browser.press("#list details:last-of-type summary")?;
        self.sends("/people/remove")?;
        self.sees("was removed")?;
        self.sees("Nobody has an address yet")?;
        for line in ["people: one more", "people: one less"] {
            machine.wait_for_serial(line, 1, LIMIT)?;
        }
        Ok(())
    }

    fn changes_the_passphrase(&self) -> Result<()> {
        self.open("/keys")?;
        self.sees("You have one on paper")?;
        self.fits("keys")?;
        self.gives("/keys/passphrase", "old", PASSPHRASE)?;
        for field in ["new", "again"] {
            self.gives("/keys/passphrase", field, SECOND_PASSPHRASE)?;
        }
        self.sends("/keys/passphrase")?;
        self.sees("The passphrase was changed")
    }

    /// `start` is the number of the start that follows, from 1.
    fn restarts(&self, machine: &mut Machine, start: usize) -> Result<()> {
        self.open("/")?;
        self.browser
            .press("details summary")
            .context("the restart's fold")?;
        self.browser.press("button[data-post='/restart']")?;
        self.sees("restarting")?;
        machine.wait_for_serial("init: restarting", start - 1, LIMIT)?;
        machine.wait_for_serial("projectx: page ready", start, LIMIT)?;
        Ok(())
    }

    /// The old passphrase opens nothing; the new one does.
    fn unlocks(&self, machine: &mut Machine) -> Result<()> {
        self.open("/forgot")?;
        self.sees("Forgotten the passphrase")?;
        self.fits("forgot")?;
        self.open("/")?;
        self.sees("Your box is locked")?;
        self.fits("locked")?;
        self.gives("/unlock", "passphrase", PASSPHRASE)?;
        self.sends("/unlock")?;
        self.sees("does not open the disk")?;
        self.sees("Please wait 1 s before you try again")?;
        self.fits("wrong")?;
        std::thread::sleep(Duration::from_secs(2));
        self.gives("/unlock", "passphrase", SECOND_PASSPHRASE)?;
        self.sends("/unlock")?;
        self.sees("The disk is open")?;
        machine.wait_for_serial("projectx: unlocked", 2, LIMIT)?;
        Ok(())
    }

    fn uses_scripts_over_tls(&self, machine: &mut Machine) -> Result<()> {
        self.browser.scripts(true)?;
        self.restarts(machine, 3)?;
        self.open("/")?;
        self.sees("Your box is locked")?;
        self.browser.type_into("#first", SECOND_PASSPHRASE)?;
        self.browser.press("button[type=submit]")?;
        machine.wait_for_serial("projectx: unlocked", 3, LIMIT)?;
        self.sees("is unlocked")?;
        let path = self.browser.path()?;
        ensure!(path == "/", "the form was sent without the script: {path}");
        Ok(())
    }
}
