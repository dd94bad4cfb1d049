//! A channel with `socket: pair-when-used`: its provider is made for a connection that
//! has something for it, and for no other.

use super::support::{App, until};
use std::io::{Read, Write};

const WHEN_USED: &str = include_str!("when_used.yaml");

/// The receipt of the next connection after `known` receipts.
fn receipt(app: &App, known: usize) -> String {
    until("a receipt", || app.receipts().get(known).cloned())
}

/// Says it to port 443 and waits for the end of the connection.
fn say(app: &App, words: &str) {
    let mut stranger = app.connect(443);
    stranger.write_all(words.as_bytes()).unwrap();
    assert_eq!(stranger.read(&mut [0]).unwrap(), 0);
}

#[test]
fn what_few_connections_need_is_made_for_these_alone() {
    let app = App::start(WHEN_USED, "when-used");
    app.wait_ready();
    // What lies ready: the two fronts, and no reader.
    until("full pools", || {
        (app.look().count("process") == 2).then_some(())
    });

    // The user waits for an answer.
    let mut told = String::new();
    app.connect(25).read_to_string(&mut told).unwrap();
    assert!(told.starts_with("asked of asked-reader-"), "{told}");
    assert!(told.contains(" answers: hello from asks-"), "{told}");
    let first = receipt(&app, 0);
    assert!(first.contains("asked-reader-"), "{first}");

    // The user has ended when its reader is made.
    let from = app.lines();
    say(&app, "a word\n");
    app.wait_for(from, |who, line| {
        let heard = who.starts_with("left-reader-") && line.ends_with(" heard a word");
        heard.then_some(())
    });
    let second = receipt(&app, 1);
    assert!(second.contains("left-reader-"), "{second}");

    // The user has nothing for it.
    say(&app, "\n");
    let third = receipt(&app, 2);
    assert!(third.contains("leaves-"), "{third}");
    assert!(!third.contains("left-reader-"), "{third}");
    app.stop_leaves_nothing();
}
