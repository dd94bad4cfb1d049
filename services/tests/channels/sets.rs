//! What is made for one connection: never used twice, destroyed wholly, and told
//! of by a receipt.

use super::support::{self, App, children, until};
use services::runtime::Lives;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

const SETS: &str = include_str!("sets.yaml");

/// All that a connection is told, and that it ended.
fn told(app: &App) -> Vec<String> {
    let mut text = String::new();
    app.connect(25).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The number of the sandbox that told this.
fn number(lines: &[String]) -> u64 {
    let name = lines[0].rsplit_once("hello from front-").unwrap().1;
    name.parse().unwrap()
}

/// Waits for the receipt of one connection.
fn receipt(app: &App, number: u64) -> String {
    let own = format!("front-{number} ");
    until("a receipt", || {
        let mut all = app.receipts().into_iter();
        all.find(|line| line.contains(&own))
    })
}

/// The times of a receipt: created, used, destroyed, served.
fn times(receipt: &str) -> [&str; 4] {
    let rest = receipt.strip_prefix("receipt: created ").unwrap();
    let (created, rest) = rest.split_once(", used ").unwrap();
    let (used, rest) = rest.split_once(", destroyed ").unwrap();
    let (destroyed, rest) = rest.split_once(", served ").unwrap();
    [created, used, destroyed, rest.split_once(" s; ").unwrap().0]
}

/// Waits until a pool of two is full.
fn full(app: &App) {
    until("a full pool", || {
        (app.look().count("process") == with_pool(2)).then_some(())
    });
}

/// The generation of the zygote that made the child of this connection.
fn generation(receipt: &str, number: u64) -> u32 {
    let (_, rest) = receipt.split_once(", judge-").unwrap();
    let (generation, rest) = rest.split_once('-').unwrap();
    assert!(
        rest.starts_with(&format!("{number} by itself")),
        "{receipt}"
    );
    generation.parse().unwrap()
}

/// Connections one after another, until one has a child of another zygote than
/// the first; how many the first zygote has served.
fn until_replaced(app: &App) -> u32 {
    for served in 0..300 {
        let number = number(&told(app));
        match generation(&receipt(app, number), number) {
            1 => thread::sleep(Duration::from_millis(100)),
            2 => return served,
            other => panic!("zygote {other} came without the second"),
        }
    }
    panic!("the zygote is not replaced");
}

/// Processes of the app with so many sets ready: keeper and zygote, and in each
/// set three sealed sandboxes and a child.
fn with_pool(sets: usize) -> usize {
    2 + sets * 4
}

#[test]
fn no_two_connections_share_a_sandbox_and_each_leaves_a_receipt_and_nothing_else() {
    let app = App::start(SETS, "sets");
    app.wait_ready();
    full(&app);
    let kinds = [
        "process",
        "network namespace",
        "mount",
        "descriptor",
        "thread",
        "file",
    ];
    let before = kinds.map(|kind| app.look().count(kind));

    // The first two are served by what lay ready, in order.
    thread::sleep(Duration::from_millis(1100));
    let mut heard = vec![told(&app), told(&app)];
    assert_eq!((number(&heard[0]), number(&heard[1])), (1, 2));
    for number in [1, 2] {
        let receipt = receipt(&app, number);
        let [created, used, destroyed, _] = times(&receipt);
        assert!(created[..19] < used[..19], "made beforehand: {receipt}");
        assert!(used < destroyed, "{receipt}");
    }
    // More at once than lie ready.
    for _ in 0..8 {
        let round = thread::scope(|scope| {
            let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| told(&app))).collect();
            asked
                .into_iter()
                .map(|one| one.join().unwrap())
                .collect::<Vec<_>>()
        });
        heard.extend(round);
    }

    let mut lives = BTreeSet::new();
    for lines in &heard {
        let number = number(lines);
        assert_eq!(lines.len(), 3, "{lines:?}");
        let from = |line: &str, who: &str, rest: &str| {
            let line = line.strip_prefix(who).unwrap_or_else(|| panic!("{line}"));
            let (life, said) = line.split_once(' ').unwrap();
            assert_eq!(
                said.split_once('(')
                    .map_or(said, |(start, _)| start.trim_end()),
                rest
            );
            life.to_owned()
        };
        let said = format!("answers: hello from front-{number}");
        from(&lines[0], "by-socket of keeper#", &said);
        let back = from(&lines[1], &format!("by-pair of back-{number}#"), &said);
        let judge = from(&lines[2], "judge of judge#", &said);
        // The child's own channel leads to the sandbox of the same connection.
        let inner = lines[2].split_once('(').unwrap().1;
        assert!(
            inner.starts_with(&format!("words of words-{number}#")),
            "{inner}"
        );
        for life in [format!("front-{number}"), back, judge] {
            assert!(lives.insert(life), "used twice: {lines:?}");
        }
        let receipt = receipt(&app, number);
        let [created, used, destroyed, served] = times(&receipt);
        for time in [created, used, destroyed] {
            assert!(time.len() == 24 && time.ends_with('Z'), "{receipt}");
        }
        let expected = format!(
            "receipt: created {created}, used {used}, destroyed {destroyed}, served {served} s; \
             front-{number} exit 0, judge-1-{number} by itself, "
        );
        let rest = receipt.strip_prefix(&expected);
        let rest = rest.unwrap_or_else(|| panic!("{receipt}"));
        let mut ends: Vec<&str> = rest
            .strip_suffix("; answered")
            .unwrap()
            .split(", ")
            .collect();
        ends.sort_unstable();
        assert_eq!(
            ends,
            [
                format!("back-{number} exit 0"),
                format!("words-{number} exit 0")
            ]
        );
    }
    assert_eq!(app.receipts().len(), heard.len());

    // The pool is full again, and there is as much of everything as before.
    full(&app);
    let mut after = before;
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        after = kinds.map(|kind| app.look().count(kind));
        if after == before {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(after, before, "{kinds:?}");
    app.stop_leaves_nothing();
}

