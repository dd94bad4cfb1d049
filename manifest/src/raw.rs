//! The YAML as it stands, in types that refuse unknown keys, and serde's
//! errors in words for people.

use super::located::{Fault, Lines};
use super::near::{advice, closest};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    pub app: String,
    pub services: BTreeMap<String, Service>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Service {
    pub root: Option<String>,
    pub run: Vec<Text>,
    #[serde(default)]
    pub programs: Vec<String>,
    pub lifetime: Lifetime,
    #[serde(default)]
    pub after: Vec<String>,
    #[serde(default)]
    pub listen: Vec<Listen>,
    #[serde(default)]
    pub provides: Vec<Channel>,
    #[serde(default)]
    pub uses: Vec<String>,
    #[serde(default)]
    pub egress: Vec<Egress>,
    #[serde(default)]
    pub volumes: Vec<Volume>,
    #[serde(default)]
    pub scratch: Vec<Scratch>,
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    #[serde(default)]
    pub ids: Ids,
    pub policy: Option<String>,
    #[serde(default)]
    pub write_execute: WriteExecute,
    #[serde(default)]
    pub loopback: Loopback,
    pub limits: Limits,
    #[serde(default)]
    pub outcomes: BTreeMap<i64, String>,
    #[serde(default)]
    pub environment: BTreeMap<String, Text>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifetime {
    Daemon,
    PerConnection,
    PerMessage,
    Once,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    pub port: i64,
    pub zone: Zone,
    pub to: Option<String>,
    pub full: Option<String>,
    pub pool: Option<i64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Zone {
    Public,
    Lan,
    Overlay,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    pub name: String,
    pub kind: Kind,
    pub port: Option<i64>,
    pub socket: Option<Socket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Connected,
    Listener,
    Passed,
    Relay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Socket {
    Listening,
    Pair,
    PairWhenUsed,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    pub port: i64,
    pub protocols: Vec<Protocol>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    Tcp,
    Udp,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    pub name: String,
    pub path: String,
    pub mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    Ro,
    Rw,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scratch {
    pub path: String,
    pub size: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    pub name: String,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ids {
    #[default]
    One,
    Range,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteExecute {
    #[default]
    Refused,
    Allowed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loopback {
    #[default]
    Down,
    Up,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    pub memory: Text,
    pub tasks: i64,
    pub files: i64,
    pub file_size: Text,
    pub deadline: Option<Text>,
    pub cpu: Option<Text>,
    pub at_once: Option<i64>,
    pub from_one_address: Option<i64>,
    pub waiting: Option<i64>,
    pub waiting_from_one_address: Option<i64>,
}

/// A scalar as text, also where YAML sees a number: `memory: 128` is a size
/// without its letter, and shall be told so.
#[derive(Debug)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Text;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Parses, and puts what serde says into our words.
pub fn parse(text: &str, lines: &Lines) -> Result<App, Fault> {
    serde_yaml::from_str(text).map_err(|error| {
        let said = error.to_string();
        let at = error.location().map_or(1, |at| at.line());
        // "services.gate: missing field `run` at line 3 column 5"
        let said = said
            .rsplit_once(" at line ")
            .map_or(said.as_str(), |(before, _)| before);
        let (path, message) = match said.split_once(": ") {
            Some((path, message)) if !path.contains(' ') => (path, message),
            _ => ("", said),
        };
        let below = |key: &str| match path {
            "" | "." => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let located = |field: String, what: String| (lines.line(&field), field, what);
        if let Some(("", _)) = message.split_once("unknown field ") {
            let key = quoted[0];
            let what = format!("unknown key \"{key}\"; {}", advice(key, &quoted[1..]));
            let (line, ..) = located(below(key), String::new());
            return (line, path.trim_matches('.').to_owned(), what);
        }
        if message.starts_with("missing field ") {
            return located(below(quoted[0]), "is missing; add it".into());
        }
        if message.starts_with("unknown variant ") {
            let (word, known) = (quoted[0], &quoted[1..]);
            let list = one_of(known);
            let what = match closest(word, known) {
                Some(near) => {
                    format!("\"{word}\" is not known; did you mean \"{near}\"? Write {list}")
                }
                None => format!("\"{word}\" is not known; write {list}"),
            };
            return located(path.to_owned(), what);
        }
        for start in ["invalid type: ", "invalid value: "] {
            if let Some((got, expected)) = message
                .strip_prefix(start)
                .and_then(|rest| rest.split_once(", expected "))
            {
                let got = got.replace('`', "").replace("unit value", "nothing");
                let what = format!("{got} does not belong here; write {}", wanted(expected));
                return located(path.trim_matches('.').to_owned(), what);
            }
        }
        (at, path.trim_matches('.').to_owned(), message.to_owned())
    })
}

/// `a`, `a or b`, `a, b or c`.
pub fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Serde's names for shapes, in words.
fn wanted(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list",
        "a string" => "a text",
        "a map" => "keys and values",
        "i64" => "a whole number",
        _ if expected.starts_with("struct ") => "keys and values",
        _ if expected.starts_with("enum ") => "a word",
        other => other,
    }
}
