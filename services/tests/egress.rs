//! A service with egress in a network of namespaces: the box, a host on the
//! home network, a host on the internet. The kernel is the judge.
//!
//! The test runs itself anew in a network namespace of its own, which is the
//! box; nothing of it touches this machine's network.

use nix::sched::{CloneFlags, unshare};
use nix::unistd::Pid;
use services::egress::{self, Egress, Shared};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PUBLIC: &str = "203.0.113.7";
const AT_HOME: &str = "192.168.77.7";
const BOX: &str = "192.168.77.1";

/// A process that does nothing in a network namespace of its own.
struct Host(Child);

impl Host {
    fn new() -> Self {
        let child = Command::new("unshare")
            .args(["--net", "sleep", "600"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let host = Self(child);
        // Until unshare has made it, the namespace is ours.
        let ours = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        while std::fs::read_link(format!("/proc/{}/ns/net", host.pid())).ok() == Some(ours.clone())
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        host
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed())
    }

    /// Runs `work` inside.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", self.pid())).unwrap();
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    nix::sched::setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
                    work()
                })
                .join()
                .unwrap()
        })
    }

    /// Answers `yes` on these TCP ports of all its addresses.
    fn serve(&self, ports: &[u16]) {
        for &port in ports {
            let listener = self.inside(|| TcpListener::bind(("0.0.0.0", port)).unwrap());
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let _ = stream.unwrap().write_all(b"yes");
                }
            });
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ip(text: &str) {
    let done = Command::new("ip").args(text.split(' ')).status().unwrap();
    assert!(done.success(), "ip {text}");
}

fn answers(address: &str, port: u16) -> io::Result<()> {
    assert_eq!(&said(address, port)?, b"yes");
    Ok(())
}

/// The first three bytes that a port says.
fn said(address: &str, port: u16) -> io::Result<[u8; 3]> {
    let address: SocketAddr = format!("{address}:{port}").parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut said = [0; 3];
    stream.read_exact(&mut said)?;
    Ok(said)
}

#[test]
fn a_service_reaches_its_port_of_the_internet_and_nothing_else() {
    // This thread becomes the box; others of the test runner stay outside.
    std::thread::spawn(in_the_box).join().unwrap();
}

fn in_the_box() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    ip("link set lo up");
    let home = Host::new();
    ip(&format!(
        "link add home type veth peer name eth0 netns {}",
        home.pid()
    ));
    ip(&format!("address add {BOX}/24 dev home"));
    ip("link set home up");
    home.inside(|| {
        ip("link set lo up");
        ip(&format!("address add {AT_HOME}/24 dev eth0"));
        ip("link set eth0 up");
        // The internet, behind the home's router.
        ip(&format!("address add {PUBLIC}/32 dev lo"));
    });
    ip(&format!("route add default via {AT_HOME}"));
    home.serve(&[53, 80, 443]);
    let here = TcpListener::bind(("0.0.0.0", 53)).unwrap();
    std::thread::spawn(move || {
        for stream in here.incoming() {
            let _ = stream.unwrap().write_all(b"yes");
        }
    });
    answers(PUBLIC, 80).unwrap();
    answers(AT_HOME, 53).unwrap();

    let service = Host::new();
    let unbound = Egress {
        link: 0,
        tcp: vec![53, 443],
        udp: vec![53],
    };
    let shared = Shared {
        port: 443,
        strangers: 8443,
    };
    egress::enforce(std::slice::from_ref(&unbound), &[993], &[shared]).unwrap();
    egress::connect(&unbound, service.pid()).unwrap();

    service.inside(|| answers(PUBLIC, 53)).unwrap();
    // A port that strangers are led from is another's out there.
    service.inside(|| answers(PUBLIC, 443)).unwrap();
    for (address, port, what) in [
        (PUBLIC, 80, "another port"),
        (AT_HOME, 53, "the home network"),
        (BOX, 53, "the box in the home network"),
        ("192.0.0.2", 53, "the box on the link"),
    ] {
        let error = service.inside(|| answers(address, port)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{what}: {error}");
    }
    // A port that is the home network's own answers there and to nobody else.
    let private = TcpListener::bind(("0.0.0.0", 993)).unwrap();
    std::thread::spawn(move || {
        for stream in private.incoming() {
            let _ = stream.unwrap().write_all(b"yes");
        }
    });
    home.inside(|| answers(BOX, 993)).unwrap();
    home.inside(|| ip(&format!("route add {BOX}/32 dev eth0 src {PUBLIC}")));
    let error = home.inside(|| answers(BOX, 993)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    home.inside(|| answers(BOX, 53)).unwrap();
    home.inside(|| ip(&format!("route del {BOX}/32 dev eth0 src {PUBLIC}")));

    // A port that is shared: the host's own for the home, another for the internet, which
    // gets to neither by another way.
    for (port, word) in [(443, b"own"), (8443, b"app")] {
        let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = stream.unwrap().write_all(word);
            }
        });
    }
    assert_eq!(home.inside(|| said(BOX, 443)).unwrap(), *b"own");
    let by_itself = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    by_itself(home.inside(|| said(BOX, 8443)).unwrap_err());
    home.inside(|| ip(&format!("route add {BOX}/32 dev eth0 src {PUBLIC}")));
    assert_eq!(home.inside(|| said(BOX, 443)).unwrap(), *b"app");
    by_itself(home.inside(|| said(BOX, 8443)).unwrap_err());
    home.inside(|| ip(&format!("route del {BOX}/32 dev eth0 src {PUBLIC}")));

    // Nobody at home reaches the service, even with a route to it.
    service.serve(&[53]);
    home.inside(|| ip(&format!("route add 192.0.0.0/29 via {BOX}")));
    home.inside(|| answers("192.0.0.3", 53)).unwrap_err();

    // UDP goes out under the box's own address, and the answer comes back.
    let server = home.inside(|| UdpSocket::bind((PUBLIC, 53)).unwrap());
    server
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let client = service.inside(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    client
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    client.send_to(b"question", (PUBLIC, 53)).unwrap();
    let mut bytes = [0; 16];
    let (length, from) = server.recv_from(&mut bytes).unwrap();
    assert_eq!(
        (&bytes[..length], from.ip().to_string().as_str()),
        (&b"question"[..], BOX)
    );
    server.send_to(b"answer", from).unwrap();
    let length = client.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"answer");

    // Without the rules the same service reaches what it may not: the rules
    // are what holds it.
    egress::enforce(&[], &[], &[]).unwrap();
    service.inside(|| answers(PUBLIC, 53)).unwrap_err();
    let nft = Command::new("nft")
        .args(["flush", "ruleset"])
        .status()
        .unwrap();
    assert!(nft.success());
    home.inside(|| ip(&format!("route replace 192.0.0.0/29 via {BOX}")));
    service.inside(|| answers(AT_HOME, 53)).unwrap();
}
