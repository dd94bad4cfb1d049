//! The owner's way: a fresh card, a phone's browser, two fields, one button, and
//! then the people who have mail. What is secret goes through the page's own
//! scripts, which seal it.

use super::Lab;
use crate::browser::Browser;
use crate::qemu::Board;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Duration;

const PASSPHRASE: &str = "Zwölf Boxkämpfer jagen Viktor";
const ADDRESS: &str = "anna@example.org";
const PASSWORD: &str = "Annas erstes Paßwort";
const SECOND_PASSWORD: &str = "Annas zweites Paßwort";
/// Stands in the card's wifi.txt, as an owner among strangers writes it.
const SETUP_CODE: &str = "blue-teapot";
/// Making the disk, on a busy host.
const LIMIT: Duration = Duration::from_secs(90);

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
        (SETUP_CODE, "is unlocked"),
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
    fits(&browser, folder, "open")?;

    people(&browser, folder, PASSPHRASE)?;
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
    for secret in [PASSWORD, SECOND_PASSWORD, ADDRESS] {
        ensure!(!serial.contains(secret), "{secret:?} is in the log");
    }

    browser.open(&page)?;
    browser
        .click("details summary")
        .context("the restart's fold")?;
    browser.click("button[data-post='/restart']")?;
    machine.wait_for_serial("init: restarting", 1, LIMIT)?;
    machine.wait_for_serial("projectx: page ready", 2, LIMIT)?;
    browser.open(&page)?;
    browser.type_into("#first", PASSPHRASE)?;
    fits(&browser, folder, "locked")?;
    browser.click("button[type=submit]")?;
    machine.wait_for_serial("projectx: unlocked", 2, LIMIT)?;
    browser.wait_for_text("is unlocked", LIMIT)?;
    machine.cut_power()?;
    Ok(())
}

/// From the front page of an open box: the passphrase, then somebody comes, gets
/// another password and goes.
fn people(browser: &Browser, folder: &Path, passphrase: &str) -> Result<()> {
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

    browser.click("#list details summary")?;
    browser.type_into("#list [data-field=password]", SECOND_PASSWORD)?;
    browser.click("#list form button")?;
    browser.wait_for_text("password was changed", LIMIT)?;

    browser.click("#list details:last-of-type summary")?;
    fits(browser, folder, "people-remove")?;
    browser.click("#list [data-post='/people/remove'] button")?;
    browser.wait_for_text("Nobody has an address yet", LIMIT)
}

/// Nothing scrolls sideways. The picture stays when the test fails.
fn fits(browser: &Browser, folder: &Path, state: &str) -> Result<()> {
    browser.screenshot(&folder.join(format!("{state}.png")))?;
    let overflow = browser.overflow()?;
    ensure!(
        overflow == 0,
        "the page \"{state}\" is {overflow} pixels too wide for a phone"
    );
    Ok(())
}
