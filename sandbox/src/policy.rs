//! Seccomp allowlists as text that people review.
//!
//! One system call a line, with the reason after `#`; a call without a reason
//! is an error. Lines that begin with `#` and empty lines are ignored:
//!
//! ```text
//! read                                # requests
//! mmap if arg2 & 0x4 == 0             # memory, never executable
//! socketpair if arg0 == 1 and arg2 == 0   # Unix only
//! x86_64: epoll_wait                  # aarch64 has only epoll_pwait
//! openat = ENOENT                     # tried, and done without
//! ```
//!
//! Several lines for one call with `if` are alternatives. Conditions compare
//! the low 32 bits, the kernel's `int` and `unsigned int`, so don't use them
//! on sizes and pointers. With `= ERROR` the call is refused with that error
//! and the program lives on. What is not listed kills the process, and so does
//! any call of another architecture (32-bit calls, x32). Names are checked
//! for x86_64 and aarch64 alike, so that a policy that loads on a builder's
//! PC also loads on the box.
//!
//! seccompiler gives a filter one action, so a policy becomes several: one for
//! each error that refuses and lets the rest pass, and last the one that
//! allows what is listed and kills. Of their answers the kernel takes the
//! strictest.
//!
//! Source: seccomp(2); the numbers are seccompiler's tables.

use std::fmt::Write;

use nix::errno::Errno;
use seccompiler::{TargetArch, compile_from_json};

/// The console's policy; [`load_str`] with [`CONSOLE_NAME`].
pub const CONSOLE: &str = include_str!("../policies/console.seccomp");

/// The name of [`CONSOLE`] in messages.
pub const CONSOLE_NAME: &str = "sandbox/policies/console.seccomp";

/// A checked allowlist, compiled for the machine that runs this.
#[derive(Debug, Clone)]
pub struct Policy {
    name: String,
    calls: Vec<Allowed>,
    programs: Vec<Program>,
}

/// One filter, for seccomp(2).
pub(crate) type Program = Vec<libc::sock_filter>;

/// A call that a policy allows, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The line in the text, from 1.
    pub line: usize,
    /// The system call's name.
    pub call: String,
    /// The reason that the text gives.
    pub reason: String,
    /// Only on this architecture.
    arch: Option<Arch>,
    conditions: Vec<Condition>,
    /// What the caller gets instead; then it is not allowed after all.
    refused: Option<Errno>,
}

impl Allowed {
    /// What its arguments must be, `arg0 == 0x1 and arg2 & 0x4 == 0x0` say;
    /// `None`: whatever they are.
    pub fn condition(&self) -> Option<String> {
        let parts: Vec<String> = self.conditions.iter().map(Condition::to_string).collect();
        (!parts.is_empty()).then(|| parts.join(" and "))
    }

    /// Whether it lets the argument `index` (from 0) be `value`, by its low 32 bits.
    pub fn lets(&self, index: u8, value: u32) -> bool {
        let about = self.conditions.iter().filter(|c| c.index == index);
        about.into_iter().all(|c| value & c.mask == c.value)
    }

    /// Whether it lets the argument `index` have any of these bits set.
    pub fn lets_any_bit(&self, index: u8, bits: u32) -> bool {
        let about: Vec<&Condition> = self
            .conditions
            .iter()
            .filter(|c| c.index == index)
            .collect();
        let free = |bit: &u32| {
            about
                .iter()
                .all(|c| c.mask & bit == 0 || c.value & bit != 0)
        };
        (0..32)
            .map(|n| 1 << n)
            .filter(|bit| bits & bit != 0)
            .any(|bit| free(&bit))
    }
}

/// An error in a policy's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct PolicyError {
    /// The name given to [`load_str`].
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub what: String,
}

/// `argINDEX & mask == value`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    index: u8,
    mask: u32,
    value: u32,
}

