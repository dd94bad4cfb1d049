//! The owner's way: a fresh card, a phone's browser, two fields, one button, the
//! recovery key on paper, and then the people who have mail. After a restart the
//! passphrase is forgotten, and the recovery key gives the box another one. What
//! is secret goes through the page's own scripts, which seal it.

use super::Lab;
use crate::browser::Browser;
use crate::qemu::{Board, Machine};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Duration;

const PASSPHRASE: &str = "Zwölf Boxkämpfer jagen Viktor";
const SECOND_PASSPHRASE: &str = "Sylvia wagt quick den Jux";
/// A recovery key whose checksum is right.
const SOMEBODY_ELSES: &str = "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong";
const ADDRESS: &str = "anna@example.org";
const PASSWORD: &str = "Annas erstes Paßwort";
const SECOND_PASSWORD: &str = "Annas zweites Paßwort";
/// Stands in the card's wifi.txt, as an owner among strangers writes it.
const SETUP_CODE: &str = "blue-teapot";
/// The pictures that a run leaves in its folder, in order.
pub(super) const PICTURES: &[&str] = &[
    "unclaimed",
    "recovery-key",
    "open",
    "people-locked",
    "people",
    "people-twice",
    "addresses",
    "inbound",
    "outbound",
    "records",
    "reports",
    "people-remove",
    "keys",
    "forgot",
    "locked",
];
/// The pages on mail, and what each says to whoever has given the passphrase, on
/// whichever of them.
const ON_MAIL: [(&str, &str); 5] = [
    ("addresses", "For the same people"),
    ("inbound", "Refused because they use no TLS"),
    ("outbound", "There is no exception"),
    ("records", "example.org"),
    ("reports", "No report has come yet"),
];
/// Making the disk, on a busy host.
const LIMIT: Duration = Duration::from_secs(240);

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let wifi_txt = format!("# no radio here\r\nsetup-code = {SETUP_CODE}\r\n");
    let files: [(&str, &[u8]); 2] = [
        ("wifi.txt", wifi_txt.as_bytes()),
        ("debug.env", b"args=nokaslr\n"),
    ];
    let card = lab.card_with(folder, &files)?;
    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine.wait_for_page()?;
    let page = format!("{}/", machine.page());

    let browser = Browser::start()?;
    browser.open(&page)?;
    browser.wait_for_text("Choose a passphrase", LIMIT)?;
    fits(&browser, folder, "unclaimed")?;
    browser.type_into("#code", SETUP_CODE)?;
    browser.type_into("#first", PASSPHRASE)?;
    browser.type_into("#second", "something else")?;
    browser.click("button[type=submit]")?;
    // Refused in the page: the box must not have seen it.
    std::thread::sleep(Duration::from_secs(2));
    ensure!(
        !machine.serial_text()?.contains("disk: being made"),
        "two different passphrases reached the box"
    );
    for (code, expected) in [
        ("not the code", "not the setup code"),
        (SETUP_CODE, "Your recovery key"),
    ] {
        browser.open(&page)?;
        browser.type_into("#code", code)?;
        browser.type_into("#first", PASSPHRASE)?;
        browser.type_into("#second", PASSPHRASE)?;
        browser.click("button[type=submit]")?;
        browser.wait_for_text(expected, LIMIT)?;
        // The wait after a wrong code is one second.
        std::thread::sleep(Duration::from_secs(2));
    }
    ensure!(
        machine.serial_text()?.matches("disk: being made").count() == 1,
        "the disk was made for a wrong setup code"
    );
    machine.wait_for_serial("projectx: unlocked", 1, LIMIT)?;
    fits(&browser, folder, "recovery-key")?;
    let words = put_on_paper(&browser)?;
    machine.wait_for_serial("the owner has the recovery key", 1, LIMIT)?;
    browser.wait_for_text("is unlocked", LIMIT)?;
    fits(&browser, folder, "open")?;

    people(&browser, folder, &page, PASSPHRASE)?;
    for (line, count) in [
        ("people: wrong passphrase", 1),
        ("people: the passphrase was proved", 1),
        ("people: one more", 1),
        ("people: a new password", 1),
        ("people: one less", 1),
    ] {
        machine.wait_for_serial(line, count, LIMIT)?;
    }
    let serial = machine.serial_text()?;
    for secret in [PASSWORD, SECOND_PASSWORD, ADDRESS, &words.join(" ")] {
        ensure!(!serial.contains(secret), "{secret:?} is in the log");
    }

    browser.open(&page)?;
    browser.click("a[href='/keys']")?;
    browser.wait_for_text("You have one on paper", LIMIT)?;
    fits(&browser, folder, "keys")?;

    restart(&mut machine, &browser, &page, 2)?;
    recover(&machine, &browser, folder, &words)?;
    machine.wait_for_serial("projectx: unlocked", 2, LIMIT)?;
    browser.wait_for_text("is unlocked", LIMIT)?;
    ensure!(
        !browser.texts("main")?.concat().contains("no recovery key"),
        "the recovery key was confirmed and is asked for again"
    );

    restart(&mut machine, &browser, &page, 3)?;
    browser.type_into("#first", PASSPHRASE)?;
    browser.click("button[type=submit]")?;
    browser.wait_for_text("Wait 1 s", LIMIT)?;
    browser.wait_for_text("does not open the disk", LIMIT)?;
    browser.wait_for_text("Unlock", LIMIT)?;
    browser.type_into("#first", SECOND_PASSPHRASE)?;
    fits(&browser, folder, "locked")?;
    browser.click("button[type=submit]")?;
    machine.wait_for_serial("projectx: unlocked", 3, LIMIT)?;
    browser.wait_for_text("is unlocked", LIMIT)?;
    machine.cut_power()?;
    Ok(())
}

