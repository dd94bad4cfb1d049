//! Which ports are open while something does not answer.

use super::support::App;
use services::runtime::Lives;
use std::fs;
use std::io::Read;
use std::time::Duration;

const PATHS: &str = include_str!("paths.yaml");

/// Waits for these words of the runtime, from line `from` on.
#[track_caller]
fn wait_for_event(app: &App, from: usize, words: &str) {
    app.wait_for(from, |who, line| {
        (who == "event" && line == words).then_some(())
    });
}

fn told(app: &App, port: u16) -> String {
    let mut text = String::new();
    app.connect(port).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_port_closes_when_something_that_it_leads_to_is_away_and_no_other_port_does() {
    let lives = Lives {
        silence: Duration::from_secs(1),
        ..Lives::default()
    };
    let app = App::start_with(PATHS, "paths", lives);
    app.wait_ready();
    for event in ["first: port 25 is open", "second: port 443 is open"] {
        wait_for_event(&app, 0, event);
    }
    assert!(told(&app, 443).starts_with("by-middle of middle#"));

    // It dies, and can't be started again.
    let from = app.lines();
    let (program, away) = (app.image().join("roots/probe/end"), app.image().join("end"));
    fs::rename(&program, &away).unwrap();
    app.kill("end");
    wait_for_event(&app, from, "probe: not ready");
    wait_for_event(&app, from, "second: port 443 is closed");
    assert!(told(&app, 25).starts_with("by-keeper of keeper#"));
    let events = app.all_lines("event");
    let closed = events.iter().any(|line| line == "first: port 25 is closed");
    assert!(!closed, "{events:#?}");

    let from = app.lines();
    fs::rename(&away, &program).unwrap();
    wait_for_event(&app, from, "second: port 443 is open");
    wait_for_event(&app, from, "probe: ready");
    assert!(told(&app, 443).starts_with("by-middle of middle#"));
    app.stop_leaves_nothing();
}

#[test]
fn a_daemon_that_is_told_to_starts_again_at_once_and_nothing_else_does() {
    let app = App::start(PATHS, "paths");
    app.wait_ready();
    wait_for_event(&app, 0, "second: port 443 is open");
    let (end, keeper) = (app.pid("end"), app.pid("keeper"));
    let from = app.lines();
    app.restart("end");
    app.wait_for(from, |_, _| (app.pid("end") != end).then_some(()));
    wait_for_event(&app, from, "probe: ready");
    assert_eq!(app.pid("keeper"), keeper);
    // It is not taken for one that died, after which there is a pause.
    let events = app.all_lines("event");
    let died = events.iter().any(|line| line.starts_with("end: "));
    assert!(!died, "{events:#?}");
    app.stop_leaves_nothing();
}
