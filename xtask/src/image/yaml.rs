//! Reads a YAML file into a raw type that refuses unknown keys, with errors
//! that name the file and the line:
//! `boards/rpi3/board.yaml:12: unknown key "kernal"; did you mean "kernel"?`

use anyhow::{Context, Result, anyhow};
use manifest::closest;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Reads `name`, a path relative to `source`.
pub fn read<T: DeserializeOwned>(source: &Path, name: &str) -> Result<T> {
    let text = std::fs::read_to_string(source.join(name))
        .with_context(|| format!("{name}: cannot be read"))?;
    parse(name, &text)
}

fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    serde_yaml::from_str(text).map_err(|error| {
        let message = error.to_string();
        match unknown_field(&message) {
            Some((key, known)) => {
                let line = line_of_key(text, key).or_else(|| error.location().map(|at| at.line()));
                let advice = closest(key, &known).map_or_else(
                    || format!("known are: {}", known.join(", ")),
                    |near| format!("did you mean \"{near}\"?"),
                );
                anyhow!(
                    "{name}:{}: unknown key \"{key}\"; {advice}",
                    line.unwrap_or(1)
                )
            }
            None => {
                let line = error.location().map_or(1, |at| at.line());
                anyhow!("{name}:{line}: {message}")
            }
        }
    })
}

/// Takes serde's "unknown field `a`, expected one of `b`, `c`" apart.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut quoted = message
        .split_once("unknown field ")?
        .1
        .split('`')
        .skip(1)
        .step_by(2);
    let key = quoted.next()?;
    Some((key, quoted.collect()))
}

/// The parser reports where the mapping is, people want the key itself.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let is_key = |line: &str| {
        line.match_indices(key).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || "-_#/".contains(c))
                && line[at + key.len()..].trim_start().starts_with(':')
        })
    };
    text.lines().position(is_key).map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Sample {
        kernel: String,
        #[serde(default)]
        modules: Vec<String>,
    }

    #[test]
    fn an_unknown_key_is_refused_with_file_line_and_the_likely_key() {
        let error = parse::<Sample>(
            "boards/x/board.yaml",
            "# a comment\nmodules: [a]\nkernal: b\n",
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "boards/x/board.yaml:3: unknown key \"kernal\"; did you mean \"kernel\"?"
        );
    }

    #[test]
    fn an_unknown_key_like_no_other_lists_the_known_ones() {
        let error = parse::<Sample>("board.yaml", "kernel: b\nfirmware: c\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "board.yaml:2: unknown key \"firmware\"; known are: kernel, modules"
        );
    }

    #[test]
    fn a_value_of_the_wrong_kind_names_file_and_line() {
        let error = parse::<Sample>("board.yaml", "kernel: b\nmodules: 7\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("board.yaml:2: modules: invalid type"),
            "{error}"
        );
    }
}
