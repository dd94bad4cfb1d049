//! Who gets through: the one kind of service that reaches the internet, the ports of
//! the box that only the home network reaches, and those that lead a stranger to
//! another place than somebody at home.
//!
//! A service that declares `egress` gets an interface that leads to the ports
//! that it names and to no address of a home network.
//!
//! A veth pair (veth(4)) joins its network namespace and the box's. The box
//! forwards, translates addresses (masquerade) and filters by nftables: what
//! is not allowed here is dropped, also what would go to the box itself. The
//! addresses are those that RFC 7335 sets aside for such a stretch of one
//! link, so no network that the box joins has them.
//!
//! Limits: IPv4 only. A home network with public addresses of its own is not
//! told apart from the internet.

use nix::sched::{CloneFlags, setns};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

/// How many services may have it: RFC 7335 gives eight addresses, a link takes two
/// (RFC 3021), and the first is no host's where somebody takes all eight for one network.
pub const MOST: u8 = 3;

/// Where no service gets to: every block of RFC 6890 that is not the internet.
const NOT_THE_INTERNET: [&str; 14] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
];

/// What one service may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// Which of the links, below [`MOST`].
    pub link: u8,
    /// TCP ports.
    pub tcp: Vec<u16>,
    /// UDP ports.
    pub udp: Vec<u16>,
}

/// A port that the host itself serves to the home network and the app to everybody
/// else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// The port as both know it.
    pub port: u16,
    /// Where the app listens. Nobody gets there but by `port`.
    pub strangers: u16,
}

/// A step that failed. The rules come first, so nothing is open by mistake.
#[derive(Debug, thiserror::Error)]
#[error("egress: {step}: {source}")]
pub struct EgressError {
    /// What was being done.
    pub step: String,
    /// What the system or the tool said.
    pub source: io::Error,
}

impl Egress {
    fn interface(&self) -> String {
        format!("egress{}", self.link)
    }

    /// The box's address on the link, and the service's.
    fn addresses(&self) -> (Ipv4Addr, Ipv4Addr) {
        let first = 2 * (self.link + 1);
        let address = |last| Ipv4Addr::new(192, 0, 0, last);
        (address(first), address(first + 1))
    }
}

/// Puts the rules for exactly these services in force, in one transaction
/// (nft(8)), and switches forwarding on. `at_home` are ports of the box that
/// answer nobody but the home network: a router that lets IPv6 in from the
/// internet must not make them public. Through a port that is `shared`, strangers are
/// led to the app's listener and never reach the host's.
///
/// # Errors
/// When nft refuses them; the rules before are in force then.
pub fn enforce(all: &[Egress], at_home: &[u16], shared: &[Shared]) -> Result<(), EgressError> {
    let rules = rules(all, at_home, shared);
    let failed = |source| EgressError {
        step: "nft".into(),
        source,
    };
    run("/usr/sbin/nft", &["-f", "-"], &rules).map_err(failed)?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").map_err(|source| EgressError {
        step: "/proc/sys/net/ipv4/ip_forward".into(),
        source,
    })
}

/// Gives the process its interface, `eth0`, with a default route. Its network
/// namespace must be its own, and [`enforce`] must have been called.
///
/// # Errors
/// When a step fails. What was made goes with the process's namespace.
pub fn connect(egress: &Egress, process: nix::unistd::Pid) -> Result<(), EgressError> {
    let name = egress.interface();
    let (ours, theirs) = egress.addresses();
    let pid = process.to_string();
    let ip = |text: &str| -> Result<(), EgressError> {
        let words: Vec<&str> = text.split(' ').collect();
        run("/usr/sbin/ip", &words, "").map_err(|source| EgressError {
            step: format!("ip {text}"),
            source,
        })
    };
    // One that an earlier start left goes first; its peer's namespace is gone.
    let is_there = || fs::exists(format!("/sys/class/net/{name}")).unwrap_or(false);
    if is_there() {
        let gone = ip(&format!("link delete {name}"));
        // The kernel, which takes the namespace down, may have been first.
        gone.or_else(|error| if is_there() { Err(error) } else { Ok(()) })?;
    }
    ip(&format!(
        "link add {name} type veth peer name eth0 netns {pid}"
    ))?;
    ip(&format!("address add {ours}/31 dev {name}"))?;
    ip(&format!("link set {name} up"))?;
    inside(process, || {
        ip(&format!("address add {theirs}/31 dev eth0"))?;
        ip("link set eth0 up")?;
        ip(&format!("route add default via {ours}"))
    })
}

