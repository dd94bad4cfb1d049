//! A WiFi access point inside the box, for boot tests: `mac80211_hwsim` makes
//! two radios, the box keeps the first, Debian's hostapd gets the second (see
//! `ci/access-point.sh`). Nothing of it is in the product but the kernel
//! module, which nothing else loads.

use crate::agent::Agent;
use crate::image::{self, Node, Tree};
use anyhow::Result;

const SCRIPT: &str = "/access-point.sh";
const BUSYBOX: &str = "/usr/bin/busybox";
const IW: &str = "/usr/sbin/iw";

/// What must lie beside the agent: the programs, the script, and the device
/// that hostapd reads.
pub fn programs() -> Result<Tree> {
    let mut tree = image::debian_programs(
        "access point",
        &["hostapd", "iw", "busybox-static"],
        &["/usr/sbin/hostapd", IW, BUSYBOX],
    )?;
    tree.put_file(SCRIPT, include_str!("../../ci/access-point.sh"));
    tree.put("lib", Node::Link("usr/lib".into()));
    tree.put("dev/null", Node::Device(0o666, 1, 3));
    tree.put("dev/urandom", Node::Device(0o444, 1, 9));
    Ok(tree)
}

/// What stations an access point takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// WPA2 with a password.
    Wpa2,
    /// WPA3 with a password, and nothing older.
    Wpa3,
    /// WPA2, and the name is not announced.
    Hidden,
}

/// The access point of a running box whose card has [`programs`].
#[derive(Debug)]
pub struct AccessPoint<'a>(&'a mut Agent);

impl<'a> AccessPoint<'a> {
    /// Not there yet: the box has no radio before [`Self::start`].
    pub fn new(agent: &'a mut Agent) -> Self {
        Self(agent)
    }

    /// Gives the box two radios and takes the second away from it.
    pub fn start(&mut self) -> Result<()> {
        let modprobe = ["/usr/sbin/modprobe", "mac80211_hwsim", "radios=2"];
        self.0.run("exec", &modprobe)?;
        self.script(&["start"]).map(|_| ())
    }

    /// Announces a network with a password; the one before is gone.
    pub fn network(&mut self, kind: Kind, name: &str, password: &str) -> Result<()> {
        let kind = match kind {
            Kind::Wpa2 => "wpa2",
            Kind::Wpa3 => "wpa3",
            Kind::Hidden => "hidden",
        };
        self.script(&["network", name, password, kind]).map(|_| ())
    }

    /// What the box has written onto its card, if it has.
    pub fn wifi_result(&mut self) -> Option<String> {
        self.card_file("wifi-result.txt").ok()
    }

    /// A text file in the top folder of the box's card.
    pub fn card_file(&mut self, name: &str) -> Result<String> {
        let path = format!("/run/card/{name}");
        Ok(String::from_utf8(self.0.ask(&["read", &path])?)?)
    }

    /// What the access point gets from a URL. It has no way but the radio.
    pub fn fetch(&mut self, url: &str) -> Result<String> {
        self.script(&["fetch", url])
    }

    /// What hostapd has said so far.
    pub fn log(&mut self) -> Result<String> {
        self.script(&["log"])
    }

    /// The radio rules that the kernel follows (`iw reg get`).
    pub fn radio_rules(&mut self) -> Result<String> {
        self.0.run("run", &[IW, "reg", "get"])
    }

    /// What the box uses its radio as (`iw dev`).
    pub fn interfaces_of_the_box(&mut self) -> Result<String> {
        self.0.run("run", &[IW, "dev"])
    }

    /// The kernel's messages, and those of the box's daemons among them.
    pub fn kernel_log(&mut self) -> Result<String> {
        self.0.run("run", &[BUSYBOX, "dmesg"])
    }

    /// The IPv4 address of the box's radio, if it has one.
    pub fn address_of_the_box(&mut self) -> Result<Option<String>> {
        let ip = ["/usr/sbin/ip", "-4", "-oneline", "address", "show", "wlan0"];
        Ok(address_in(&self.0.run("exec", &ip)?))
    }

    fn script(&mut self, words: &[&str]) -> Result<String> {
        self.0
            .run("run", &[&[BUSYBOX, "sh", SCRIPT], words].concat())
    }
}

/// The address in a line of `ip -4 -oneline address`.
fn address_in(line: &str) -> Option<String> {
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == "inet")?;
    Some(words.next()?.split('/').next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_taken_from_what_ip_prints() {
        let line = "3: wlan0    inet 192.168.77.49/24 brd 192.168.77.255 scope global wlan0\\       valid_lft 864000sec";
        assert_eq!(address_in(line).as_deref(), Some("192.168.77.49"));
        assert_eq!(address_in(""), None);
    }
}
