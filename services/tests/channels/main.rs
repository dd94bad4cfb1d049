//! Apps at work, in real sandboxes on this machine's kernel. They need root and
//! Linux 6.12 or later. Each test has a network namespace of its own, so its
//! ports 25 and 443 are nobody else's.

mod paths;
mod sets;
mod support;
mod turned_away;
mod visited;
mod when_used;

use std::io::Read;
use std::time::{Duration, Instant};
use support::{App, children, dial_in_network_of, setting};

const ALL: &str = include_str!("all.yaml");
const ENDS: &str = include_str!("ends.yaml");
/// What the client dials.
const DIALLED: [&str; 3] = ["by-listener", "by-passed", "by-relay"];

/// The number of this life of the provider, from its answer over `channel`.
fn life(line: &str, channel: &str) -> Option<u128> {
    let rest = line.strip_prefix(channel)?.strip_prefix(" of keeper#")?;
    rest.split_once(' ')?.0.parse().ok()
}

/// Waits until the client has heard, over each channel that it dials, from a
/// provider of another life than `than`, after line `from`.
fn wait_for_another_life(app: &App, from: usize, than: u128) -> u128 {
    let mut lives = DIALLED.map(|channel| {
        app.wait_for(from, |who, line| {
            let line = line.strip_prefix("heard ")?;
            let life = life(line, channel).filter(|life| *life != than)?;
            assert_eq!(who, "client");
            assert!(line.ends_with(" answers: hello from client"), "{line}");
            Some(life)
        })
    });
    lives.sort_unstable();
    // The others may have been heard from the life before, in between.
    lives[2]
}

/// All that a connection to port 25 is told.
fn greetings_from_outside(app: &App) -> Vec<String> {
    let mut text = String::new();
    app.connect(25).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_greeting_comes_over_every_channel_of_every_kind_also_after_either_end_died() {
    let app = App::start(ALL, "all");
    app.wait_ready();

    // Two long-lived services.
    let first = wait_for_another_life(&app, 0, 0);
    for channel in ["by-port", "by-socket"] {
        app.wait_for(0, |who, line| {
            let line = line.strip_prefix("heard ")?;
            let rest = line.strip_prefix(&format!("{channel} of keeper#{first} "))?;
            (who == "caller" && rest == "answers: hello from caller").then_some(())
        });
    }
    // One connection's services, and the long-lived ones that they use.
    let told = greetings_from_outside(&app);
    assert_eq!(told.len(), 3, "{told:?}");
    for (line, start) in told.iter().zip([
        format!("by-port of keeper#{first} "),
        format!("by-socket of keeper#{first} "),
        "by-pair of back#".to_owned(),
    ]) {
        assert!(line.starts_with(&start), "{line}");
        assert!(line.ends_with(" answers: hello from front"), "{line}");
    }

    // The provider dies: the user stays, and every channel leads to the new one.
    let (from, client) = (app.lines(), app.pid("client"));
    app.kill("keeper");
    let second = wait_for_another_life(&app, from, first);
    assert_eq!(app.pid("client"), client, "the user was started again");
    let told = greetings_from_outside(&app);
    assert_eq!(life(&told[0], "by-port"), Some(second), "{told:?}");
    assert_eq!(life(&told[1], "by-socket"), Some(second), "{told:?}");

    // The user dies: the provider listens in the namespace of its next sandbox.
    let from = app.lines();
    app.kill("client");
    let third = wait_for_another_life(&app, from, second);
    assert_ne!(app.pid("client"), client);

    // A user of connected channels gets new ones.
    let from = app.lines();
    app.kill("caller");
    for channel in ["by-port", "by-socket"] {
        app.wait_for(from, |who, line| {
            let life = life(line.strip_prefix("heard ")?, channel)?;
            (who == "caller" && life == third).then_some(())
        });
    }

    // The relay dies.
    let relay = children().into_iter().find(|(_, name)| name == "relay");
    support::kill(relay.unwrap().0);
    app.wait_for(0, |who, line| {
        (who == "event" && line.starts_with("relay:by-relay: ended (Ok(Some(Signal(9))))"))
            .then_some(())
    });
    let from = app.lines();
    app.wait_for(from, |_, line| {
        life(line.strip_prefix("heard ")?, "by-relay").filter(|life| *life == third)
    });

    app.stop_leaves_nothing();
}

#[test]
fn an_undeclared_channel_does_not_exist() {
    let app = App::start(ALL, "undeclared");
    app.wait_ready();
    let reported = |start: &str| {
        app.wait_for(0, |who, line| {
            let rest = line.strip_prefix("report ")?.strip_prefix(start)?;
            (who == "bystander").then(|| rest.to_owned())
        })
    };
    // No descriptor but the standard ones, and no name of one.
    assert_eq!(reported("open="), "[0, 1, 2] names=");
    // No port of the others' channels may be dialled.
    for port in [7001, 7003, 7004] {
        assert_eq!(reported(&format!("connect {port}=")), "Some(EACCES)");
    }
    // One that it may dial, as it has declared a channel with the same number,
    // leads to the provider of that channel and to nobody else.
    let heard = |who: &str| {
        app.wait_for(0, |teller, line| {
            let line = line.strip_prefix("heard ")?;
            (teller == who && line.contains("listener") | line.contains("another"))
                .then(|| line.to_owned())
        })
    };
    assert!(heard("bystander").starts_with("another of other#"));
    assert!(heard("client").starts_with("by-listener of keeper#"));
    for line in app.all_lines("bystander") {
        assert!(!line.contains("keeper"), "{line}");
    }
    // It is not Landlock alone: nobody listens there, whoever dials.
    let bystander = app.pid("bystander");
    for port in [7001, 7003, 7004] {
        let refused = dial_in_network_of(bystander, port).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
    dial_in_network_of(bystander, 7002).unwrap();
    // Nor anybody in the network of the supervisor.
    for port in 7001..=7004 {
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    }
    app.stop_leaves_nothing();
}

#[test]
fn a_connection_that_outlives_its_deadline_is_killed_with_all_that_was_made_for_it() {
    let app = App::start(ENDS, "deadline");
    app.wait_ready();
    let before = children();
    let begin = Instant::now();
    let mut connection = app.connect(25);
    support::until("two sandboxes", || {
        (children().len() == before.len() + 2).then_some(())
    });
    // It ends without a word.
    let mut text = String::new();
    connection.read_to_string(&mut text).ok();
    assert_eq!(text, "");
    let took = begin.elapsed();
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(20)).contains(&took),
        "{took:?}"
    );
    app.wait_for(0, |who, line| {
        (who == "event" && line.contains("idle-1: took too long; killed")).then_some(())
    });
    support::until("no sandbox is left", || {
        (children() == before).then_some(())
    });
    drop(connection);
    app.stop_leaves_nothing();
}