#[test]
fn what_lies_ready_is_thrown_away_with_its_zygote() {
    let app = App::start(SETS, "replaced");
    app.wait_ready();
    full(&app);
    let zygote = children().into_iter().find(|(pid, _)| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("zygote:child")
    });
    support::kill(zygote.unwrap().0);
    app.wait_for(0, |who, line| {
        (who == "event" && line == "judge: failed; loaded anew").then_some(())
    });
    let number = number(&told(&app));
    assert!(number > 2, "one of the first two sets was used: {number}");
    let receipt = receipt(&app, number);
    assert!(
        receipt.contains(&format!("judge-2-{number} by itself")),
        "{receipt}"
    );
    full(&app);
    app.stop_leaves_nothing();
}

#[test]
fn a_zygote_is_replaced_after_so_many_children_and_its_last_one_ends_it() {
    let lives = Lives {
        children: 6,
        ..Lives::default()
    };
    let app = App::start_with(SETS, "worked", lives);
    app.wait_ready();
    // Two children lie ready, and each connection makes another one.
    let served = until_replaced(&app);
    assert!((4..=20).contains(&served), "{served}");
    full(&app);
    let failed = app.all_lines("event");
    let failed = failed.iter().find(|line| line.contains("failed"));
    assert_eq!(failed, None);
    app.stop_leaves_nothing();
}

#[test]
fn a_zygote_is_replaced_when_it_has_lived_for_long_enough() {
    let lives = Lives {
        zygote: Duration::from_secs(8),
        children: u32::MAX,
        ..Lives::default()
    };
    let begun = Instant::now();
    let app = App::start_with(SETS, "lived", lives);
    app.wait_ready();
    let served = until_replaced(&app);
    assert!(served > 0, "none was served by the first");
    assert!(begun.elapsed() >= lives.zygote, "{:?}", begun.elapsed());
    full(&app);
    app.stop_leaves_nothing();
}

#[test]
fn what_has_lain_ready_for_too_long_is_thrown_away_unused() {
    let lives = Lives {
        set: Duration::from_secs(4),
        ..Lives::default()
    };
    let app = App::start_with(SETS, "old", lives);
    app.wait_ready();
    full(&app);
    thread::sleep(lives.set);
    let first = number(&told(&app));
    assert!(first > 2, "{first} was used, which had lain for too long");
    // Nobody has used the others, and all of them is gone.
    receipt(&app, first);
    assert_eq!(app.receipts().len(), 1);
    full(&app);
    let failed = app.all_lines("event");
    let failed = failed.iter().find(|line| line.contains("failed"));
    assert_eq!(failed, None);
    app.stop_leaves_nothing();
}

#[test]
fn the_deadline_of_a_message_counts_from_the_message() {
    // The stranger takes longer to send it than judging it may take.
    let app = App::start(&SETS.replace("pause:0", "pause:5"), "late");
    app.wait_ready();
    let begun = Instant::now();
    let lines = told(&app);
    assert!(begun.elapsed() >= Duration::from_secs(5));
    assert!(lines[2].starts_with("judge of judge#"), "{lines:?}");
    app.stop_leaves_nothing();

    // Judging takes for ever, with a minute for the connection.
    let app = App::start(&SETS.replace("ask-and-answer", "hang"), "hangs");
    app.wait_ready();
    full(&app);
    let begun = Instant::now();
    assert_eq!(told(&app).len(), 2);
    let took = begun.elapsed();
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(10)).contains(&took),
        "{took:?}"
    );
    app.wait_for(0, |who, line| {
        (who == "event" && line == "judge-1-1: took longer than 2s; killed").then_some(())
    });
    let receipt = receipt(&app, 1);
    assert!(
        receipt.contains("; front-1 exit 1, judge-1-1 took too long, "),
        "{receipt}"
    );
    assert!(receipt.ends_with("; unknown"), "{receipt}");
    app.stop_leaves_nothing();
}