impl std::fmt::Display for Condition {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.mask {
            u32::MAX => write!(out, "arg{} == {:#x}", self.index, self.value),
            mask => write!(out, "arg{} & {mask:#x} == {:#x}", self.index, self.value),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arch {
    X86_64,
    Aarch64,
}

#[cfg(target_arch = "x86_64")]
const HERE: Arch = Arch::X86_64;
#[cfg(target_arch = "aarch64")]
const HERE: Arch = Arch::Aarch64;

/// Parses and checks a policy and compiles it for this machine. `name` is the
/// file's name in messages.
pub fn load_str(name: &str, text: &str) -> Result<Policy, PolicyError> {
    let error = |line, what| PolicyError {
        file: name.to_owned(),
        line,
        what,
    };
    let mut calls: Vec<Allowed> = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let line = index + 1;
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let allowed = parse_line(line, text).map_err(|what| error(line, what))?;
        if let Some(first) = calls.iter().find(|first| clash(first, &allowed)) {
            let what = format!(
                "{:?} is listed by line {} already; keep one",
                allowed.call, first.line
            );
            return Err(error(line, what));
        }
        calls.push(allowed);
    }
    if calls.iter().all(|call| call.refused.is_some()) {
        return Err(error(1, "allows nothing; not even execve".into()));
    }
    let mut programs = Vec::new();
    for arch in [Arch::X86_64, Arch::Aarch64] {
        let compiled = compile(&calls, arch).map_err(|(line, what)| error(line, what))?;
        if arch == HERE {
            programs = compiled;
        }
    }
    Ok(Policy {
        name: name.to_owned(),
        calls,
        programs,
    })
}

impl Policy {
    /// The name that it was loaded with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it allows on this machine, in the text's order.
    pub fn allowed(&self) -> impl Iterator<Item = &Allowed> {
        let given = |a: &&Allowed| a.refused.is_none() && on(a, HERE);
        self.calls.iter().filter(given)
    }

    /// What it refuses on this machine with an error that the program is told,
    /// and that error. All else kills.
    pub fn refused(&self) -> impl Iterator<Item = (&Allowed, String)> {
        let here = self.calls.iter().filter(|a| on(a, HERE));
        here.filter_map(|a| Some((a, format!("{:?}", a.refused?))))
    }

    /// Whether `call` is allowed whatever its arguments.
    pub fn allows(&self, call: &str) -> bool {
        self.allowed()
            .any(|a| a.call == call && a.conditions.is_empty())
    }

    /// The filters in the order in which they are installed: the last one
    /// closes seccomp(2) itself.
    pub(crate) fn programs(&self) -> &[Program] {
        &self.programs
    }
}

fn on(allowed: &Allowed, arch: Arch) -> bool {
    allowed.arch.is_none_or(|only| only == arch)
}

/// Two lines of which one says nothing new.
fn clash(a: &Allowed, b: &Allowed) -> bool {
    let same_arch = a.arch.is_none() || b.arch.is_none() || a.arch == b.arch;
    let overlap =
        a.conditions.is_empty() || b.conditions.is_empty() || a.conditions == b.conditions;
    a.call == b.call && same_arch && overlap
}

fn parse_line(line: usize, text: &str) -> Result<Allowed, String> {
    let no_reason = || "no reason; write the call, then # and why it is needed".to_owned();
    let (rule, reason) = text.split_once('#').ok_or_else(no_reason)?;
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(no_reason());
    }
    let (arch, rule) = match rule.split_once(':') {
        None => (None, rule),
        Some((arch, rest)) => match arch.trim() {
            "x86_64" => (Some(Arch::X86_64), rest),
            "aarch64" => (Some(Arch::Aarch64), rest),
            other => return Err(format!("unknown architecture {other:?}; x86_64 or aarch64")),
        },
    };
    let (call, conditions) = match rule.split_once(" if ") {
        None => (rule, Vec::new()),
        Some((call, text)) => {
            let parts = text.split(" and ").map(parse_condition);
            (call, parts.collect::<Result<_, _>>()?)
        }
    };
    let (call, refused) = match call.split_once('=') {
        None => (call, None),
        Some((call, error)) => (call, Some(parse_errno(error.trim())?)),
    };
    let call = call.trim();
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if call.is_empty() || !call.bytes().all(letter) {
        return Err(format!("{call:?} is no system call's name"));
    }
    Ok(Allowed {
        line,
        call: call.to_owned(),
        reason: reason.to_owned(),
        arch,
        conditions,
        refused,
    })
}

/// The errors that a program may be told.
fn parse_errno(name: &str) -> Result<Errno, String> {
    match name {
        "ENOENT" => Ok(Errno::ENOENT),
        "EACCES" => Ok(Errno::EACCES),
        "EPERM" => Ok(Errno::EPERM),
        "ENOSYS" => Ok(Errno::ENOSYS),
        "ENOTTY" => Ok(Errno::ENOTTY),
        _ => Err(format!(
            "unknown error {name:?}; one of ENOENT, EACCES, EPERM, ENOSYS, ENOTTY"
        )),
    }
}

