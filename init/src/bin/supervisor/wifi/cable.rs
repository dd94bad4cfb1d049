//! The address that the box has by its network cable.

use nix::ifaddrs::getifaddrs;
use std::net::Ipv4Addr;
use std::path::Path;

/// The first one; `None` without a cable, or before the router has given one.
pub fn address() -> Option<Ipv4Addr> {
    let mut found = getifaddrs().ok()?;
    found.find_map(|interface| {
        let address = interface.address?.as_sockaddr_in()?.ip();
        let folder = Path::new("/sys/class/net").join(&interface.interface_name);
        // What has no device behind it leads to our own sandboxes.
        let is_cable = folder.join("device").exists() && !folder.join("phy80211").exists();
        (is_cable && !address.is_link_local()).then_some(address)
    })
}
