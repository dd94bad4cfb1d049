//! Which descriptors a service starts with: sd_listen_fds(3).

use manifest::{App, ChannelKind, Lifetime, Server, Service};

/// The number of the first descriptor.
pub const FIRST: i32 = 3;

/// What a per-message service gets instead of its channels: the socket on which
/// its zygote is asked for children. Each child then holds the channel's end.
pub const CONTROL: &str = "control";

/// The names of a service's descriptors, in order from [`FIRST`]: accepted
/// connections and listeners, channels that it uses, channels that it provides.
/// A channel over TCP needs none on the side that knows only TCP.
pub fn descriptors<'a>(app: &'a App, service: &'a Service) -> Vec<&'a str> {
    if matches!(service.lifetime, Lifetime::PerMessage { .. }) {
        return vec![CONTROL];
    }
    let listen = service.listen.iter().map(|listen| listen.to.as_str());
    let uses = service
        .uses
        .iter()
        .map(|name| name.as_str())
        .filter(|name| {
            let channel = app.channel(name).map(|(_, channel)| channel.kind);
            matches!(channel, Some(ChannelKind::Connected(_)))
        });
    let provides = service.provides.iter().filter_map(|channel| {
        let passed = match channel.kind {
            ChannelKind::Connected(Server::Port(_)) | ChannelKind::Relay { .. } => false,
            ChannelKind::Connected(Server::Pair | Server::PairWhenUsed | Server::Listening)
            | ChannelKind::Listener { .. }
            | ChannelKind::Passed { .. } => true,
        };
        passed.then_some(channel.name.as_str())
    });
    listen.chain(uses).chain(provides).collect()
}

/// The variables that name them. A service is process 1 of its namespace.
pub fn environment(names: &[&str]) -> Vec<(String, String)> {
    if names.is_empty() {
        return Vec::new();
    }
    vec![
        ("LISTEN_PID".into(), "1".into()),
        ("LISTEN_FDS".into(), names.len().to_string()),
        ("LISTEN_FDNAMES".into(), names.join(":")),
    ]
}
