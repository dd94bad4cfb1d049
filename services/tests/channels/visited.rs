//! A `passed` channel of a per-connection service: each connection that a daemon makes
//! gets a sandbox of its own.

use crate::support::{self, App, children};
use std::collections::BTreeSet;

const VISITED: &str = include_str!("visited.yaml");

/// The lives of the next three sandboxes that answer the client, after line `from`.
fn three_lives(app: &App, from: usize) -> BTreeSet<String> {
    let mut lives = BTreeSet::new();
    while lives.len() < 3 {
        let life = app.wait_for(from, |who, line| {
            let rest = line.strip_prefix("heard visited of visited#")?;
            let (life, rest) = rest.split_once(' ')?;
            assert_eq!(
                (who, rest),
                ("client", "answers: hello from client"),
                "{line}"
            );
            (!lives.contains(life)).then(|| life.to_owned())
        });
        lives.insert(life);
    }
    lives
}

#[test]
fn each_connection_that_a_daemon_makes_gets_a_sandbox_of_its_own() {
    let app = App::start(VISITED, "visited");
    let first = three_lives(&app, 0);
    // It has the channels that it declares, too.
    app.wait_for(0, |who, line| {
        let heard = line.strip_prefix("heard by-socket of keeper#")?;
        let own = who.starts_with("visited-") && heard.ends_with(" answers: hello from visited");
        own.then_some(())
    });
    // None stays longer than its connection: of many that were made, two at most are
    // there at a time.
    let (there, daemons, at_once) = (children(), 2, 2);
    assert!(there.len() <= daemons + at_once, "{there:?}");

    // The daemon starts anew, and so does the port inside it.
    let (from, client) = (app.lines(), app.pid("client"));
    app.kill("client");
    let second = three_lives(&app, from);
    assert!(first.is_disjoint(&second), "{first:?} {second:?}");
    assert_ne!(app.pid("client"), client);

    // What it needs is away: the connection waits for it.
    let from = app.lines();
    app.kill("keeper");
    three_lives(&app, from);
    app.stop_leaves_nothing();
}

#[test]
fn nobody_else_reaches_the_port() {
    let app = App::start(VISITED, "visited-port");
    three_lives(&app, 0);
    let keeper = app.pid("keeper");
    support::dial_in_network_of(keeper, 7005).unwrap_err();
    std::net::TcpStream::connect(("127.0.0.1", 7005)).unwrap_err();
    app.stop_leaves_nothing();
}
