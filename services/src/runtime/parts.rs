//! The parts of an app, by name: its services, and the relays of its channels. Which
//! of them have to answer for a port to be open: all that its service reaches.

use super::relay;
use crate::volumes::relay_name;
use manifest::{App, Channel, ChannelKind, Lifetime, Service};
use std::collections::BTreeSet;

/// Some parts. What is made for one connection always answers.
pub(super) type Parts = BTreeSet<String>;

/// Every part that may not answer.
pub(super) fn all(app: &App) -> Parts {
    let lasting = app
        .services
        .iter()
        .filter(|service| !matches!(service.lifetime, Lifetime::PerConnection { .. }));
    let services = lasting.map(|service| service.name.to_string());
    services
        .chain(relay::channels(app).map(relay_name))
        .collect()
}

/// What `service` reaches: itself, who provides the channels that it uses, what runs
/// before it, and what these reach.
pub(super) fn reached(app: &App, service: &str) -> Parts {
    let (mut found, mut next) = (Parts::new(), vec![service.to_owned()]);
    while let Some(name) = next.pop() {
        if let Some(service) = app.service(&name) {
            for channel in &service.uses {
                let Some((provider, channel)) = app.channel(channel.as_str()) else {
                    continue;
                };
                if is_made_for_each(provider, channel) {
                    // Its connection waits for what it reaches, and nobody else.
                    continue;
                }
                if let ChannelKind::Relay { .. } = channel.kind {
                    found.insert(relay_name(channel.name.as_str()));
                }
                next.push(provider.name.to_string());
            }
            next.extend(service.after.iter().map(ToString::to_string));
        }
        next.retain(|name| !found.contains(name));
        found.insert(name);
    }
    found
}

/// Whether each connection of this channel makes a sandbox of its provider's.
pub(super) fn is_made_for_each(provider: &Service, channel: &Channel) -> bool {
    matches!(channel.kind, ChannelKind::Passed { .. })
        && matches!(provider.lifetime, Lifetime::PerConnection { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_comes_in_without_what_only_mail_on_its_way_out_needs() {
        let text = include_str!("../../../apps/email/app.yaml");
        let app = manifest::read("app.yaml", text).unwrap();
        let way_in = [
            "dovecot",
            "gate",
            "imap-certificate",
            "report",
            "signer",
            "smtp-in",
            "spamassassin",
            "unbound",
        ];
        assert!(reached(&app, "smtp-in").iter().eq(way_in));
        let way_out = [
            "dkim",
            "dovecot",
            "imap-certificate",
            "postfix",
            "private-signer",
            "relay:lmtp-home",
            "relay:names",
            "submission",
            "tls-policy",
            "unbound",
        ];
        assert!(reached(&app, "submission").iter().eq(way_out));
        // Dovecot runs while what it passes mail on by is away; who serves that waits.
        let forward = reached(&app, "forward");
        assert!(
            ["forward", "dkim", "postfix"]
                .iter()
                .all(|part| forward.contains(*part))
        );
        let web = ["static-web", "web-signer"];
        assert!(reached(&app, "static-web").iter().eq(web));
        let every: Parts = way_in
            .into_iter()
            .chain(way_out)
            .chain(web)
            // Nothing that serves anybody needs it.
            .chain(["records"])
            .map(str::to_owned)
            .collect();
        assert!(all(&app).is_subset(&every));
    }
}