/// Restarts the open box by its page; `time` is how often it was started then.
fn restart(machine: &mut Machine, browser: &Browser, page: &str, time: usize) -> Result<()> {
    browser.open(page)?;
    browser
        .click("details summary")
        .context("the restart's fold")?;
    browser.click("button[data-post='/restart']")?;
    machine.wait_for_serial("init: restarting", time - 1, LIMIT)?;
    machine.wait_for_serial("projectx: page ready", time, LIMIT)?;
    browser.open(page)?;
    browser.wait_for_text("Your box is locked", LIMIT)
}

/// Writes the recovery key down and types the two words that the page asks for;
/// a wrong one first.
pub(super) fn put_on_paper(browser: &Browser) -> Result<Vec<String>> {
    let words = browser.texts("#words li")?;
    ensure!(words.len() == 12, "the recovery key is {words:?}");
    ensure!(
        browser.texts("#qr svg path")?.len() == 1,
        "the recovery key has no QR code"
    );
    browser.type_into("[data-word=one]", "mistake")?;
    browser.click("#confirm button")?;
    browser.wait_for_text("Look at your paper", LIMIT)?;
    browser.clear("[data-word=one]")?;
    for which in ["one", "two"] {
        let label = browser.texts(&format!("[data-label={which}]"))?.concat();
        let place: usize = label
            .trim_start_matches("Word ")
            .parse()
            .with_context(|| label.clone())?;
        let word = words.get(place - 1).context("a word of the key")?;
        browser.type_into(&format!("[data-word={which}]"), word)?;
    }
    browser.click("#confirm button")?;
    browser.wait_for_text("Keep the paper", LIMIT)?;
    Ok(words)
}

