//! The names of the world, all signed (DNSSEC, RFC 4033 and following), served
//! by Knot at the addresses of the real root servers: a box that asks the root
//! itself finds them with nothing changed but the root's key.
//!
//! | domain | what its records say |
//! | --- | --- |
//! | `sender.example` | SPF for [`MAIL`], Exim and Postfix; a DKIM key; DMARC `p=reject` |
//! | `plain.example` | SPF for [`MAIL`]; no DMARC |
//! | `signed.example` | a DKIM key; no SPF, no DMARC |
//! | `bogus.example` | SPF that lets everybody pass, in a zone whose DS in `example` is wrong |
//! | `home.example` | the people of the box |

use super::internet::{self, HOSTS, MAIL, NAME_SERVER};
use super::peers::{Daemon, Tree, WORLD};
use ::internet::{records, spoil};
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// The selector of every DKIM key (RFC 6376 section 3.1).
pub(super) const SELECTOR: &str = "s1";
const FOLDER: &str = "dns";
/// Algorithm 13 is ECDSA P-256 with SHA-256 (RFC 6605), digest 2 SHA-256.
const DS: &str = " 13 2 ";
const START: &str = "IN SOA a.root-servers.net. hostmaster.example. 1 3600 600 86400 300";
/// The zones, from the root down, and their files.
const ZONES: [(&str, &str); 4] = [
    (".", "root.zone"),
    ("example.", "example.zone"),
    ("bogus.example.", "bogus.zone"),
    ("66.128.in-addr.arpa.", "reverse.zone"),
];

/// Names that are served until this is dropped.
#[derive(Debug)]
pub(super) struct Names {
    _knot: Daemon,
}

/// Where the private DKIM key is in the world's folder, for dkimsign.
pub(super) fn dkim_key() -> String {
    format!("{WORLD}/{FOLDER}/dkim.pem")
}

/// The addresses of the root servers in `tree`.
pub(super) fn roots(tree: &Tree) -> Result<Vec<Ipv4Addr>> {
    let hints = tree.read("/usr/share/dns/root.hints")?;
    Ok(records(&hints, "A")
        .filter_map(|words| words.last()?.parse().ok())
        .collect())
}

/// Makes keys and zones below `world` (the folder shared with `tree`), and
/// returns the trust anchor of the root as Unbound reads it.
pub(super) fn make(tree: &Tree, world: &Path) -> Result<String> {
    let folder = world.join(FOLDER);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("knot.conf"), configuration(&roots(tree)?))?;
    for (zone, _) in ZONES {
        keymgr(
            tree,
            zone,
            &[
                "generate",
                "algorithm=ecdsap256sha256",
                "ksk=yes",
                "zsk=yes",
            ],
        )?;
    }
    let hints = tree.read("/usr/share/dns/root.hints")?;
    let mut anchors = Vec::new();
    for (zone, _) in ZONES {
        anchors.push(delegation_signer(tree, zone)?);
    }
    let [root, example, bogus, reverse] = &anchors[..] else {
        bail!("a zone without a key");
    };
    let dkim = dkim_public_key(&folder)?;
    let texts = [
        root_zone(&hints, &[example, reverse]),
        example_zone(&spoil(bogus), &dkim),
        bogus_zone(),
        reverse_zone(),
    ];
    for ((_, file), text) in ZONES.iter().zip(texts) {
        fs::write(folder.join(file), text)?;
    }
    Ok(root.clone())
}

impl Names {
    /// Serves what [`make`] made. The addresses must be there already.
    pub(super) fn serve(tree: &Tree, world: &Path) -> Result<Self> {
        let log = world.join("knot.log");
        let conf = format!("{WORLD}/{FOLDER}/knot.conf");
        let mut knot = Daemon::start(&mut tree.command(&["knotd", "-c", &conf]), &log)?;
        for _ in 0..100 {
            sleep(Duration::from_millis(100));
            let said = fs::read_to_string(&log)?;
            knot.still_runs().with_context(|| said.clone())?;
            if said.contains("server started") {
                return Ok(Self { _knot: knot });
            }
        }
        bail!("Knot does not start:\n{}", fs::read_to_string(&log)?)
    }
}

fn configuration(roots: &[Ipv4Addr]) -> String {
    let folder = format!("{WORLD}/{FOLDER}");
    let mut text = format!("server:\n    rundir: {folder}\n");
    for address in roots.iter().chain([&NAME_SERVER]) {
        let _ = writeln!(text, "    listen: {address}@53");
    }
    let _ = write!(
        text,
        "log:\n  - target: stderr\n    any: info\n\
         database:\n    storage: {folder}\n\
         policy:\n  - id: own\n    manual: on\n    single-type-signing: on\n    \
         algorithm: ecdsap256sha256\n\
         template:\n  - id: default\n    storage: {folder}\n    dnssec-signing: on\n    \
         dnssec-policy: own\n    zonefile-sync: -1\n    zonefile-load: whole\n    \
         journal-content: none\n\
         zone:\n"
    );
    for (zone, file) in ZONES {
        let _ = writeln!(text, "  - domain: {zone}\n    file: {file}");
    }
    text
}

