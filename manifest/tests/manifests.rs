//! Bad manifests, each named for its fault, with the message that it must get
//! beside it: `bad/NAME.yaml` and `bad/NAME.txt`. With `UPDATE_GOLDEN=1` in the
//! environment the messages are written anew, for people to review.

use manifest::{Argument, Connections, Piece};
use std::path::{Path, PathBuf};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn bad_manifests() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(here().join("tests/bad")).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_bad_manifest_gets_exactly_the_message_beside_it() {
    let files = bad_manifests();
    assert!(files.len() >= 30, "only {} fixtures", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let said = match manifest::read("app.yaml", &text) {
            Ok(_) => "was taken\n".to_owned(),
            Err(errors) => format!("{errors}\n"),
        };
        let golden = file.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if said != expected {
            wrong.push(format!(
                "{}:\n  {said}  expected:\n  {expected}",
                file.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_manifest_that_the_bad_ones_were_made_from_is_good() {
    let text = std::fs::read_to_string(here().join("tests/good.yaml")).unwrap();
    let app = manifest::read("good.yaml", &text).unwrap();
    let names: Vec<&str> = app
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["front", "keeper", "prepare"],
        "the order of the file"
    );
}

#[test]
fn the_app_email_is_good_and_every_end_of_a_channel_is_found() {
    let file = here().parent().unwrap().join("apps/email/app.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let app =
        manifest::read("apps/email/app.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(app.name.as_str(), "email");
    let smtp_in = app.service("smtp-in").unwrap();
    let providers: Vec<&str> = smtp_in
        .uses
        .iter()
        .map(|name| app.channel(name.as_str()).unwrap().0.name.as_str())
        .collect();
    assert_eq!(
        providers,
        ["unbound", "signer", "gate", "spamassassin", "gate"]
    );
}

#[test]
fn who_waits_is_told_and_an_exit_code_has_a_word() {
    let text = |limits: &str| {
        format!(
            "app: x\nservices:\n  front:\n    run: [/front, \"{{sandbox}}\"]\n    lifetime: per-connection\n    listen: [{{ port: 25, zone: public, pool: 2, full: \"421 {{hostname}} busy\" }}]\n    outcomes: {{ 10: delivered }}\n    limits: {{ memory: 1M, tasks: 1, files: 8, file-size: 0, deadline: 1m{limits} }}\n"
        )
    };
    let app = manifest::read("x", &text(", at-once: 2, waiting: 7")).unwrap();
    let front = app.service("front").unwrap();
    let numbers = front.limits.connections;
    assert_eq!((numbers.at_once, numbers.from_one_address), (2, 2));
    assert_eq!((numbers.waiting, numbers.waiting_from_one_address), (7, 7));
    assert_eq!(front.run[1], Argument::Sandbox);
    assert_eq!(front.listen[0].pool, 2);
    assert_eq!(
        front.listen[0].full,
        [
            Piece::Text("421 ".into()),
            Piece::Hostname,
            Piece::Text(" busy".into())
        ]
    );
    assert_eq!(front.outcomes[&10].as_str(), "delivered");
    let app = manifest::read("x", &text("")).unwrap();
    let numbers = app.service("front").unwrap().limits.connections;
    assert_eq!(numbers, Connections::default());
}

#[test]
fn what_no_manifest_can_be_is_an_error_and_no_panic() {
    for text in [
        "",
        "\0",
        "- a",
        "7",
        "services: [",
        "app: x\nservices:\n  ? [a]\n  : b\n",
        "{{{{",
        "app: &a x\n<<: *a\n",
    ] {
        assert!(manifest::read("app.yaml", text).is_err(), "{text:?}");
    }
}
