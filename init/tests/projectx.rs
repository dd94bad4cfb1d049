//! `projectx` where no supervisor answers, and called wrongly.

use std::process::{Command, Output};

fn projectx(words: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_projectx");
    Command::new(program).args(words).output().unwrap()
}

#[test]
fn without_a_supervisor_it_says_what_to_do() {
    if std::path::Path::new(control::sandboxes::SOCKET).exists() {
        return;
    }
    let output = projectx(&["sandbox", "show", "smtp-in"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/run/projectx/sandboxes: "), "{said}");
    assert!(said.contains("Is this the box"), "{said}");
}

#[test]
fn called_wrongly_it_says_how_it_is_called() {
    let output = projectx(&["sandbox", "show"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("<SERVICE>"), "{said}");
    let output = projectx(&["sandbox", "--help"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("list") && said.contains("show"), "{said}");
}
