//! What dhcpcd runs when an address comes or goes, instead of its shell
//! script (dhcpcd-run-hooks(8)): writes `/run/projectx/resolv.conf`, and the
//! network's own time servers for chrony.
//!
//! Everything here comes from the network and is treated so: a value is used
//! only if it parses as an IP address.

use std::net::IpAddr;
use std::process::Command;

const RESOLV_CONF: &str = "/run/projectx/resolv.conf";
const TIME_SOURCES: &str = "/run/projectx/ntp/network.sources";

fn main() {
    let addresses = |names: &[&str]| {
        let text: Vec<String> = names
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .collect();
        addresses(&text.join(" "))
    };
    let resolvers = addresses(&[
        "new_domain_name_servers",
        "new_dhcp6_name_servers",
        "nd1_rdnss1_servers",
    ]);
    if !resolvers.is_empty() {
        write(RESOLV_CONF, &lines(&resolvers, "nameserver ", ""));
    }
    let clocks = addresses(&["new_ntp_servers", "new_dhcp6_sntp_servers"]);
    if !clocks.is_empty() {
        write(TIME_SOURCES, &lines(&clocks, "server ", " iburst"));
        // chrony may not run yet; it reads the folder when it starts.
        Command::new("/usr/bin/chronyc")
            .args(["-n", "reload", "sources"])
            .env_clear()
            .status()
            .ok();
    }
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

fn lines(addresses: &[IpAddr], before: &str, after: &str) -> String {
    addresses
        .iter()
        .map(|address| format!("{before}{address}{after}\n"))
        .collect()
}

/// Writes by rename: whoever reads it sees the old or the new text.
fn write(path: &str, text: &str) {
    let new = format!("{path}.new");
    if let Err(error) = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path)) {
        eprintln!("net-hook: {path}: not written: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_pass_and_each_once() {
        let found = addresses("10.0.2.3 evil;reboot fd00::3 10.0.2.3 \n300.1.1.1");
        assert_eq!(
            lines(&found, "server ", " iburst"),
            "server 10.0.2.3 iburst\nserver fd00::3 iburst\n"
        );
    }
}
