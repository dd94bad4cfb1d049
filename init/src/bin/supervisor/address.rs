//! The addresses that the box has in the home network, by IPv4.

use nix::ifaddrs::getifaddrs;
use std::net::Ipv4Addr;
use std::path::Path;

/// The first one by a network cable; `None` without one, or before the router has given
/// an address.
pub fn by_cable() -> Option<Ipv4Addr> {
    by(|is_radio| !is_radio)
}

/// The one to tell: by a cable, or else by radio.
pub fn at_home() -> Option<Ipv4Addr> {
    by_cable().or_else(|| by(|is_radio| is_radio))
}

fn by(is_wanted: impl Fn(bool) -> bool) -> Option<Ipv4Addr> {
    let mut found = getifaddrs().ok()?;
    found.find_map(|interface| {
        let address = interface.address?.as_sockaddr_in()?.ip();
        let folder = Path::new("/sys/class/net").join(&interface.interface_name);
        // What has no device behind it leads to our own sandboxes.
        let leads_home = folder.join("device").exists() && !address.is_link_local();
        (leads_home && is_wanted(folder.join("phy80211").exists())).then_some(address)
    })
}