/// `argN == V` or `argN & MASK == V`.
fn parse_condition(text: &str) -> Result<Condition, String> {
    let wrong = || {
        format!(
            "condition {:?} is not `argN == VALUE` or `argN & MASK == VALUE`",
            text.trim()
        )
    };
    let (left, value) = text.split_once("==").ok_or_else(wrong)?;
    let (argument, mask) = match left.split_once('&') {
        None => (left, u32::MAX),
        Some((argument, mask)) => (argument, parse_number(mask).ok_or_else(wrong)?),
    };
    let index = argument.trim().strip_prefix("arg").ok_or_else(wrong)?;
    let index = index.parse().ok().filter(|i| *i < 6).ok_or_else(wrong)?;
    let value = parse_number(value).ok_or_else(wrong)?;
    if value & !mask != 0 {
        return Err(format!("condition {:?} is never true", text.trim()));
    }
    Ok(Condition { index, mask, value })
}

fn parse_number(text: &str) -> Option<u32> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Compiles for one architecture, or says which line is at fault.
fn compile(calls: &[Allowed], arch: Arch) -> Result<Vec<Program>, (usize, String)> {
    let here: Vec<&Allowed> = calls.iter().filter(|a| on(a, arch)).collect();
    let target = match arch {
        Arch::X86_64 => TargetArch::x86_64,
        Arch::Aarch64 => TargetArch::aarch64,
    };
    let compiled = |json: String| compile_from_json(json.as_bytes(), target);
    let error = match filters(&here).into_iter().map(compiled).collect() {
        Ok(maps) => {
            let maps: Vec<seccompiler::BpfMap> = maps;
            let programs = maps.into_iter().filter_map(|mut map| map.remove("main"));
            return Ok(programs.map(words).collect());
        }
        Err(error) => error,
    };
    // Which of them? Each on its own tells.
    let (name, other) = match arch {
        Arch::X86_64 => ("x86_64", "aarch64"),
        Arch::Aarch64 => ("aarch64", "x86_64"),
    };
    let culprit = here.iter().find(|a| compiled(allowing(&[a])).is_err());
    Err(match culprit {
        Some(a) => (
            a.line,
            format!(
                "{name} has no system call {:?}; correct it, or write `{other}: {}` if only {other} has it",
                a.call, a.call
            ),
        ),
        None => (1, format!("can't be compiled for {name}: {error}")),
    })
}

fn words(program: seccompiler::BpfProgram) -> Program {
    let words = program.iter().map(|i| libc::sock_filter {
        code: i.code,
        jt: i.jt,
        jf: i.jf,
        k: i.k,
    });
    words.collect()
}

