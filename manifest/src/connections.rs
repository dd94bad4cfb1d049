//! The checks of what is made for one connection or one message: how many there
//! may be, what the others are told, and which ends their sandboxes hold.

use super::check::Faults;
use super::raw;
use super::value::Name;
use super::{ChannelKind, Connections, Lifetime, Piece, Server, Service};
use std::collections::BTreeMap;

/// Each connection that is served or waits costs a thread and descriptors of
/// the supervisor.
const MOST_AT_ONCE: u32 = 64;
const MOST_WAITING: u32 = 512;
/// Each set that is kept ready costs memory, used or not.
const MOST_READY: u32 = 16;
/// Of the line for a connection that finds no place, without its end; a reply
/// of SMTP has 512 at most, with a host name filled in (RFC 5321 section
/// 4.5.3.1.5).
const LINE: usize = 200;
/// Ends that a zygote hands to one child (zygote/src/client.rs).
const HANDED: usize = 4;

/// `limits.at-once` and its companions.
pub(super) fn limits(raw: &raw::Service, at: &str, faults: &mut Faults<'_>) -> Option<Connections> {
    let usual = Connections::default();
    let limits = &raw.limits;
    let field = |key: &str| format!("{at}.{key}");
    let passed = raw
        .provides
        .iter()
        .any(|channel| channel.kind == raw::Kind::Passed);
    let serves = raw.lifetime == raw::Lifetime::PerConnection && (!raw.listen.is_empty() || passed);
    let all = [
        ("at-once", limits.at_once),
        ("from-one-address", limits.from_one_address),
        ("waiting", limits.waiting),
        ("waiting-from-one-address", limits.waiting_from_one_address),
    ];
    if !serves && let Some((key, _)) = all.iter().find(|(_, given)| given.is_some()) {
        let what = "is for a per-connection service with \"listen\" or a channel of kind \"passed\"; remove it";
        faults.add(&field(key), what);
        return None;
    }
    let mut number = |key: &str, given: Option<i64>, usual: u32, least: u32, most: u32| match given
    {
        Some(number) => faults.number(&field(key), number, least..=most),
        None => Some(usual.clamp(least, most)),
    };
    let at_once = number("at-once", limits.at_once, usual.at_once, 1, MOST_AT_ONCE)?;
    let waiting = number("waiting", limits.waiting, usual.waiting, 0, MOST_WAITING)?;
    let (own, usual_own) = (limits.from_one_address, usual.from_one_address);
    let (queued, usual_queued) = (
        limits.waiting_from_one_address,
        usual.waiting_from_one_address,
    );
    Some(Connections {
        at_once,
        from_one_address: number("from-one-address", own, usual_own, 1, at_once)?,
        waiting,
        waiting_from_one_address: number(
            "waiting-from-one-address",
            queued,
            usual_queued,
            0,
            waiting,
        )?,
    })
}

/// `listen[].full`.
pub(super) fn full(
    raw: &raw::Listen,
    lifetime: raw::Lifetime,
    at: &str,
    faults: &mut Faults<'_>,
) -> Option<Vec<Piece>> {
    let Some(text) = &raw.full else {
        return Some(Vec::new());
    };
    let field = format!("{at}.full");
    if lifetime != raw::Lifetime::PerConnection {
        let what = "is for a per-connection service; a daemon accepts its connections itself";
        faults.add(&field, what);
        return None;
    }
    let good = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if text.is_empty() || text.len() > LINE || !text.bytes().all(good) {
        let what =
            format!("is no line of 1 to {LINE} characters of ASCII; its end comes by itself");
        faults.add(&field, what);
        return None;
    }
    let mut pieces = Vec::new();
    for (index, piece) in text.split("{hostname}").enumerate() {
        if piece.contains(['{', '}']) {
            let what = format!("\"{text}\" is not taken; of braces only {{hostname}} is known");
            faults.add(&field, what);
            return None;
        }
        if index > 0 {
            pieces.push(Piece::Hostname);
        }
        if !piece.is_empty() {
            pieces.push(Piece::Text(piece.to_owned()));
        }
    }
    Some(pieces)
}

