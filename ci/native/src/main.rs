//! `native-box --image DIR --volumes DIR --journal FILE [--root-key FILE]`: see the
//! library.

use native::{Arguments, INSIDE};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let inside = words.first().is_some_and(|word| word == INSIDE);
    if inside {
        words.remove(0);
    }
    let Some(arguments) = parse(&words) else {
        eprintln!("usage: native-box --image DIR --volumes DIR --journal FILE [--root-key FILE]");
        return ExitCode::FAILURE;
    };
    if !inside {
        let Ok(own) = std::env::current_exe() else {
            eprintln!("native-box: its own program is gone");
            return ExitCode::FAILURE;
        };
        // The namespaces are there before the first thread is, and the kernel
        // ends all of it with this process.
        let error = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child"])
            .args([own.as_os_str(), INSIDE.as_ref()])
            .args(&words)
            .exec();
        eprintln!("native-box: unshare (package util-linux): {error}");
        return ExitCode::FAILURE;
    }
    match native::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("native-box: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(words: &[String]) -> Option<Arguments> {
    let value = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1).map(PathBuf::from)
    };
    let root_key = value("--root-key");
    let expected = if root_key.is_some() { 8 } else { 6 };
    (words.len() == expected).then_some(())?;
    Some(Arguments {
        image: value("--image")?,
        volumes: value("--volumes")?,
        journal: value("--journal")?,
        root_key,
    })
}