/// Runs `work` on a thread of its own in the network namespace of `process`;
/// what it starts is there too.
fn inside(
    process: nix::unistd::Pid,
    work: impl FnOnce() -> Result<(), EgressError> + Send,
) -> Result<(), EgressError> {
    let path = format!("/proc/{process}/ns/net");
    let failed = |source| EgressError {
        step: path.clone(),
        source,
    };
    let namespace = File::open(&path).map_err(failed)?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(|error| failed(error.into()))?;
            work()
        });
        thread
            .join()
            .unwrap_or_else(|_| Err(failed(io::Error::other("the thread panicked"))))
    })
}

fn rules(all: &[Egress], at_home: &[u16], shared: &[Shared]) -> String {
    let closed: String = at_home
        .iter()
        .map(|port| closed_to_strangers(*port))
        .chain(shared.iter().map(|shared| closed_but_when_led(*shared)))
        .collect();
    let led: String = shared.iter().map(|shared| leads(*shared)).collect();
    let mut forward = String::new();
    for egress in all {
        let name = egress.interface();
        for (protocol, ports) in [("tcp", &egress.tcp), ("udp", &egress.udp)] {
            for port in ports {
                let _ = writeln!(
                    forward,
                    "    iifname \"{name}\" {protocol} dport {port} accept"
                );
            }
        }
    }
    let home = NOT_THE_INTERNET.join(", ");
    format!(
        "table inet projectx-egress
delete table inet projectx-egress
table inet projectx-egress {{
  chain to-the-box {{
    type filter hook input priority filter; policy accept;
    iifname \"egress*\" drop
{closed}  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    oifname \"egress*\" ct state established accept
    iifname != \"egress*\" drop
    oifname \"egress*\" drop
    ip daddr {{ {home} }} drop
    meta nfproto ipv6 drop
{forward}  }}
  chain strangers {{
    type nat hook prerouting priority dstnat;
{led}  }}
  chain out {{
    type nat hook postrouting priority srcnat;
    iifname \"egress*\" masquerade
  }}
}}
"
    )
}

/// Addresses that a router at home gives out or a device gives itself: RFC 1918,
/// RFC 3927, RFC 4193, RFC 4291.
const HOME4: &str = "127.0.0.0/8, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16";
const HOME6: &str = "::1, fe80::/10, fc00::/7";

fn closed_to_strangers(port: u16) -> String {
    format!(
        "    tcp dport {port} ip saddr != {{ {HOME4} }} drop
    tcp dport {port} ip6 saddr != {{ {HOME6} }} drop
"
    )
}

/// redirect: the box's own address, another port (nft(8)). What a service sends out to that
/// port of somebody else's goes on.
fn leads(Shared { port, strangers }: Shared) -> String {
    format!(
        "    iifname != \"egress*\" tcp dport {port} ip saddr != {{ {HOME4} }} redirect to :{strangers}
    iifname != \"egress*\" tcp dport {port} ip6 saddr != {{ {HOME6} }} redirect to :{strangers}
"
    )
}

/// Who dials the port itself was not led there.
fn closed_but_when_led(Shared { strangers, .. }: Shared) -> String {
    format!(
        "    tcp dport {strangers} ct status dnat accept
    tcp dport {strangers} drop
"
    )
}

/// Runs a tool to its end with `input`; its last words are the error.
fn run(tool: &str, arguments: &[&str], input: &str) -> io::Result<()> {
    let mut child = Command::new(tool)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that ended early breaks the pipe; its exit status says why.
        stdin.write_all(input.as_bytes()).ok();
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "{}: {}",
        output.status,
        words.trim()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_is_opened_for_the_service_that_named_it() {
        let unbound = Egress {
            link: 0,
            tcp: vec![53],
            udp: vec![53],
        };
        let postfix = Egress {
            link: 1,
            tcp: vec![25],
            udp: vec![],
        };
        let text = rules(&[unbound, postfix.clone()], &[], &[]);
        let opened: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| line.contains("dport"))
            .collect();
        assert_eq!(
            opened,
            [
                "iifname \"egress0\" tcp dport 53 accept",
                "iifname \"egress0\" udp dport 53 accept",
                "iifname \"egress1\" tcp dport 25 accept",
            ]
        );
        let (ours, theirs) = postfix.addresses();
        assert_eq!((ours.octets()[3], theirs.octets()[3]), (4, 5));
    }
}
