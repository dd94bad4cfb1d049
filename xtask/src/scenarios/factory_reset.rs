//! The keys in the owner's browser: another passphrase, another recovery key; and at the
//! end the factory reset, after which nothing that was good before opens anything.

use super::Lab;
use super::first_boot_virt::claim_with_key;
use super::phone_page::put_on_paper;
use crate::browser::Browser;
use crate::card_image;
use crate::qemu::{Board, Machine};
use anyhow::{Context, Result, ensure};
use console::{State, client};
use std::path::Path;
use std::time::Duration;

const FIRST: &str = "Zwölf Boxkämpfer jagen Viktor";
const SECOND: &str = "Sylvia wagt quick den Jux";
const NEXT_OWNERS: &str = "Franz jagt im komplett verwahrlosten Taxi";
const BACKUP: &str = "header-backup.img";
const WRITTEN: &str = "projectx: disk: a backup of its header is on the card";
const RESET_FORM: &str = "data-post=\"/factory-reset\"";
const LIMIT: Duration = Duration::from_secs(240);
const WRONG_KEY: u16 = 401;
const CONFLICT: u16 = 409;

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card(folder, "nokaslr")?;
    let browser = Browser::start()?;
    let words = other_keys(lab, &browser, &card, folder).context("other keys")?;
    card_image::check_fat(&card)?;
    let backup = card_image::read_file(&card, BACKUP).context("the backup on the card")?;

    let line = what_to_write(lab, &browser, &card, folder).context("what to write")?;
    card_image::put_file(&card, "factory-reset.txt", line.as_bytes())?;
    reset(lab, &browser, &card, folder).context("the reset")?;
    nothing_is_left(&card, &backup)?;

    // The old owner kept a copy and knows everything.
    card_image::put_file(&card, BACKUP, &backup)?;
    the_next_owner(lab, &card, folder, &words).context("the next owner")?;
    card_image::check_fat(&card)?;
    Ok(())
}

/// Through `/keys`: a wrong old passphrase, another passphrase, another recovery key.
fn other_keys(lab: &Lab, browser: &Browser, card: &Path, folder: &Path) -> Result<String> {
    const CHANGE: &str = "form[data-post='/keys/passphrase']";
    const RECOVERY: &str = "form[data-post='/keys/recovery']";
    let mut machine = lab.start(Board::Virt, card, folder)?;
    machine.wait_for_page()?;
    let page = machine.page();
    let first_words = claim_with_key(&mut machine, FIRST)?;
    let confirmed = client::confirm_recovery_key(&page, &first_words)?;
    ensure!(confirmed.ok, "the first recovery key: {confirmed:?}");
    machine.wait_for_serial(WRITTEN, 1, LIMIT)?;

    browser.open(&format!("{page}/keys"))?;
    browser.wait_for_text("Change the passphrase", LIMIT)?;
    let change = |old: &str, again: &str| -> Result<()> {
        for (field, text) in [
            ("[data-field=old]", old),
            ("[data-field=new]", SECOND),
            ("[data-again]", again),
        ] {
            browser.clear(&format!("{CHANGE} {field}"))?;
            browser.type_into(&format!("{CHANGE} {field}"), text)?;
        }
        browser.click(&format!("{CHANGE} button"))
    };
    change(FIRST, "something else")?;
    browser.wait_for_text("are not the same", LIMIT)?;
    change("not the passphrase", SECOND)?;
    browser.wait_for_text("not the passphrase of this box", LIMIT)?;
    browser.wait_for_text("Change it", LIMIT)?;
    change(FIRST, SECOND)?;
    browser.wait_for_text("The passphrase was changed", LIMIT)?;
    machine.wait_for_serial("disk: a new passphrase", 1, LIMIT)?;

    browser.type_into(&format!("{RECOVERY} [data-field=old]"), SECOND)?;
    browser.click(&format!("{RECOVERY} button"))?;
    browser.wait_for_text("Your recovery key", LIMIT)?;
    let words = put_on_paper(browser)?.join(" ");
    ensure!(words != first_words, "the same recovery key again");
    machine.wait_for_serial(WRITTEN, 2, LIMIT)?;
    let serial = machine.serial_text()?;
    for secret in [FIRST, SECOND, &words, &first_words] {
        ensure!(!serial.contains(secret), "{secret:?} is in the log");
    }
    switch_off(&mut machine)?;
    Ok(words)
}

