//! The children's seccomp filter, from `policies/child.seccomp`.
//!
//! The lines are those of the sandbox's policies, with one thing more: a call
//! may be refused with an error instead of a kill, since SpamAssassin tries a
//! few things that it can do without:
//!
//! ```text
//! read                            # the message
//! openat = ENOENT                 # a module that was not loaded before
//! mmap if arg2 & 0x4 == 0         # memory, never executable
//! mmap = EACCES if arg2 & 0x4 == 0x4  # and said so
//! ```
//!
//! seccompiler gives a filter one action, so there are two: one refuses and
//! allows the rest, the other allows what is listed and kills. Of two filters
//! the kernel takes the stricter answer: seccomp(2).

use std::fmt::Write;

use nix::errno::Errno;
use seccompiler::{BpfProgram, TargetArch, apply_filter, compile_from_json};

/// What a child may ask the kernel for, beside what the zygote's policy lets it.
pub const TEXT: &str = include_str!("../policies/child.seccomp");
/// The name of [`TEXT`] in messages.
pub const NAME: &str = "zygote/policies/child.seccomp";

/// A compiled policy.
pub(crate) struct Filter {
    /// In the order in which they are installed: the last closes seccomp(2).
    programs: Vec<BpfProgram>,
}

/// An error in the policy's text.
#[derive(Debug, thiserror::Error)]
#[error("{NAME}:{line}: {what}")]
pub(crate) struct FilterError {
    line: usize,
    what: String,
}

/// A line.
struct Rule<'a> {
    call: &'a str,
    conditions: Vec<(u8, u32, u32)>,
    /// What the caller gets; `None` allows the call.
    refused: Option<Errno>,
}

#[cfg(target_arch = "x86_64")]
const HERE: (TargetArch, &str) = (TargetArch::x86_64, "x86_64");
#[cfg(target_arch = "aarch64")]
const HERE: (TargetArch, &str) = (TargetArch::aarch64, "aarch64");

impl Filter {
    /// The children's policy, compiled for this machine.
    pub(crate) fn of_children() -> Result<Filter, FilterError> {
        compile(TEXT, HERE)
    }

    /// Puts it in force for this process, for good.
    pub(crate) fn install(&self) -> Result<(), seccompiler::Error> {
        self.programs.iter().try_for_each(|p| apply_filter(p))
    }
}

fn compile(text: &str, (arch, name): (TargetArch, &str)) -> Result<Filter, FilterError> {
    let mut rules = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let error = |what| FilterError {
            line: index + 1,
            what,
        };
        if let Some(rule) = parse(line, name).map_err(error)? {
            // On its own first: the compiler does not say which rule is wrong.
            let alone = filter("kill_process", "\"allow\"", &[&rule]);
            compile_from_json(alone.as_bytes(), arch).map_err(|e| error(format!("{name}: {e}")))?;
            rules.push(rule);
        }
    }
    let mut errors: Vec<Errno> = rules.iter().filter_map(|r| r.refused).collect();
    errors.sort_by_key(|e| *e as i32);
    errors.dedup();
    let mut texts = Vec::new();
    for errno in errors {
        let these: Vec<&Rule> = rules.iter().filter(|r| r.refused == Some(errno)).collect();
        let action = format!("{{\"errno\":{}}}", errno as i32);
        texts.push(filter("allow", &action, &these));
    }
    // What is refused above must be allowed here, or it would kill.
    let all: Vec<&Rule> = rules.iter().collect();
    texts.push(filter("kill_process", "\"allow\"", &all));
    let mut programs = Vec::new();
    for text in texts {
        let compiled = compile_from_json(text.as_bytes(), arch);
        let mut map = compiled.map_err(|e| FilterError {
            line: 1,
            what: e.to_string(),
        })?;
        programs.extend(map.remove("main"));
    }
    Ok(Filter { programs })
}

/// A line's rule, if it is one for the machine `name`.
fn parse<'a>(line: &'a str, name: &str) -> Result<Option<Rule<'a>>, String> {
    let (rule, reason) = line.split_once('#').unwrap_or((line, ""));
    if reason.trim().is_empty() {
        return Err("no reason; write the call, then # and why it is needed".into());
    }
    let rule = match rule.split_once(':') {
        None => rule,
        Some((only, rest)) if only.trim() == name => rest,
        Some(("x86_64" | "aarch64", _)) => return Ok(None),
        Some((other, _)) => {
            return Err(format!("unknown machine {other:?}; x86_64 or aarch64"));
        }
    };
    let (head, conditions) = match rule.split_once(" if ") {
        None => (rule, Vec::new()),
        Some((head, text)) => {
            let parts = text.split(" and ").map(condition);
            (head, parts.collect::<Result<_, _>>()?)
        }
    };
    let (call, refused) = match head.split_once('=') {
        None => (head, None),
        Some((call, error)) => (call, Some(errno(error.trim())?)),
    };
    Ok(Some(Rule {
        call: call.trim(),
        conditions,
        refused,
    }))
}