/// `listen[].pool`.
pub(super) fn pool(
    raw: &raw::Listen,
    lifetime: raw::Lifetime,
    at: &str,
    faults: &mut Faults<'_>,
) -> Option<u32> {
    let Some(number) = raw.pool else {
        return Some(0);
    };
    let field = format!("{at}.pool");
    if lifetime != raw::Lifetime::PerConnection {
        let what = "is for a per-connection service; of a daemon there is one sandbox";
        faults.add(&field, what);
        return None;
    }
    faults.number(&field, number, 0..=MOST_READY)
}

/// `outcomes`.
pub(super) fn outcomes(
    raw: &raw::Service,
    at: &str,
    faults: &mut Faults<'_>,
) -> Option<BTreeMap<u8, Name>> {
    let serves = raw.lifetime == raw::Lifetime::PerConnection && !raw.listen.is_empty();
    if !serves && !raw.outcomes.is_empty() {
        let what = "is for a per-connection service with \"listen\"; remove it";
        faults.add(at, what);
        return None;
    }
    let checked: Vec<Option<(u8, Name)>> = raw
        .outcomes
        .iter()
        .map(|(code, word)| {
            let field = format!("{at}.{code}");
            let number = faults.number(&field, *code, 0..=255);
            let name = faults.name(&field, word);
            Some((u8::try_from(number?).ok()?, name?))
        })
        .collect();
    checked.into_iter().collect()
}

/// A pair has two ends. What a child of a zygote holds is handed to it, so the
/// other end is made with it, for the same connection.
pub(super) fn pairs_fit(services: &[Service], faults: &mut Faults<'_>) {
    let found = |name: &Name| {
        let mut all = services.iter().flat_map(|provider| {
            let channels = provider.provides.iter();
            channels.map(move |channel| (provider, channel))
        });
        all.find(|(_, channel)| channel.name == *name)
    };
    let mut users: BTreeMap<&Name, &Name> = BTreeMap::new();
    for service in services {
        let field = |index: usize| format!("services.{}.uses[{index}]", service.name);
        let per_message = matches!(service.lifetime, Lifetime::PerMessage { .. });
        for (index, name) in service.uses.iter().enumerate() {
            let Some((provider, channel)) = found(name) else {
                continue;
            };
            let pair = matches!(
                channel.kind,
                ChannelKind::Connected(Server::Pair | Server::PairWhenUsed)
            );
            let of_a_connection =
                pair && matches!(provider.lifetime, Lifetime::PerConnection { .. });
            if per_message && !of_a_connection {
                let what = format!(
                    "a per-message service cannot use \"{name}\": {} serves more than its message; let a per-connection service provide it with \"socket: pair\"",
                    provider.name
                );
                faults.add(&field(index), what);
            }
            if of_a_connection && let Some(other) = users.insert(name, &service.name) {
                let what = format!(
                    "\"{name}\" is that of {other} already; a pair has two ends, so give each user a channel of its own"
                );
                faults.add(&field(index), what);
            }
        }
        let served = service.provides.iter().map(|channel| {
            let users = services.iter();
            users
                .filter(|user| user.uses.contains(&channel.name))
                .count()
        });
        if per_message && !service.uses.is_empty() && served.sum::<usize>() > 1 {
            let what = "a per-message service with channels of its own has one user: there is one end for one child";
            faults.add(&format!("services.{}.uses", service.name), what);
        }
        if per_message && service.uses.len() > HANDED {
            let what = format!(
                "has {} channels; a child of a zygote is handed {HANDED} at most",
                service.uses.len()
            );
            faults.add(&format!("services.{}.uses", service.name), what);
        }
    }
}
