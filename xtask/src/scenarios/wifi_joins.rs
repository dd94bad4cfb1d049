//! The network of `wifi.txt` is joined by radio, with nobody touching the box.
//! When the router gets another password the box stays outside, says why and
//! goes on; when the password is right again, it comes back.
//!
//! Limits: the radio is `mac80211_hwsim`'s, not the Pi's. What the Pi's driver
//! and firmware do, a person checks (docs/hardware-checklist.md).

use super::Lab;
use crate::access_point::{self, AccessPoint};
use crate::agent::Agent;
use crate::qemu::{Board, Machine};
use anyhow::{Context, Result, ensure};
use console::{State, client};
use std::fs;
use std::path::Path;
use std::time::Duration;

const NETWORK: &str = "Küche & Bad";
const PASSWORD: &str = "right \"horse\" battery";
const OTHER_PASSWORD: &str = "wrong \"horse\" battery";
/// As an owner writes it on Windows.
const WIFI_TXT: &str =
    "country = de\r\nnetwork = Küche & Bad\r\npassword = right \"horse\" battery\r\n";
/// For the scan, the handshake, and DHCP with its probes for a taken address.
/// After a wrong password wpa_supplicant waits 10 s more.
const JOIN_LIMIT: Duration = Duration::from_secs(60);
/// hostapd's word for a station with the right key.
const LET_IN: &str = "EAPOL-4WAY-HS-COMPLETED";

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let programs = access_point::programs()?;
    let files: [(&str, &[u8]); 1] = [("wifi.txt", WIFI_TXT.as_bytes())];
    let card = lab.card_with_agent_and(folder, "", &programs, &files)?;
    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine.wait_for_page()?;
    let mut agent = Agent::connect(&mut machine)?;
    let mut point = AccessPoint::new(&mut agent);
    let done = by_radio(&mut machine, &mut point);
    if done.is_err() {
        for (name, text) in [("hostapd.log", point.log()), ("dmesg", point.kernel_log())] {
            fs::write(folder.join(name), text.unwrap_or_else(|e| e.to_string()))?;
        }
    }
    done
}

fn by_radio(machine: &mut Machine, point: &mut AccessPoint) -> Result<()> {
    let rules = point.radio_rules()?;
    ensure!(
        rules.contains("country 00:"),
        "rules before there is a radio: {rules}"
    );
    point.start()?;
    point.network(NETWORK, PASSWORD)?;
    joins(machine, point).context("the password of wifi.txt")?;
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

    point.network(NETWORK, OTHER_PASSWORD)?;
    stays_outside(machine, point).context("another password than in wifi.txt")?;

    point.network(NETWORK, PASSWORD)?;
    joins(machine, point).context("the password of wifi.txt again")?;
    ensure!(
        point.log()?.matches(LET_IN).count() == 2,
        "let in, but how?"
    );

    let said = point.kernel_log()? + &machine.serial_text()?;
    ensure!(!said.contains("horse"), "a log shows the WiFi password");
    ensure!(
        said.matches("wpa_supplicant: started").count() == 1,
        "wpa_supplicant was started again"
    );
    Ok(())
}

/// The box gets an address by radio and shows its page there.
fn joins(machine: &mut Machine, point: &mut AccessPoint) -> Result<()> {
    let what = "an address for the box's radio";
    let address = machine.wait_until(what, JOIN_LIMIT, |_| {
        // The radio may not be there yet.
        Ok(point.address_of_the_box().ok().flatten())
    })?;
    ensure!(
        address.starts_with("192.168.77."),
        "not an address of the access point's: {address}"
    );
    let page = point.fetch(&format!("http://{address}/"))?;
    ensure!(
        page.contains("data-state=\"unclaimed\""),
        "not the box's page: {page}"
    );
    Ok(())
}

/// The box tries the password, is refused, gets no address, and stays well.
fn stays_outside(machine: &mut Machine, point: &mut AccessPoint) -> Result<()> {
    let what = "wpa_supplicant's word WRONG_KEY";
    machine.wait_until(what, Duration::from_secs(40), |_| {
        let said = point.kernel_log().unwrap_or_default();
        Ok(said.contains("reason=WRONG_KEY").then_some(()))
    })?;
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
