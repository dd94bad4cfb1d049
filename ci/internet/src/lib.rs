//! An internet for tests, on the machine here, made of programs that we did not
//! write: Knot serves names that are signed from the root down, Unbound resolves
//! them, chrony tells the time, and Postfix, Exim and OpenSMTPD run the foreign
//! mail domains that [`Domain`] lists.
//!
//! ```text
//!   the box ── veth ──┐                  ┌── veth ── mx.postfix.example   128.66.1.10
//!   128.66.0.25       │                  ├── veth ── mx.exim.example      128.66.1.11
//!                  the core ─────────────┤
//!       128.66.0.1   router              └── veth ── … one for each domain
//!     198.41.0.4 …   root servers
//!      128.66.0.53   the other zones     128.66.0.54   the resolver
//!     128.66.0.123   ntp.example
//! ```
//!
//! Each host is a network namespace of its own; only the core connects them, and
//! it has no cable to anything else. No namespace has a name, so any number of
//! internets may be there at once, and all of one goes when it is dropped or its
//! process ends in whatever way ([`namespace`]).
//!
//! 128.66.0.0/16 is nobody's: once set aside as a network for tests, never given
//! to anyone. The blocks for documents (RFC 5737) would not do: Unbound answers
//! for their reverse names itself, and SpamAssassin counts them. The root
//! servers' addresses are the real ones.
//!
//! Limits: as root only. IPv4 only. One Knot answers for all zones.

mod certificates;
mod daemon;
mod domains;
mod exim;
mod greylist;
mod host;
mod names;
mod namespace;
mod opensmtpd;
mod postfix;
mod received;
mod services;
pub mod tree;
mod web;
mod zones;

pub use daemon::Daemon;
pub use domains::{Domain, Program};
pub use exim::CUSTOMER as SMARTHOST_CUSTOMER;
pub use greylist::PATIENCE;
pub use host::Host;
pub use postfix::make_queue;
pub use received::{Received, Tls};
pub use zones::{BOX, HOME, RESOLVER, TIME_SERVER, records, spoil};

use anyhow::{Context, Result};
use certificates::Authority;
use names::Names;
use namespace::{Namespace, Pids};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use tree::{Peers, Tree, WORLD};
use zones::{Keys, NAME_SERVER};

/// Through which the hosts reach each other.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(128, 66, 0, 1);

/// The programs.
#[derive(Debug, Clone)]
pub(crate) struct Trees {
    pub(crate) internet: Tree,
    pub(crate) postfix: Tree,
    pub(crate) opensmtpd: Tree,
}

/// Unpacks the programs of others where they are not there, which may take minutes
/// and which [`Internet::start`] does otherwise.
///
/// # Errors
/// As [`Tree::unpack`].
pub fn unpack() -> Result<()> {
    Trees::unpack().map(drop)
}

impl Trees {
    fn unpack() -> Result<Self> {
        Ok(Self {
            internet: Tree::unpack(Peers::Internet)?,
            postfix: Tree::unpack(Peers::Postfix)?,
            opensmtpd: Tree::unpack(Peers::OpenSmtpd)?,
        })
    }

    /// Makes them ready in the namespace that the calling thread is in.
    fn enter(&self, world: &Path) -> Result<()> {
        for tree in [&self.internet, &self.postfix, &self.opensmtpd] {
            tree.enter(world)?;
            tree.lay_over(&world.join("resolv.conf"), "/etc/resolv.conf")?;
            tree.lay_over(&world.join("authority.pem"), tree::AUTHORITIES)?;
        }
        Ok(())
    }
}

/// An internet that is there until this is dropped.
#[derive(Debug)]
pub struct Internet {
    // Programs end before what they run in.
    hosts: BTreeMap<Domain, Host>,
    _others: Vec<Daemon>,
    names: Names,
    authority: Authority,
    core: Namespace,
    trees: Trees,
    folder: PathBuf,
    pids: Pids,
}