fn keymgr(tree: &Tree, zone: &str, words: &[&str]) -> Result<String> {
    let conf = format!("{WORLD}/{FOLDER}/knot.conf");
    let said = tree
        .tool("keymgr")
        .args(["-c", &conf, zone])
        .args(words)
        .output()?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// The DS record of a zone's key (RFC 4034 section 5).
fn delegation_signer(tree: &Tree, zone: &str) -> Result<String> {
    let said = keymgr(tree, zone, &["ds"])?;
    let line = said.lines().find(|line| line.contains(DS));
    Ok(line
        .with_context(|| format!("no DS of {zone}: {said}"))?
        .to_owned())
}

/// Makes an RSA key and returns its public half in base64 (RFC 6376 section 3.6.1).
fn dkim_public_key(folder: &Path) -> Result<String> {
    let key: PathBuf = folder.join("dkim.pem");
    let openssl = || crate::tool::tool("openssl", "openssl");
    openssl()
        .args(["genrsa", "-traditional", "-out"])
        .arg(&key)
        .arg("2048")
        .run()?;
    let public = openssl()
        .args(["rsa", "-pubout", "-in"])
        .arg(&key)
        .output()?;
    let public = String::from_utf8_lossy(&public);
    Ok(public
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect())
}

fn root_zone(hints: &str, anchors: &[&str]) -> String {
    let mut text = format!(". 3600 {START}\n");
    for kind in ["NS", "A"] {
        for words in records(hints, kind) {
            let _ = writeln!(text, "{}", words.join(" "));
        }
    }
    for zone in ["example.", "66.128.in-addr.arpa."] {
        let _ = writeln!(text, "{zone} 3600 IN NS ns.example.");
    }
    let _ = writeln!(text, "ns.example. 3600 IN A {NAME_SERVER}");
    text + &anchors.join("\n") + "\n"
}

fn example_zone(bogus_anchor: &str, dkim: &str) -> String {
    let senders = HOSTS
        .iter()
        .filter(|host| **host != internet::STRANGER)
        .map(|host| format!("ip4:{} ", host.address))
        .collect::<String>();
    let mail = MAIL.address;
    // A string of a TXT record holds 255 bytes at most (RFC 1035 section 3.3).
    let (one, two) = dkim.split_at(200);
    let key = format!("\"v=DKIM1; k=rsa; p={one}\" \"{two}\"");
    let mut text = format!(
        "example. 3600 {START}\n\
         $TTL 3600\n\
         $ORIGIN example.\n\
         @ NS ns\n\
         ns A {NAME_SERVER}\n\
         sender TXT \"v=spf1 {senders}-all\"\n\
         _dmarc.sender TXT \"v=DMARC1; p=reject\"\n\
         {SELECTOR}._domainkey.sender TXT {key}\n\
         plain TXT \"v=spf1 ip4:{mail} -all\"\n\
         {SELECTOR}._domainkey.signed TXT {key}\n\
         home MX 10 box.home\n\
         box.home A 128.66.0.25\n\
         bogus NS ns\n\
         {bogus_anchor}\n"
    );
    for host in HOSTS {
        let _ = writeln!(text, "{}. A {}", host.name, host.address);
    }
    text
}

fn bogus_zone() -> String {
    format!(
        "bogus.example. 3600 {START}\n\
         bogus.example. 3600 IN NS ns.example.\n\
         bogus.example. 3600 IN TXT \"v=spf1 +all\"\n"
    )
}

fn reverse_zone() -> String {
    let mut text =
        format!("66.128.in-addr.arpa. 3600 {START}\n66.128.in-addr.arpa. 3600 IN NS ns.example.\n");
    for host in HOSTS {
        let [a, b, c, d] = host.address.octets();
        let _ = writeln!(
            text,
            "{d}.{c}.{b}.{a}.in-addr.arpa. 3600 IN PTR {}.",
            host.name
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HINTS: &str = ";  a comment\n\
        .                 3600000      NS    A.ROOT-SERVERS.NET.\n\
        A.ROOT-SERVERS.NET.   3600000  A     198.41.0.4\n\
        A.ROOT-SERVERS.NET.   3600000  AAAA  2001:503:ba3e::2:30\n";

    #[test]
    fn the_root_zone_names_the_servers_of_the_hints_by_ipv4_only() {
        let text = root_zone(HINTS, &["example. DS 1 13 2 ab"]);
        assert!(
            text.contains(". 3600000 NS A.ROOT-SERVERS.NET.\n"),
            "{text}"
        );
        assert!(text.contains("A.ROOT-SERVERS.NET. 3600000 A 198.41.0.4\n"));
        assert!(!text.contains("AAAA") && text.ends_with("example. DS 1 13 2 ab\n"));
    }

    #[test]
    fn each_host_has_a_name_that_leads_back_to_its_address() {
        let (forward, reverse) = (example_zone("", &"k".repeat(392)), reverse_zone());
        for host in HOSTS {
            let last = host.address.octets()[3];
            assert!(forward.contains(&format!("{}. A {}\n", host.name, host.address)));
            assert!(reverse.contains(&format!(
                "{last}.1.66.128.in-addr.arpa. 3600 IN PTR {}.\n",
                host.name
            )));
        }
    }
}