fn errno(name: &str) -> Result<Errno, String> {
    match name {
        "ENOENT" => Ok(Errno::ENOENT),
        "EACCES" => Ok(Errno::EACCES),
        "EPERM" => Ok(Errno::EPERM),
        "ENOTTY" => Ok(Errno::ENOTTY),
        _ => Err(format!(
            "unknown error {name:?}; one of ENOENT, EACCES, EPERM, ENOTTY"
        )),
    }
}

/// `argN & MASK == VALUE`.
fn condition(text: &str) -> Result<(u8, u32, u32), String> {
    let number = |text: &str| match text.trim().strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.trim().parse().ok(),
    };
    let read = || {
        let (left, value) = text.split_once("==")?;
        let (argument, mask) = left.split_once('&')?;
        let index = argument.trim().strip_prefix("arg")?.parse().ok()?;
        Some((index, number(mask)?, number(value)?))
    };
    read().ok_or_else(|| format!("condition {:?} is not `argN & MASK == VALUE`", text.trim()))
}

/// A filter in seccompiler's own format.
fn filter(otherwise: &str, action: &str, rules: &[&Rule]) -> String {
    let mut list = String::new();
    for rule in rules {
        let mut arguments = String::new();
        for (index, mask, value) in &rule.conditions {
            let comma = if arguments.is_empty() { "" } else { "," };
            let _ = write!(
                arguments,
                r#"{comma}{{"index":{index},"type":"dword","op":{{"masked_eq":{mask}}},"val":{value}}}"#
            );
        }
        let comma = if list.is_empty() { "" } else { "," };
        let _ = write!(list, r#"{comma}{{"syscall":"{}""#, rule.call);
        if !arguments.is_empty() {
            let _ = write!(list, r#","args":[{arguments}]"#);
        }
        list.push('}');
    }
    format!(
        r#"{{"main":{{"mismatch_action":"{otherwise}","match_action":{action},"filter":[{list}]}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [(TargetArch, &str); 2] = [
        (TargetArch::x86_64, "x86_64"),
        (TargetArch::aarch64, "aarch64"),
    ];

    fn message(text: &str) -> String {
        compile(text, BOTH[1]).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn the_childrens_policy_compiles_for_both_machines() {
        for arch in BOTH {
            // One for each error, and the one that kills.
            assert!(compile(TEXT, arch).unwrap().programs.len() > 2);
        }
    }

    #[test]
    fn the_childrens_policy_has_no_way_to_a_file_a_process_or_the_network() {
        for line in TEXT.lines().filter(|l| !l.trim().is_empty()) {
            for name in ["x86_64", "aarch64"] {
                let Some(rule) = (!line.starts_with('#'))
                    .then(|| parse(line, name).unwrap())
                    .flatten()
                else {
                    continue;
                };
                let given = rule.refused.is_none();
                for call in [
                    "open",
                    "openat",
                    "openat2",
                    "execve",
                    "execveat",
                    "clone",
                    "clone3",
                    "fork",
                    "vfork",
                    "socket",
                    "connect",
                    "sendmsg",
                    "recvmsg",
                    "ptrace",
                    "kill",
                    "unshare",
                    "mount",
                    "chroot",
                    "prctl",
                    "bpf",
                    "io_uring_setup",
                    "keyctl",
                    "seccomp",
                ] {
                    assert!(!(given && rule.call == call), "{line}");
                }
            }
        }
    }

    #[test]
    fn a_bad_line_is_named_with_its_number() {
        assert!(
            message("read # a\nopenat = EWHAT # b")
                .starts_with("zygote/policies/child.seccomp:2: unknown error \"EWHAT\"")
        );
        assert!(message("read").contains(":1: no reason"));
        assert!(message("mmpa # memory").contains(":1: aarch64: "));
        assert!(message("mmap if prot == 0 # a").contains("is not `argN & MASK == VALUE`"));
        assert!(message("arm: read # a").contains("unknown machine \"arm\""));
    }
}
