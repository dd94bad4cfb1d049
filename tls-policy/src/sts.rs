//! MTA-STS (RFC 8461): the record that says that there is a policy, and the
//! policy.

use serde::{Deserialize, Serialize};

/// The longest time that a policy may count, in seconds (section 3.2).
const LONGEST: u64 = 31_557_600;

/// What the owner of a domain demands of who sends to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Whether it is in force.
    pub mode: Mode,
    /// How long it counts, in seconds.
    pub max_age: u64,
    /// Names of servers, `*.` before some; in lower case.
    pub mx: Vec<String>,
}

/// `mode` of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// In force.
    Enforce,
    /// Tried out: what fails is only reported.
    Testing,
    /// Withdrawn.
    None,
}

/// The `id` in the TXT records of `_mta-sts.DOMAIN`; `None` when there is no
/// policy, as with two records (section 3.1).
pub fn id(texts: &[String]) -> Option<String> {
    let mut ours = texts.iter().filter(|text| {
        let rest = text.strip_prefix("v=STSv1");
        rest.is_some_and(|rest| rest.trim_start().starts_with(';'))
    });
    let (Some(record), None) = (ours.next(), ours.next()) else {
        return None;
    };
    let mut fields = record.split(';').filter_map(|field| field.split_once('='));
    let (_, id) = fields.find(|(name, _)| name.trim() == "id")?;
    let id = id.trim();
    let good = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    good.then(|| id.to_owned())
}

/// Reads a policy (section 3.2); `None` when it is none. The first of a field
/// counts, what is not known is skipped.
pub fn parse(text: &str) -> Option<Policy> {
    let mut version = false;
    let (mut mode, mut max_age, mut mx) = (None, None, Vec::new());
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (key, value) = line.split_once(':')?;
        let value = value.trim();
        match key.trim() {
            "version" if value == "STSv1" => version = true,
            "version" => return None,
            "mode" if mode.is_none() => {
                mode = Some(match value {
                    "enforce" => Mode::Enforce,
                    "testing" => Mode::Testing,
                    "none" => Mode::None,
                    _ => return None,
                });
            }
            "max_age" if max_age.is_none() => max_age = value.parse::<u64>().ok(),
            "mx" => mx.push(pattern(value)?),
            _ => {}
        }
    }
    let mode = mode?;
    if !version || (mx.is_empty() && mode != Mode::None) {
        return None;
    }
    Some(Policy {
        mode,
        max_age: max_age?.min(LONGEST),
        mx,
    })
}

fn pattern(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    is_name(text.strip_prefix("*.").unwrap_or(&text)).then_some(text)
}

/// Whether it is a host name: letters, digits, hyphens, and dots between.
pub fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(good)
    };
    text.len() <= 253 && text.split('.').all(label)
}

impl Policy {
    /// Whether the server `host` is one of those that the policy names; a star
    /// is one label (section 4.1).
    pub fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.mx
            .iter()
            .any(|pattern| match pattern.strip_prefix("*.") {
                Some(rest) => host
                    .split_once('.')
                    .is_some_and(|(_, parent)| parent == rest),
                None => *pattern == host,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn exactly_one_record_says_that_there_is_a_policy() {
        assert_eq!(
            id(&texts(&["v=spf1 -all", "v=STSv1; id=20160831085700Z;"])),
            Some("20160831085700Z".into())
        );
        for none in [
            &[][..],
            &["v=STSv1; id=1", "v=STSv1; id=2"],
            &["v=STSv1"],
            &["v=STSv1; id="],
            &["v=STSv1; id=a b"],
            &["v=STSv10; id=1"],
            &["id=1; v=STSv1"],
        ] {
            assert_eq!(id(&texts(none)), None, "{none:?}");
        }
    }

    #[test]
    fn the_policy_of_the_rfc_is_read() {
        let text = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.Example.net\r\nmax_age: 604800\r\n";
        let policy = parse(text).unwrap();
        assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, 604_800));
        assert!(policy.names("Mail.example.com."));
        assert!(policy.names("mx1.example.net"));
        for other in ["example.net", "a.b.example.net", "mail.example.org", ""] {
            assert!(!policy.names(other), "{other}");
        }
    }

    #[test]
    fn half_a_policy_is_none() {
        for bad in [
            "",
            "version: STSv1\nmode: enforce\nmax_age: 1\n",
            "version: STSv1\nmx: a.example\nmax_age: 1\n",
            "version: STSv1\nmode: enforce\nmx: a.example\n",
            "version: STSv2\nmode: enforce\nmx: a.example\nmax_age: 1\n",
            "mode: enforce\nmx: a.example\nmax_age: 1\n",
            "version: STSv1\nmode: all\nmx: a.example\nmax_age: 1\n",
            "version: STSv1\nmode: enforce\nmx: a example\nmax_age: 1\n",
            "<html>",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let withdrawn = parse("version: STSv1\nmode: none\nmax_age: 99999999999\n").unwrap();
        assert_eq!((withdrawn.mode, withdrawn.max_age), (Mode::None, LONGEST));
    }
}
