//! Whom it can talk to.

use super::words::{count, list};
use super::{Finding, Given, finding};
use sandbox::{Connect, Network, Tcp};

/// What is handed to it: the only ways out.
pub(super) fn channels(given: &Given) -> Finding {
    let number = given.descriptors.len();
    let mut words = vec![match number {
        0 => "It is handed no descriptor beside its log.".to_owned(),
        _ => "Beside its log it is handed:".to_owned(),
    }];
    words.extend(given.descriptors.iter().map(|descriptor| {
        let (name, leads) = (&descriptor.name, &descriptor.leads);
        let at = descriptor.number;
        let at = at.map_or_else(|| "by TCP".into(), |at| format!("descriptor {at}"));
        format!("- {name} ({at}): {leads}")
    }));
    finding("Channels", 5, 10 * number as u64, words)
}

/// A network of its own, what is in it, and the internet.
pub(super) fn network(network: &Network, given: &Given) -> [Finding; 4] {
    let Network {
        loopback,
        unprivileged_ports,
        tcp: Tcp { bind, connect },
    } = network;
    let interfaces = match (loopback, given.egress.is_empty()) {
        (false, true) => "It has no network at all: no interface is up, not even its own loopback.",
        (true, true) => {
            "It has its own loopback, on which only it and who is let in speak; no other interface."
        }
        (false, false) => "It has one interface, to the internet; no loopback.",
        (true, false) => "It has its own loopback, and one interface to the internet.",
    };
    let low = match unprivileged_ports {
        true => ["Ports below 1024 of its own network need no capability."].as_slice(),
        false => &[],
    };
    let mut own = vec![interfaces.to_owned()];
    own.extend(low.iter().map(|words| (*words).to_owned()));
    let own_badness = 70 * u64::from(*loopback) + 30 * u64::from(*unprivileged_ports);
    let (binding, binds) = match bind.as_slice() {
        [] => (0, "Landlock lets it bind no TCP port.".to_owned()),
        some => {
            let ports = list(some.iter().map(|port| match port {
                0 => "any that the kernel chooses".to_owned(),
                port => port.to_string(),
            }));
            let any = some.contains(&0);
            let badness = 20 * some.len() as u64 + 40 * u64::from(any);
            (
                badness,
                format!("Landlock lets it bind TCP ports: {ports}."),
            )
        }
    };
    let (dialling, dials) = match connect {
        Connect::None => (0, "Landlock lets it connect to no TCP port.".to_owned()),
        Connect::Ports(ports) => {
            let words = format!("Landlock lets it connect to TCP ports: {}.", list(ports));
            ((20 + 10 * ports.len() as u64).min(90), words)
        }
        Connect::Any => (100, "Landlock lets it connect to any TCP port.".to_owned()),
    };
    let (internet, reaches) = match given.egress.as_slice() {
        [] => (
            0,
            "It reaches nothing on the internet or the home network.".into(),
        ),
        ports => {
            let ports_named = list(
                ports
                    .iter()
                    .map(|(port, protocol)| format!("{port}/{protocol}")),
            );
            let words = format!(
                "It reaches the internet, on {}: {ports_named}. The kernel's firewall refuses it \
                 the home network and all else, UDP too, which Landlock does not see.",
                count(ports.len() as u64, "port"),
            );
            (50 + 10 * ports.len() as u64, words)
        }
    };
    [
        finding("Own network", 3, own_badness, own),
        finding("Ports to bind", 3, binding, vec![binds]),
        finding("Ports to connect to", 5, dialling, vec![dials]),
        finding("Internet", 12, internet, vec![reaches]),
    ]
}
