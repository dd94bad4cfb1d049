//! The networks of `wifi.txt` by radio, with nobody touching the box, and what
//! `wifi-result.txt` says of each: one that is not there, the right password,
//! a wrong one, the right one again, WPA3 alone, a hidden name of other letters.
//! Then the owner claims the box: the password of the network that it is in
//! leaves the card, and after a power cut the box joins with what is left.
//!
//! Limits: the radio is `mac80211_hwsim`'s, not the Pi's. What the Pi's driver
//! and firmware do, a person checks (docs/hardware-checklist.md).

use super::{Lab, first_boot_virt};
use crate::access_point::{self, AccessPoint, Kind};
use crate::agent::Agent;
use crate::card_image;
use crate::qemu::{Board, Machine};
use anyhow::{Context, Result, ensure};
use console::{State, client};
use std::fs;
use std::path::Path;
use std::time::Duration;

const NETWORK: &str = "Küche & Bad";
const PASSWORD: &str = "right \"horse\" #battery";
const OTHER_PASSWORD: &str = "wrong \"horse\" #battery";
const WPA3: &str = "Neu";
const WPA3_PASSWORD: &str = "new horse battery";
const HIDDEN: &str = "🐈 Keller";
const HIDDEN_PASSWORD: &str = "hidden horse battery";
/// As an owner writes it on Windows.
const WIFI_TXT: &str = "country = de\r\n\
    network = Küche & Bad\r\npassword = right \"horse\" #battery\r\n\
    network = Neu\r\npassword = “new horse battery”\r\n\
    network = 🐈 Keller\r\npassword = hidden horse battery\r\nhidden = yes\r\n";
/// For the scan, the handshake, and DHCP with its probes for a taken address.
/// After a wrong password wpa_supplicant waits 10 s more.
const JOIN_LIMIT: Duration = Duration::from_secs(60);
/// Words are written once they have held for 5 s.
const RESULT_LIMIT: Duration = Duration::from_secs(60);
/// hostapd's word for a station with the right key.
const LET_IN: &str = "EAPOL-4WAY-HS-COMPLETED";
const PASSPHRASE: &str = "correct horse battery staple";

const HEAD: &str =
    "What became of the wireless network. The box writes this file; wifi.txt is yours.\r\n\r\n";
const NOT_JOINED: &str = "\r\nWith a network cable the box works all the same. Its page is then \
    at\r\nhttp://projectx.local\r\n";

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let programs = access_point::programs()?;
    let files: [(&str, &[u8]); 1] = [("wifi.txt", WIFI_TXT.as_bytes())];
    let card = lab.card_with_agent_and(folder, "", &programs, &files)?;
    with_an_access_point(lab, &card, folder, |machine, point| {
        by_radio(machine, point)?;
        password_leaves_the_card(machine, point)
    })?;
    let boot = card_image::partition(&card, 1)?;
    let found = card_image::find_bytes(&card, boot, HIDDEN_PASSWORD.as_bytes())?;
    ensure!(
        found.is_none(),
        "the card still has the password that moved"
    );
    card_image::check_fat(&card).context("the card after all that was written")?;
    with_an_access_point(lab, &card, folder, |machine, point| {
        point.network(Kind::Hidden, HIDDEN, HIDDEN_PASSWORD)?;
        joins(machine, point, HIDDEN, State::Locked).context("with the key that is left")
    })
}

/// Switches the box on, gives it a radio, and cuts the power at the end.
fn with_an_access_point(
    lab: &Lab,
    card: &Path,
    folder: &Path,
    test: impl FnOnce(&mut Machine, &mut AccessPoint) -> Result<()>,
) -> Result<()> {
    let mut machine = lab.start(Board::Virt, card, folder)?;
    machine.wait_for_page()?;
    let mut agent = Agent::connect(&mut machine)?;
    let mut point = AccessPoint::new(&mut agent);
    let rules = point.radio_rules()?;
    ensure!(
        rules.contains("country 00:"),
        "rules before there is a radio: {rules}"
    );
    point.start()?;
    let done = test(&mut machine, &mut point);
    if done.is_err() {
        let result = Ok(point.wifi_result().unwrap_or_default());
        let texts = [
            ("hostapd.log", point.log()),
            ("dmesg", point.kernel_log()),
            ("wifi-result.txt", result),
        ];
        for (name, text) in texts {
            fs::write(folder.join(name), text.unwrap_or_else(|e| e.to_string()))?;
        }
    }
    done?;
    machine.cut_power()?;
    Ok(())
}