/// The line for the file, as the page of a locked box gives it; no form to erase yet.
fn what_to_write(lab: &Lab, browser: &Browser, card: &Path, folder: &Path) -> Result<String> {
    let mut machine = lab.start(Board::Virt, card, folder)?;
    machine.wait_for_page()?;
    let page = machine.page();
    let old = client::unlock(&page, FIRST)?;
    ensure!(
        old.http_status == WRONG_KEY,
        "the passphrase before still opens: {old:?}"
    );
    browser.open(&format!("{page}/forgot"))?;
    browser.wait_for_text("factory-reset.txt", LIMIT)?;
    let line = browser.texts("#forms .note strong")?.concat();
    ensure!(line.starts_with("erase "), "the line to write: {line:?}");
    ensure!(
        browser
            .texts("form[data-post='/factory-reset']")?
            .is_empty(),
        "the form is there although the card does not ask"
    );
    machine.cut_power()?;
    Ok(line)
}

/// Through `/forgot`: without the word nothing happens, with it everything is gone.
fn reset(lab: &Lab, browser: &Browser, card: &Path, folder: &Path) -> Result<()> {
    const BUTTON: &str = "form[data-post='/factory-reset'] button";
    let mut machine = lab.start(Board::Virt, card, folder)?;
    machine.wait_for_page()?;
    browser.open(&format!("{}/forgot", machine.page()))?;
    browser.wait_for_text("on the card asks for it", LIMIT)?;
    browser.type_into("#sure", "eras")?;
    browser.click(BUTTON)?;
    browser.wait_for_text("Nothing was done", LIMIT)?;
    ensure!(
        !machine.serial_text()?.contains("disk: factory reset"),
        "the reset began without the word"
    );
    browser.clear("#sure")?;
    browser.type_into("#sure", "erase")?;
    browser.click(BUTTON)?;
    browser.wait_for_text("Everything on the box is gone", LIMIT)?;
    machine.wait_for_serial("disk: its keys are destroyed", 1, LIMIT)?;
    machine.cut_power()?;
    Ok(())
}

/// The backup is off the card, sectors and all.
fn nothing_is_left(card: &Path, backup: &[u8]) -> Result<()> {
    card_image::check_fat(card)?;
    ensure!(
        card_image::read_file(card, BACKUP).is_err(),
        "the backup of the header is still on the card"
    );
    // The key's material: the first bytes behind both headers that are not zero.
    let material = backup.get(0x8000..).unwrap_or_default();
    let begin = material.iter().position(|byte| *byte != 0);
    let begin = begin.context("the backup had no key material")?;
    let needle = material.get(begin..begin + 64).context("64 bytes of it")?;
    for number in [1, 2] {
        let part = card_image::partition(card, number)?;
        let found = card_image::find_bytes(card, part, needle)?;
        ensure!(
            found.is_none(),
            "key material is left in partition {number}: {found:?}"
        );
    }
    Ok(())
}

/// A new box: what was good before opens nothing, and the file on the card asks for
/// nothing of the new disk.
fn the_next_owner(lab: &Lab, card: &Path, folder: &Path, old_words: &str) -> Result<()> {
    let mut machine = lab.start(Board::Virt, card, folder)?;
    machine.wait_for_page()?;
    let page = machine.page();
    let state = client::status(&page)?.state;
    ensure!(state == State::Unclaimed, "after the reset it is {state:?}");
    for answer in [
        client::unlock(&page, SECOND)?,
        client::recover(&page, old_words, SECOND)?,
    ] {
        ensure!(
            answer.http_status == CONFLICT,
            "a fresh box was opened: {answer:?}"
        );
    }
    claim_with_key(&mut machine, NEXT_OWNERS)?;
    let answer = client::power(&page, "restart")?;
    ensure!(answer.ok, "restart: {answer:?}");
    machine.wait_for_serial("projectx: page ready", 2, LIMIT)?;
    machine.wait_for_page()?;
    for open in [
        |page: &str, _: &str| client::unlock(page, SECOND),
        |page: &str, words: &str| client::recover(page, words, SECOND),
    ] {
        let answer = open(&page, old_words)?;
        ensure!(
            answer.http_status == WRONG_KEY,
            "an old key and the next owner's disk: {answer:?}"
        );
        std::thread::sleep(Duration::from_secs(answer.retry_after + 1));
    }
    let html = client::text_of(&page, "/forgot")?;
    ensure!(html.contains("factory-reset.txt"), "the page: {html}");
    ensure!(
        !html.contains(RESET_FORM),
        "the old file asks for the reset of the new disk"
    );
    let right = client::unlock(&page, NEXT_OWNERS)?;
    ensure!(right.ok, "the next owner is kept out: {right:?}");
    switch_off(&mut machine)?;
    ensure!(
        card_image::read_file(card, BACKUP).is_err(),
        "the old disk's backup is still on the next owner's card"
    );
    Ok(())
}

fn switch_off(machine: &mut Machine) -> Result<()> {
    let answer = client::power(&machine.page(), "off")?;
    ensure!(answer.ok, "power-off: {answer:?}");
    machine.wait_for_power_off(LIMIT)?;
    Ok(())
}