impl Internet {
    /// Makes the internet with all its domains; keys, queues, logs and received
    /// mail are below `folder`, an empty one, and stay there.
    ///
    /// # Errors
    /// When the caller is not root, or a program does not start: with its log.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::with(folder, &Domain::ALL)
    }

    /// The same with only these domains' servers; the names are there of all.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn with(folder: &Path, domains: &[Domain]) -> Result<Self> {
        let trees = Trees::unpack()?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        // Programs that are not root pass through it.
        let folder = folder.canonicalize()?;
        tree::open_to_all(&folder)?;
        let pids = Pids::make()?;
        let core = Namespace::make(&pids)?;
        let hints = trees.internet.read("/usr/share/dns/root.hints")?;
        settle(&core, &names::roots(&hints))?;
        let resolv = format!("nameserver {RESOLVER}\noptions edns0 trust-ad\n");
        fs::write(folder.join("resolv.conf"), resolv)?;
        let authority = Authority::new()?;
        fs::write(folder.join("authority.pem"), authority.pem())?;
        core.visit(|| trees.enter(&folder))?;
        for domain in Domain::ALL {
            let own = folder.join(domain.label());
            fs::create_dir(&own).with_context(|| own.display().to_string())?;
            authority.equip(domain, &own)?;
        }
        let tlsa = certificates::tlsa(&folder.join(Domain::Dane.label()))?;
        let dkim = dkim_key(&core, &trees.internet)?;
        let keys = Keys {
            tlsa: &tlsa,
            dkim: &dkim,
        };
        let names = Names::serve(&core, &trees.internet, &folder, keys)?;
        fs::write(folder.join("root.key"), format!("{}\n", names.anchor()))?;
        let others = vec![
            services::resolver(&core, &trees.internet, &folder)?,
            services::time(&core, &trees.internet, &folder)?,
        ];
        let hosts = make_hosts(domains, &pids, &core, &trees, &folder)?;
        for host in hosts.values() {
            if host.domain() != Domain::Down {
                host.up()?;
            }
        }
        Ok(Self {
            hosts,
            _others: others,
            names,
            authority,
            core,
            trees,
            folder,
            pids,
        })
    }

    /// The key of the root, a DS record in a file, as Unbound's
    /// `trust-anchor-file` takes it.
    pub fn trust_anchor(&self) -> PathBuf {
        self.folder.join("root.key")
    }

    /// The certificate of the one authority, in PEM.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// Has the one authority vouch for these names: a certificate in PEM for the key,
    /// PKCS #8 in DER, which it does not keep.
    ///
    /// # Errors
    /// When it is no key, or a name none.
    pub fn certify(&self, key: &[u8], names: &[String]) -> Result<String> {
        self.authority.certify(key, names)
    }

    /// A domain's server.
    ///
    /// # Panics
    /// When the internet was made without this one.
    pub fn host(&self, domain: Domain) -> &Host {
        let host = self.hosts.get(&domain);
        host.unwrap_or_else(|| panic!("this internet was made without {domain}"))
    }

    /// Lays a cable to a network namespace: there it has the interface `far`
    /// with `address`, and its default route. Only one with [`BOX`] is in the
    /// names at first.
    ///
    /// # Errors
    /// When either is taken.
    pub fn attach(&self, there: &File, far: &str, address: Ipv4Addr) -> Result<()> {
        let [_, _, c, d] = address.octets();
        let cable = format!("at-{c}-{d}");
        namespace::lay_cable(&self.core, &cable, there, far, address, ROUTER)
    }

    /// Its core's network namespace, from where everything is reached.
    pub fn namespace(&self) -> &File {
        self.core.net()
    }

    /// The inode of the pid namespace that all its programs are in.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn pid_namespace(&self) -> Result<u64> {
        self.pids.inode()
    }

    /// Lets [`HOME`] have these records and no others: lines of a zone file,
    /// relative to it. At first they are `@ MX 10 box` and the box's address.
    ///
    /// # Errors
    /// When Knot refuses them.
    pub fn publish(&self, records: &str) -> Result<()> {
        self.names
            .publish(&self.core, &self.trees.internet, records)
    }

    /// Runs a program of a tree in the core, and returns what it printed. The
    /// folder of the internet is at [`WORLD`] there.
    ///
    /// # Errors
    /// When it fails.
    pub fn run(&self, peers: Peers, words: &[&str]) -> Result<String> {
        let tree = match peers {
            Peers::Internet => &self.trees.internet,
            Peers::Postfix => &self.trees.postfix,
            Peers::OpenSmtpd => &self.trees.opensmtpd,
        };
        let said = self.core.feed(tree.command(words), b"")?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

fn settle(core: &Namespace, roots: &[Ipv4Addr]) -> Result<()> {
    core.visit(|| Ok(fs::write("/proc/sys/net/ipv4/ip_forward", "1")?))?;
    for address in [ROUTER, NAME_SERVER, RESOLVER, TIME_SERVER]
        .iter()
        .chain(roots)
    {
        core.ip(&format!("address add {address}/32 dev lo"))?;
    }
    Ok(())
}

/// Makes an RSA key and returns its public half in base64 (RFC 6376 section
/// 3.6.1).
fn dkim_key(core: &Namespace, tree: &Tree) -> Result<String> {
    let key = format!("{WORLD}/{}/dkim.pem", Domain::Strict.label());
    let make = ["openssl", "genrsa", "-traditional", "-out", &key, "2048"];
    core.feed(tree.command(&make), b"")?;
    let show = ["openssl", "rsa", "-pubout", "-in", &key];
    let public = core.feed(tree.command(&show), b"")?;
    let public = String::from_utf8_lossy(&public);
    let lines = public.lines().filter(|line| !line.starts_with('-'));
    Ok(lines.collect())
}

fn make_hosts(
    domains: &[Domain],
    pids: &Pids,
    core: &Namespace,
    trees: &Trees,
    world: &Path,
) -> Result<BTreeMap<Domain, Host>> {
    let mut hosts = BTreeMap::new();
    for domain in domains {
        let host = Host::make(*domain, pids, core, trees, world);
        let host = host.with_context(|| domain.to_string())?;
        hosts.insert(*domain, host);
    }
    Ok(hosts)
}