#[test]
fn a_service_that_asks_for_a_call_outside_its_policy_is_killed_and_reported() {
    let app = App::start(ENDS, "policy");
    app.wait_ready();
    let before = children();
    let mut text = String::new();
    app.connect(443).read_to_string(&mut text).ok();
    assert_eq!(text, "");
    app.wait_for(0, |who, line| {
        // SIGSYS
        (who == "event" && line.contains("odd-1: Signal(31)")).then_some(())
    });
    support::until("no sandbox is left", || {
        (children() == before).then_some(())
    });
    // And the next one is served as well.
    app.connect(443).read_to_string(&mut text).ok();
    app.wait_for(0, |_, line| {
        line.contains("odd-2: Signal(31)").then_some(())
    });
    app.stop_leaves_nothing();
}

#[test]
fn an_app_that_stops_takes_connections_at_work_with_it() {
    let text = ENDS.replace("deadline: 2s", "deadline: 10m");
    let app = App::start(&text, "stop");
    app.wait_ready();
    let before = children().len();
    let mut connection = app.connect(25);
    support::until("two sandboxes", || {
        (children().len() == before + 2).then_some(())
    });
    let cut = std::thread::spawn(move || connection.read_to_end(&mut Vec::new()).ok());
    app.stop_leaves_nothing();
    cut.join().unwrap();
}

#[test]
fn an_app_with_a_relay_does_not_start_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut setting = setting(folder.path());
    setting.relay = None;
    let app = manifest::read("all.yaml", ALL).unwrap();
    let journal = std::sync::Arc::new(support::Lines::default());
    let error = services::runtime::Running::start(app, setting, journal).unwrap_err();
    assert_eq!(
        error.to_string(),
        "channel by-relay: is of kind relay, and the relay's program is not set; set it, or change the kind"
    );
}
