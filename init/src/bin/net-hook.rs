//! What dhcpcd runs when an address comes or goes, instead of its shell
//! scripts (dhcpcd-run-hooks(8)): writes `/run/projectx/resolv.conf`, and the
//! network's own time servers for chrony.
//!
//! Each event tells of one protocol on one interface (DHCP on `eth0`, say), so
//! what each has named is kept apart below `/run/projectx/named`, and the two
//! files are made of all of it. What dhcpcd says in the environment, and when,
//! follows its own hook `20-resolv.conf`.
//!
//! Everything here comes from the network and is treated so: a value is used
//! only if it parses as an IP address.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

const NAMED: &str = "/run/projectx/named";
const RESOLV_CONF: &str = "/run/projectx/resolv.conf";
const TIME_SOURCES: &str = "/run/projectx/ntp/network.sources";

fn main() {
    let Some(event) = Event::read(&|name| std::env::var(name).ok()) else {
        return;
    };
    let done = event
        .keep(Path::new(NAMED))
        .and_then(|()| write_if_new(RESOLV_CONF, &all_named(Path::new(NAMED), "resolvers")?))
        .and_then(|_| write_if_new(TIME_SOURCES, &all_named(Path::new(NAMED), "clocks")?));
    match done {
        Ok(false) => {}
        Ok(true) => tell_chrony(),
        Err(error) => eprintln!("net-hook: {}: not written: {error}", event.source),
    }
}

/// What one protocol on one interface names from now on.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    /// `eth0.dhcp`, say.
    source: String,
    /// Lines of `resolv.conf`.
    resolvers: String,
    /// Lines of a list of chrony's.
    clocks: String,
}

impl Event {
    /// Reads dhcpcd's variables; `None` if this event changes nothing.
    fn read(variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let says = |name: &str| variable(name).is_some_and(|value| value == "true");
        let interface = variable("interface").filter(|name| is_plain(name))?;
        let protocol = variable("protocol").filter(|name| is_plain(name))?;
        let brings = says("if_up") || variable("reason")? == "ROUTERADVERT";
        if !says("if_configured") || !(brings || says("if_down")) {
            return None;
        }
        let mut event = Self {
            source: format!("{interface}.{protocol}"),
            resolvers: String::new(),
            clocks: String::new(),
        };
        if brings {
            let addresses = |names: &[String]| {
                let text: Vec<String> = names.iter().filter_map(|name| variable(name)).collect();
                addresses(&text.join(" "))
            };
            let mut names = vec![
                "new_domain_name_servers".to_owned(),
                "new_dhcp6_name_servers".to_owned(),
            ];
            // Of each router advertisement, each list.
            for advertisement in 1..=4 {
                let list = |n| format!("nd{advertisement}_rdnss{n}_servers");
                names.extend((1..=4).map(list));
            }
            for address in addresses(&names) {
                let zone = if is_link_local(address) {
                    format!("%{interface}")
                } else {
                    String::new()
                };
                event.resolvers += &format!("nameserver {address}{zone}\n");
            }
            let names = ["new_ntp_servers", "new_dhcp6_sntp_servers"].map(str::to_owned);
            for address in addresses(&names) {
                // chrony knows no zones.
                if !is_link_local(address) {
                    event.clocks += &format!("server {address} iburst\n");
                }
            }
        }
        Some(event)
    }

    /// Keeps what it names, in place of what its source named before.
    fn keep(&self, folder: &Path) -> io::Result<()> {
        for (kind, text) in [("resolvers", &self.resolvers), ("clocks", &self.clocks)] {
            let folder = folder.join(kind);
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(&self.source), text)?;
        }
        Ok(())
    }
}

/// Names become file names.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.len() < 32 && name.bytes().all(plain)
}

/// Whether it says nothing without the interface it is reached through.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// The addresses in a list of words; what is not an address is left out.
fn addresses(words: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for address in words
        .split_ascii_whitespace()
        .filter_map(|word| word.parse().ok())
    {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// The lines that all sources named, each once; sources in alphabetical order.
fn all_named(folder: &Path, kind: &str) -> io::Result<String> {
    let mut sources = fs::read_dir(folder.join(kind))?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    sources.sort();
    let mut lines: Vec<String> = Vec::new();
    for source in sources {
        for line in fs::read_to_string(source)?.lines() {
            if !lines.iter().any(|known| known == line) {
                lines.push(line.to_owned());
            }
        }
    }
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}

/// Writes by rename, so that whoever reads it sees the old or the new text.
/// True if the text is another than before.
fn write_if_new(path: &str, text: &str) -> io::Result<bool> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    let new = format!("{path}.new");
    fs::write(&new, text)?;
    fs::rename(&new, path)?;
    Ok(true)
}

/// chrony may not run yet; it reads the folder when it starts.
fn tell_chrony() {
    Command::new("/usr/bin/chronyc")
        .args(["-n", "reload", "sources"])
        .env_clear()
        .stdout(Stdio::null())
        .status()
        .ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(words: &str) -> Option<Event> {
        Event::read(&|name| {
            words
                .split(' ')
                .filter_map(|word| word.split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.replace(',', " "))
        })
    }

    const DHCP: &str = "interface=eth0 protocol=dhcp reason=BOUND if_configured=true if_up=true \
                        new_domain_name_servers=10.0.2.3,evil;reboot,10.0.2.3,300.1.1.1 \
                        new_ntp_servers=10.0.2.4";
    const ADVERTISEMENT: &str = "interface=eth0 protocol=ra reason=ROUTERADVERT \
                                 if_configured=true if_up=false \
                                 nd1_rdnss1_servers=fe80::1,fd00::3";

    #[test]
    fn only_addresses_pass_and_each_once() {
        let event = event(DHCP).unwrap();
        assert_eq!(event.resolvers, "nameserver 10.0.2.3\n");
        assert_eq!(event.clocks, "server 10.0.2.4 iburst\n");
    }

    #[test]
    fn what_dhcp_named_stays_when_a_router_advertises_and_goes_with_its_lease() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        event(DHCP).unwrap().keep(folder).unwrap();
        event(ADVERTISEMENT).unwrap().keep(folder).unwrap();
        assert_eq!(
            all_named(folder, "resolvers").unwrap(),
            "nameserver 10.0.2.3\nnameserver fe80::1%eth0\nnameserver fd00::3\n"
        );
        assert_eq!(
            all_named(folder, "clocks").unwrap(),
            "server 10.0.2.4 iburst\n"
        );
        let expired = DHCP
            .replace("BOUND", "EXPIRE")
            .replace("if_up=true", "if_up=false if_down=true");
        event(&expired).unwrap().keep(folder).unwrap();
        assert_eq!(
            all_named(folder, "resolvers").unwrap(),
            "nameserver fe80::1%eth0\nnameserver fd00::3\n"
        );
        assert_eq!(all_named(folder, "clocks").unwrap(), "");
    }

    #[test]
    fn an_event_without_addresses_of_ours_or_with_a_bad_name_changes_nothing() {
        for (from, to) in [
            ("if_up=true", "if_up=false"),
            ("if_configured=true", "if_configured=false"),
            ("interface=eth0", "interface=../eth0"),
            ("protocol=dhcp", "protocol="),
        ] {
            assert_eq!(event(&DHCP.replace(from, to)), None, "{to}");
        }
    }
}