/// The filters in seccompiler's own format, in order.
fn filters(calls: &[&Allowed]) -> Vec<String> {
    let mut errors: Vec<Errno> = calls.iter().filter_map(|a| a.refused).collect();
    errors.sort_by_key(|errno| *errno as i32);
    errors.dedup();
    let refusing = errors.into_iter().map(|errno| {
        let these = calls.iter().filter(|a| a.refused == Some(errno)).copied();
        let action = format!(r#"{{"errno":{}}}"#, errno as i32);
        json("allow", &action, &these.collect::<Vec<_>>())
    });
    // What is refused must be allowed here, or it would kill.
    refusing.chain([allowing(calls)]).collect()
}

/// The filter that allows these calls and kills for any other.
fn allowing(calls: &[&Allowed]) -> String {
    json("kill_process", r#""allow""#, calls)
}

fn json(otherwise: &str, action: &str, calls: &[&Allowed]) -> String {
    let mut rules = String::new();
    for allowed in calls {
        if !rules.is_empty() {
            rules.push(',');
        }
        let mut args = String::new();
        for c in &allowed.conditions {
            let separator = if args.is_empty() { "" } else { "," };
            let (index, mask, value) = (c.index, c.mask, c.value);
            let _ = write!(
                args,
                r#"{separator}{{"index":{index},"type":"dword","op":{{"masked_eq":{mask}}},"val":{value}}}"#
            );
        }
        let _ = write!(rules, r#"{{"syscall":"{}""#, allowed.call);
        if !args.is_empty() {
            let _ = write!(rules, r#","args":[{args}]"#);
        }
        rules.push('}');
    }
    format!(
        r#"{{"main":{{"mismatch_action":"{otherwise}","match_action":{action},"filter":[{rules}]}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        load_str("bad.seccomp", text).unwrap_err().to_string()
    }

    #[test]
    fn the_console_policy_loads_for_both_machines_and_gives_every_reason() {
        let policy = load_str(CONSOLE_NAME, CONSOLE).unwrap();
        assert!(policy.allowed().count() > 40);
        assert!(policy.allowed().all(|a| !a.reason.is_empty()));
        for call in ["accept4", "epoll_pwait", "execve", "write", "exit_group"] {
            assert!(policy.allows(call), "{call}");
        }
    }

    #[test]
    fn the_console_policy_can_neither_dial_out_nor_trace_nor_mount() {
        let policy = load_str(CONSOLE_NAME, CONSOLE).unwrap();
        for call in [
            "socket", "connect", "bind", "listen", "ptrace", "mount", "unshare", "setns", "bpf",
            "clone", "clone3", "mmap", "mprotect", "keyctl", "kill",
        ] {
            assert!(!policy.allows(call), "{call} is allowed with any argument");
        }
    }

    #[test]
    fn an_unknown_call_is_named_with_file_and_line() {
        assert_eq!(
            message("read # in\n\nmmpa # memory\n"),
            "bad.seccomp:3: x86_64 has no system call \"mmpa\"; correct it, or write `aarch64: mmpa` if only aarch64 has it"
        );
    }

    #[test]
    fn a_call_that_only_one_machine_has_must_say_so() {
        assert!(message("open # files\n").starts_with("bad.seccomp:1: aarch64 has no system call"));
        load_str("good", "x86_64: open # files\nread # in\n").unwrap();
    }

    #[test]
    fn a_call_without_a_reason_is_refused() {
        let expected = "bad.seccomp:1: no reason; write the call, then # and why it is needed";
        assert_eq!(message("read"), expected);
        assert_eq!(message("read #  "), expected);
    }

    #[test]
    fn the_same_call_twice_is_refused() {
        assert_eq!(
            message("read # a\nread if arg0 == 1 # b\n"),
            "bad.seccomp:2: \"read\" is listed by line 1 already; keep one"
        );
    }

    #[test]
    fn a_condition_that_cannot_be_read_is_refused() {
        assert!(message("read if fd == 1 # a").contains("condition \"fd == 1\" is not"));
        assert!(message("read if arg6 == 1 # a").contains("condition"));
        assert!(message("read if arg0 & 1 == 2 # a").contains("never true"));
        assert!(message("arm: read # a").contains("unknown architecture \"arm\""));
    }

    #[test]
    fn a_line_says_which_arguments_it_lets_pass() {
        let text = "read # a\nsocket if arg0 == 1 # b\nclone if arg0 & 0x7e030000 == 0x10000 # c\n";
        let policy = load_str("good", text).unwrap();
        let [read, socket, clone] = policy.allowed().collect::<Vec<_>>()[..] else {
            panic!("three lines");
        };
        assert_eq!(read.condition(), None);
        assert_eq!(socket.condition().unwrap(), "arg0 == 0x1");
        assert_eq!(clone.condition().unwrap(), "arg0 & 0x7e030000 == 0x10000");
        assert!(socket.lets(0, 1) && !socket.lets(0, 2) && socket.lets(1, 2) && read.lets(0, 2));
        // Threads, and no new namespace.
        assert!(clone.lets(0, 0x1_0000) && !clone.lets(0, 17));
        assert!(clone.lets_any_bit(0, 0x1_0000) && !clone.lets_any_bit(0, 0x7e02_0000));
        assert!(read.lets_any_bit(0, 0x7e02_0000));
    }

    #[test]
    fn an_empty_policy_is_refused() {
        assert!(message("# nothing\n").contains("allows nothing"));
    }

    #[test]
    fn a_call_refused_with_an_error_is_not_allowed() {
        let text = "read # in\nopenat = ENOENT # tried\nmmap if arg2 & 4 == 0 # a\nmmap = EACCES if arg2 & 4 == 4 # b\n";
        let policy = load_str("good", text).unwrap();
        assert!(policy.allows("read") && !policy.allows("openat"));
        // One for each error, and the one that kills.
        assert_eq!(policy.programs().len(), 3);
        assert!(message("openat = EWHAT # a").contains("unknown error \"EWHAT\""));
        assert!(message("openat = ENOENT # a\nopenat # b").contains("listed by line 1"));
        assert!(message("openat = ENOENT # a").contains("allows nothing"));
    }
}