fn by_radio(machine: &mut Machine, point: &mut AccessPoint) -> Result<()> {
    point.network(Kind::Wpa2, "Nachbar", "somebody else's")?;
    let not_seen = format!(
        "{HEAD}The box does not see \"{NETWORK}\" or \"{WPA3}\" or \"{HIDDEN}\".\r\n\
         If it does not show its name, add a line: hidden = yes\r\n\
         It sees these:\r\n- Nachbar\r\n{NOT_JOINED}"
    );
    says(machine, point, &not_seen).context("a network that is not there")?;

    point.network(Kind::Wpa2, NETWORK, PASSWORD)?;
    joins(machine, point, NETWORK, State::Unclaimed).context("the password of wifi.txt")?;
    ensure!(point.log()?.matches(LET_IN).count() == 1, "joined twice");
    let rules = point.radio_rules()?;
    ensure!(
        rules.contains("country DE:"),
        "the country of wifi.txt is DE, the rules are: {rules}"
    );
    let interfaces = point.interfaces_of_the_box()?;
    ensure!(
        interfaces.contains("type managed") && !interfaces.contains("P2P"),
        "the box's radio shall have one use: {interfaces}"
    );

    point.network(Kind::Wpa2, NETWORK, OTHER_PASSWORD)?;
    stays_outside(machine, point).context("another password than in wifi.txt")?;

    point.network(Kind::Wpa3, WPA3, WPA3_PASSWORD)?;
    joins(machine, point, WPA3, State::Unclaimed).context("WPA3")?;
    point.network(Kind::Hidden, HIDDEN, HIDDEN_PASSWORD)?;
    joins(machine, point, HIDDEN, State::Unclaimed).context("a hidden network")?;

    let said = point.kernel_log()? + &machine.serial_text()?;
    ensure!(!said.contains("horse"), "a log shows the WiFi password");
    ensure!(
        said.matches("wpa_supplicant: started").count() == 1,
        "wpa_supplicant was started again"
    );
    Ok(())
}

/// Once the disk is open, a key stands for the password of the network that
/// the box is in. The others stay: they have not been joined since.
fn password_leaves_the_card(machine: &mut Machine, point: &mut AccessPoint) -> Result<()> {
    first_boot_virt::claim(machine, PASSPHRASE)?;
    let word = "wifi.txt: a key stands for the password now";
    machine.wait_for_serial(word, 1, Duration::from_secs(30))?;
    let text = point.card_file("wifi.txt")?;
    let kept = WIFI_TXT.split_once(HIDDEN_PASSWORD).context("WIFI_TXT")?;
    let key = text
        .strip_prefix(kept.0)
        .and_then(|rest| rest.strip_suffix(kept.1))
        .with_context(|| format!("wifi.txt has changed elsewhere: {text}"))?;
    ensure!(
        key.len() == 64 && key.bytes().all(|b| b.is_ascii_hexdigit()),
        "not a key: {key}"
    );
    Ok(())
}

/// Waits until `wifi-result.txt` is this text.
fn says(machine: &mut Machine, point: &mut AccessPoint, text: &str) -> Result<()> {
    let mut last = None;
    let done = machine.wait_until("wifi-result.txt", RESULT_LIMIT, |_| {
        last = point.wifi_result();
        Ok((last.as_deref() == Some(text)).then_some(()))
    });
    done.with_context(|| format!("it shall be {text:?} and is {last:?}"))
}

/// The box gets an address by radio, shows its page there, and says so.
fn joins(
    machine: &mut Machine,
    point: &mut AccessPoint,
    network: &str,
    state: State,
) -> Result<()> {
    // Not the address alone: it may still be the one from the network before.
    let joined = format!("{HEAD}Joined the network \"{network}\".\r\n");
    let address =
        machine.wait_until("the joined network in wifi-result.txt", JOIN_LIMIT, |_| {
            let said = point.wifi_result().unwrap_or_default();
            // After a restart the words are there before the address.
            let address = point.address_of_the_box().ok().flatten();
            Ok(address.filter(|_| said.starts_with(&joined)))
        })?;
    ensure!(
        address.starts_with("192.168.77."),
        "not an address of the access point's: {address}"
    );
    let text = format!(
        "{joined}The box's address there is {address}.\r\n\r\n\
         Open http://projectx.local on a phone or computer in the same network.\r\n\
         If that name is not found (some Android phones), open http://{address}\r\n"
    );
    says(machine, point, &text)?;
    let page = point.fetch(&format!("http://{address}/"))?;
    let word = format!("data-state=\"{}\"", state.word());
    ensure!(page.contains(&word), "not the box's page: {page}");
    Ok(())
}

/// The box tries the password, is refused, says so, and stays well.
fn stays_outside(machine: &mut Machine, point: &mut AccessPoint) -> Result<()> {
    let refused = format!(
        "{HEAD}The network \"{NETWORK}\" refused the password.\r\n\
         Correct the line \"password =\" in wifi.txt (capitals matter) and start the box \
         again.\r\n{NOT_JOINED}"
    );
    says(machine, point, &refused)?;
    ensure!(
        point.log()?.matches(LET_IN).count() == 1,
        "the access point let it in"
    );
    let address = point.address_of_the_box()?;
    ensure!(address.is_none(), "it has the address {address:?}");
    let state = client::status(&machine.page())?.state;
    ensure!(
        state == State::Unclaimed,
        "by cable the page shows {state:?}"
    );
    Ok(())
}