/// The passphrase is forgotten. A mistyped word is told and costs nothing; a
/// wrong key is slowed; the right one opens the box and sets a new passphrase.
fn recover(machine: &Machine, browser: &Browser, folder: &Path, words: &[String]) -> Result<()> {
    let give = |key: &str| -> Result<()> {
        browser.clear("[data-field=recovery_key]")?;
        browser.type_into("[data-field=recovery_key]", key)?;
        for field in ["[data-field=new]", "[data-again]"] {
            browser.clear(field)?;
            browser.type_into(field, SECOND_PASSPHRASE)?;
        }
        browser.click("form[data-post='/recover'] button")
    };
    browser.click("a[href='/forgot']")?;
    browser.wait_for_text("Forgotten the passphrase", LIMIT)?;
    fits(browser, folder, "forgot")?;
    let mut mistyped = words.to_vec();
    if let Some(word) = mistyped.get_mut(6) {
        word.push('x');
    }
    give(&mistyped.join(" "))?;
    browser.wait_for_text("Word 7 is not one", LIMIT)?;
    give(SOMEBODY_ELSES)?;
    browser.wait_for_text("Wait 1 s", LIMIT)?;
    browser.wait_for_text("not the recovery key of this box", LIMIT)?;
    browser.wait_for_text("Open and set", LIMIT)?;
    give(&words.join(" ").to_uppercase())?;
    browser.wait_for_text("the new passphrase is set", LIMIT)?;
    let serial = machine.serial_text()?;
    ensure!(
        serial.contains("wrong recovery key"),
        "the wrong recovery key was not seen by the box"
    );
    Ok(())
}

/// From the front page of an open box: the passphrase, then somebody comes, gets
/// another password and goes.
fn people(browser: &Browser, folder: &Path, page: &str, passphrase: &str) -> Result<()> {
    let prove = |passphrase: &str| -> Result<()> {
        browser.type_into("#prove [data-field=passphrase]", passphrase)?;
        browser.click("#prove button")
    };
    browser.click("a[href='/people']")?;
    browser.wait_for_text("Passphrase of the box", LIMIT)?;
    fits(browser, folder, "people-locked")?;
    prove("not the passphrase")?;
    browser.wait_for_text("not the passphrase of this box", LIMIT)?;
    // The wait after a wrong passphrase is one second in the box.
    browser.wait_for_text("Continue", LIMIT)?;
    prove(passphrase)?;
    browser.wait_for_text("Nobody has an address yet", LIMIT)?;

    browser.type_into("#add [data-field=address]", ADDRESS)?;
    browser.type_into("#add [data-field=password]", "short")?;
    browser.click("#add button")?;
    browser.wait_for_text("That is too short", LIMIT)?;
    browser.type_into("#add [data-field=password]", PASSWORD)?;
    browser.click("#add button")?;
    browser.wait_for_text("was added", LIMIT)?;
    browser.wait_for_text(ADDRESS, LIMIT)?;
    fits(browser, folder, "people")?;

    browser.type_into("#add [data-field=address]", ADDRESS)?;
    browser.type_into("#add [data-field=password]", PASSWORD)?;
    browser.click("#add button")?;
    browser.wait_for_text("exists already", LIMIT)?;
    fits(browser, folder, "people-twice")?;

    on_mail(browser, folder, page)?;
    browser.open(&format!("{page}people"))?;
    browser.wait_for_text(ADDRESS, LIMIT)?;

    browser.click("#list details summary")?;
    browser.type_into("#list [data-field=password]", SECOND_PASSWORD)?;
    browser.click("#list form button")?;
    browser.wait_for_text("password was changed", LIMIT)?;

    browser.click("#list details:last-of-type summary")?;
    fits(browser, folder, "people-remove")?;
    browser.click("#list [data-post='/people/remove'] button")?;
    browser.wait_for_text("Nobody has an address yet", LIMIT)
}

/// The pages on mail while somebody has an address.
fn on_mail(browser: &Browser, folder: &Path, page: &str) -> Result<()> {
    for (name, words) in ON_MAIL {
        browser.open(&format!("{page}{name}"))?;
        browser.wait_for_text(words, LIMIT)?;
        fits(browser, folder, name)?;
    }
    Ok(())
}

/// The picture stays when the test fails.
fn fits(browser: &Browser, folder: &Path, state: &str) -> Result<()> {
    browser.fits(&folder.join(format!("{state}.png")))
}
