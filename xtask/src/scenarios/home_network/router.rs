//! The router of a home, of a kind that many have: addresses and the names of
//! servers by DHCP, a prefix for IPv6, servers by DHCPv6 too, and DNS. It leads
//! nowhere.

use crate::tool::tool;
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The router's end of the box's cable.
pub(in crate::scenarios) const INTERFACE: &str = "home";
/// The router, its DNS, and the time server that DHCP names.
pub(in crate::scenarios) const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
/// What DNS answers for the public time servers; only who asks DNS finds it.
pub(in crate::scenarios) const PUBLIC_TIME: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 2);
/// The router by IPv6, from the prefix for documents (RFC 3849).
pub(in crate::scenarios) const ADDRESS_6: Ipv6Addr =
    Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 1);

/// A running router.
#[derive(Debug)]
pub(in crate::scenarios) struct Router {
    dnsmasq: Child,
    leases: PathBuf,
}

/// An address that was given to a device.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::scenarios) struct Lease {
    pub(in crate::scenarios) hardware: String,
    pub(in crate::scenarios) address: Ipv4Addr,
    pub(in crate::scenarios) name: String,
    /// By which the device asks for the same address again.
    pub(in crate::scenarios) client: String,
}

/// Lays the cable. The process must be in a network namespace of its own.
pub(in crate::scenarios) fn lay_cable() -> Result<()> {
    ends_here()?;
    ip(&["tuntap", "add", "dev", INTERFACE, "mode", "tap"])?;
    switch_on()
}

/// Lays a cable for each of several boxes, from one switch.
pub(in crate::scenarios) fn lay_cables(cables: &[&str]) -> Result<()> {
    ends_here()?;
    // Nobody in this home asks who wants which group.
    let switch = ["type", "bridge", "mcast_snooping", "0"];
    ip(&[&["link", "add", "name", INTERFACE], &switch[..]].concat())?;
    for cable in cables {
        ip(&["tuntap", "add", "dev", cable, "mode", "tap"])?;
        ip(&["link", "set", cable, "master", INTERFACE, "up"])?;
    }
    switch_on()
}

/// Refuses to go on in a network that leads somewhere.
fn ends_here() -> Result<()> {
    let routes = ["-4", "-6"].map(|family| ip(&[family, "route", "show", "table", "all"]));
    for found in routes {
        let found = found?;
        if !found.trim().is_empty() {
            bail!("this is not a network of its own, it has routes:\n{found}");
        }
    }
    Ok(())
}

/// Gives the router its addresses.
fn switch_on() -> Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    for address in [ADDRESS, PUBLIC_TIME] {
        ip(&["addr", "add", &format!("{address}/24"), "dev", INTERFACE])?;
    }
    let address = format!("{ADDRESS_6}/64");
    ip(&["addr", "add", &address, "dev", INTERFACE, "nodad"])?;
    ip(&["link", "set", INTERFACE, "up"])?;
    Ok(())
}

fn ip(words: &[&str]) -> Result<String> {
    let said = tool("ip", "iproute2").args(words).output()?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

impl Router {
    /// Switches it on; `folder` takes its list of leases and its log. `always`
    /// is the address of the first box in a home, instead of any.
    pub(in crate::scenarios) fn start(folder: &Path, always: Option<Ipv4Addr>) -> Result<Self> {
        let leases = folder.join("leases");
        let log = fs::File::create(folder.join("router.log"))?;
        let mut dnsmasq = Command::new("dnsmasq");
        if let Some(address) = always {
            // The address that QEMU gives its first network card.
            dnsmasq.arg(format!("--dhcp-host=52:54:00:12:34:56,{address}"));
        }
        let mut dnsmasq = dnsmasq
            // Changes no user: root of this namespace may have no other.
            .args(["--no-daemon", "--conf-file=/dev/null", "--log-dhcp"])
            .args(["--no-hosts", "--no-resolv", "--log-queries"])
            .arg(format!("--address=/pool.ntp.org/{PUBLIC_TIME}"))
            .arg(format!("--interface={INTERFACE}"))
            // Otherwise it takes port 53 of this host's own addresses too.
            .args(["--bind-interfaces", "--except-interface=lo"])
            .arg("--dhcp-authoritative")
            .arg("--dhcp-range=192.168.77.100,192.168.77.199,1h")
            .arg(format!("--dhcp-leasefile={}", leases.display()))
            .arg(format!("--dhcp-option=option:dns-server,{ADDRESS}"))
            .arg(format!("--dhcp-option=option:ntp-server,{ADDRESS}"))
            .arg("--enable-ra")
            .arg(format!(
                "--dhcp-range=::,constructor:{INTERFACE},ra-stateless,1h"
            ))
            .arg(format!("--dhcp-option=option6:dns-server,[{ADDRESS_6}]"))
            .arg(format!("--dhcp-option=option6:sntp-server,[{ADDRESS_6}]"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting dnsmasq (package dnsmasq-base)")?;
        // What it does not like it says at once.
        std::thread::sleep(Duration::from_millis(500));
        if let Some(status) = dnsmasq.try_wait()? {
            let said = fs::read_to_string(folder.join("router.log"))?;
            bail!("dnsmasq ended ({status}):\n{said}");
        }
        Ok(Self { dnsmasq, leases })
    }

    /// The addresses given so far.
    pub(in crate::scenarios) fn leases(&self) -> Vec<Lease> {
        parse_leases(&fs::read_to_string(&self.leases).unwrap_or_default())
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.dnsmasq.kill();
        let _ = self.dnsmasq.wait();
    }
}

/// dnsmasq's own list: expiry, hardware address, address, name, client.
fn parse_leases(text: &str) -> Vec<Lease> {
    text.lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, hardware, address, name, client] = words[..] else {
                return None;
            };
            let IpAddr::V4(address) = address.parse().ok()? else {
                return None;
            };
            Some(Lease {
                hardware: hardware.to_owned(),
                address,
                name: name.to_owned(),
                client: client.to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_read_and_what_concerns_ipv6_passed_over() {
        let text = "1795500000 52:54:00:12:34:56 192.168.77.150 projectx 01:52:54:00:12:34:56\n\
                    duid 00:01:00:01\n\
                    1795500000 1234 2001:db8:77::5 * 00:01\n";
        let leases = parse_leases(text);
        assert_eq!(leases.len(), 1);
        assert_eq!(leases[0].address, Ipv4Addr::new(192, 168, 77, 150));
        assert_eq!(leases[0].name, "projectx");
    }
}
