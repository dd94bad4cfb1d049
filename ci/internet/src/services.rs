//! What is there once for the whole internet besides names: the resolver that
//! the foreign mail servers ask, and the time.

use crate::daemon::Daemon;
use crate::namespace::Namespace;
use crate::tree::{Tree, WORLD};
use crate::zones::{RESOLVER, TIME_SERVER};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Starts Unbound, which validates from the root down (unbound.conf(5)).
pub(crate) fn resolver(here: &Namespace, tree: &Tree, world: &Path) -> Result<Daemon> {
    let text = format!(
        "server:\n  interface: {RESOLVER}\n  access-control: 0.0.0.0/0 allow\n  \
         do-ip6: no\n  username: \"\"\n  chroot: \"\"\n  directory: \"{WORLD}\"\n  \
         pidfile: \"\"\n  use-syslog: no\n  verbosity: 1\n  val-log-level: 2\n  \
         cache-max-ttl: 2\n  cache-max-negative-ttl: 2\n  infra-host-ttl: 2\n  \
         root-hints: \"/usr/share/dns/root.hints\"\n  \
         trust-anchor-file: \"{WORLD}/root.key\"\n\
         remote-control:\n  control-enable: no\n"
    );
    fs::write(world.join("unbound.conf"), text)?;
    let conf = format!("{WORLD}/unbound.conf");
    let log = world.join("unbound.log");
    let mut unbound = here.daemon(tree.command(&["unbound", "-d", "-p", "-c", &conf]), &log)?;
    let has_started =
        || fs::read_to_string(&log).is_ok_and(|said| said.contains("start of service"));
    unbound.wait_until(&log, has_started).context("Unbound")?;
    Ok(unbound)
}

/// Starts chrony, which tells the time of the machine here and never sets it
/// (chrony.conf(5)).
pub(crate) fn time(here: &Namespace, tree: &Tree, world: &Path) -> Result<Daemon> {
    let text = format!(
        "local stratum 1\nallow\nbindaddress {TIME_SERVER}\nport 123\ncmdport 0\n\
         pidfile {WORLD}/chrony.pid\nbindcmdaddress /\nuser root\n"
    );
    fs::write(world.join("chrony.conf"), text)?;
    let conf = format!("{WORLD}/chrony.conf");
    let log = world.join("chrony.log");
    here.daemon(tree.command(&["chronyd", "-d", "-x", "-f", &conf]), &log)
}
