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
//! Policies are compiled when an image is made ([`compile`]); on the box a
//! service gets the compiled one, and its text says what that allows
//! ([`load_compiled`]).
//!
//! Source: seccomp(2); the numbers are seccompiler's tables.

use nix::errno::Errno;
use seccompiler::{TargetArch, compile_from_json};

use crate::bpf::{self, Program};
pub use crate::bpf::{Arch, Compiled, CompiledError};
use crate::filter::{self, Rule, Test};

/// The ending of a compiled policy's file, beside the text's `seccomp`.
pub const COMPILED: &str = "bpf";

/// A checked allowlist, compiled for the machine that runs this.
#[derive(Debug, Clone)]
pub struct Policy {
    name: String,
    calls: Vec<Allowed>,
    /// The machine whose calls are listed.
    listed: Arch,
    program: Program,
}

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

/// Why a policy that was compiled before can't be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Its text is wrong.
    #[error(transparent)]
    Text(#[from] PolicyError),
    /// What was compiled from it is.
    #[error(transparent)]
    Compiled(#[from] CompiledError),
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

/// Parses and checks a policy and compiles it for this machine. `name` is the
/// file's name in messages.
///
/// # Errors
/// The first line that is wrong.
pub fn load_str(name: &str, text: &str) -> Result<Policy, PolicyError> {
    Ok(Policy {
        program: compile(name, text, Arch::HERE)?.program,
        calls: parse(name, text)?,
        listed: Arch::HERE,
        name: name.to_owned(),
    })
}

/// Takes a policy that [`compile`] has compiled from `text`, from the bytes of
/// the file `compiled_name`. The names are for messages.
///
/// # Errors
/// When the text is wrong, or the bytes are, or they do not belong together, or
/// are for another machine.
pub fn load_compiled(
    name: &str,
    text: &str,
    compiled_name: &str,
    compiled: &[u8],
) -> Result<Policy, LoadError> {
    let program = Compiled::from_bytes(compiled_name, compiled, name, text)?.program;
    Ok(Policy {
        calls: parse(name, text)?,
        listed: Arch::HERE,
        program,
        name: name.to_owned(),
    })
}

/// Parses and checks a policy, for both machines, and compiles it for one.
///
/// # Errors
/// The first line that is wrong.
pub fn compile(name: &str, text: &str, arch: Arch) -> Result<Compiled, PolicyError> {
    let calls = parse(name, text)?;
    let error = |(line, what)| PolicyError {
        file: name.to_owned(),
        line,
        what,
    };
    let mut rules = Vec::new();
    for each in Arch::ALL {
        let of_each = rules_for(&calls, each).map_err(error)?;
        if each == arch {
            rules = of_each;
        }
    }
    let program = filter::build(arch, &rules);
    // A policy of thousands of conditions.
    bpf::check(&program, arch).map_err(|(_, what)| error((1, what.to_owned())))?;
    Ok(Compiled::new(arch, text, program))
}

/// The lines of a policy.
fn parse(name: &str, text: &str) -> Result<Vec<Allowed>, PolicyError> {
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
    Ok(calls)
}

impl Policy {
    /// The name that it was loaded with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same, which lists what it does on another machine. What it does here stays.
    #[must_use]
    pub fn listed_for(mut self, arch: Arch) -> Self {
        self.listed = arch;
        self
    }

    /// What it allows on this machine, in the text's order.
    pub fn allowed(&self) -> impl Iterator<Item = &Allowed> {
        let given = |a: &&Allowed| a.refused.is_none() && on(a, self.listed);
        self.calls.iter().filter(given)
    }

    /// What it refuses on this machine with an error that the program is told,
    /// and that error. All else kills.
    pub fn refused(&self) -> impl Iterator<Item = (&Allowed, String)> {
        let here = self.calls.iter().filter(|a| on(a, self.listed));
        here.filter_map(|a| Some((a, format!("{:?}", a.refused?))))
    }

    /// Whether `call` is allowed whatever its arguments.
    pub fn allows(&self, call: &str) -> bool {
        self.allowed()
            .any(|a| a.call == call && a.conditions.is_empty())
    }

    /// The filter.
    pub(crate) fn program(&self) -> &Program {
        &self.program
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

/// The rules for one architecture, or which line is at fault. What is refused
/// comes first, as it is stricter.
fn rules_for(calls: &[Allowed], arch: Arch) -> Result<Vec<Rule>, (usize, String)> {
    let mut here: Vec<&Allowed> = calls.iter().filter(|a| on(a, arch)).collect();
    here.sort_by_key(|a| a.refused.is_none());
    let rule = |a: &&Allowed| {
        let number = number(&a.call, arch).ok_or_else(|| {
            let name = arch.name();
            let other = match arch {
                Arch::X86_64 => Arch::Aarch64.name(),
                Arch::Aarch64 => Arch::X86_64.name(),
            };
            let what = format!(
                "{name} has no system call {:?}; correct it, or write `{other}: {}` if only {other} has it",
                a.call, a.call
            );
            (a.line, what)
        })?;
        let test = |c: &Condition| Test {
            argument: c.index,
            mask: c.mask,
            value: c.value,
        };
        Ok(Rule {
            number,
            tests: a.conditions.iter().map(test).collect(),
            answer: match a.refused {
                Some(errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
                None => libc::SECCOMP_RET_ALLOW,
            },
        })
    };
    here.iter().map(rule).collect()
}

/// A system call's number. seccompiler gives its tables away only in filters:
/// this one loads arch, compares, kills, loads the number, and compares that.
fn number(call: &str, arch: Arch) -> Option<u32> {
    let target = match arch {
        Arch::X86_64 => TargetArch::x86_64,
        Arch::Aarch64 => TargetArch::aarch64,
    };
    let json = format!(
        r#"{{"main":{{"mismatch_action":"kill_process","match_action":"allow","filter":[{{"syscall":"{call}"}}]}}}}"#
    );
    let compiled = compile_from_json(json.as_bytes(), target).ok()?;
    let compares = compiled.get("main")?.get(4)?;
    (compares.code == bpf::code::IF_EQUAL).then_some(compares.k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::answer;
    use crate::console::{CONSOLE, CONSOLE_NAME};

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
    fn the_calls_of_another_machine_can_be_listed() {
        let text = "execve # a\nx86_64: epoll_wait # b\naarch64: fstatfs # c\n";
        let listed = |arch| {
            let policy = load_str("two.seccomp", text).unwrap().listed_for(arch);
            let calls: Vec<String> = policy.allowed().map(|a| a.call.clone()).collect();
            calls.join(" ")
        };
        assert_eq!(listed(Arch::X86_64), "execve epoll_wait");
        assert_eq!(listed(Arch::Aarch64), "execve fstatfs");
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
        assert!(message("openat = EWHAT # a").contains("unknown error \"EWHAT\""));
        assert!(message("openat = ENOENT # a\nopenat # b").contains("listed by line 1"));
        assert!(message("openat = ENOENT # a").contains("allows nothing"));
    }
    fn text_of_every_service() -> Vec<(String, String)> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../apps/email/policies");
        let files = std::fs::read_dir(folder).unwrap().map(|file| {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            (path.display().to_string(), text)
        });
        let all: Vec<_> = files
            .chain([(CONSOLE_NAME.into(), CONSOLE.into())])
            .collect();
        assert!(all.len() > 5, "{}", all.len());
        all
    }

    #[test]
    fn calls_of_32_bits_and_of_x32_are_killed_whatever_a_policy_lists() {
        const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
        // AUDIT_ARCH_I386 and AUDIT_ARCH_ARM of linux/audit.h.
        const OTHER: [u32; 2] = [0x4000_0003, 0x4000_0028];
        for (name, text) in text_of_every_service() {
            for arch in Arch::ALL {
                let program = compile(&name, &text, arch).unwrap().program;
                let ask = |number, arch| answer(&program, number, arch, [0; 6]);
                let mut listed = 0;
                for number in 0..1024 {
                    for other in OTHER {
                        assert_eq!(ask(number, other), KILL, "{name} {number}");
                    }
                    let x32 = number | 0x4000_0000;
                    assert_eq!(ask(x32, arch.audit()), KILL, "{name} {number}");
                    listed += u32::from(ask(number, arch.audit()) != KILL);
                }
                assert!(listed > 20, "{name} {listed}");
            }
        }
    }

    /// What seccompiler makes of the same rules: it gives a filter one action, so
    /// one filter for each error, and one that allows and kills; of their answers
    /// the strictest.
    fn by_seccompiler(calls: &[Allowed], arch: Arch) -> impl Fn(u32, [u32; 6]) -> u32 {
        let here: Vec<&Allowed> = calls.iter().filter(|a| on(a, arch)).collect();
        let argument = |c: &Condition| {
            format!(
                r#"{{"index":{},"type":"dword","op":{{"masked_eq":{}}},"val":{}}}"#,
                c.index, c.mask, c.value
            )
        };
        let rule = |a: &&&Allowed| {
            let arguments: Vec<String> = a.conditions.iter().map(argument).collect();
            let arguments = match arguments.is_empty() {
                true => String::new(),
                false => format!(r#","args":[{}]"#, arguments.join(",")),
            };
            format!(r#"{{"syscall":"{}"{arguments}}}"#, a.call)
        };
        let filter = |otherwise: &str, action: &str, calls: &[&Allowed]| {
            let rules: Vec<String> = calls.iter().map(|a| rule(&a)).collect();
            let json = format!(
                r#"{{"main":{{"mismatch_action":"{otherwise}","match_action":{action},"filter":[{}]}}}}"#,
                rules.join(",")
            );
            let target = arch.name().try_into().unwrap();
            let mut compiled = compile_from_json(json.as_bytes(), target).unwrap();
            let program = compiled.remove("main").unwrap().into_iter();
            let word = |i: seccompiler::sock_filter| libc::sock_filter {
                code: i.code,
                jt: i.jt,
                jf: i.jf,
                k: i.k,
            };
            program.map(word).collect::<Program>()
        };
        let mut errors: Vec<i32> = here
            .iter()
            .filter_map(|a| Some(a.refused? as i32))
            .collect();
        errors.sort_unstable();
        errors.dedup();
        let mut programs = vec![filter("kill_process", r#""allow""#, &here)];
        for errno in errors {
            let these = here
                .iter()
                .filter(|a| a.refused.map(|e| e as i32) == Some(errno));
            let these: Vec<&Allowed> = these.copied().collect();
            programs.push(filter("allow", &format!(r#"{{"errno":{errno}}}"#), &these));
        }
        move |number, arguments| {
            let answers = programs.iter();
            let answers = answers.map(|p| answer(p, number, arch.audit(), arguments));
            // Killing is the smallest as a signed number: kernel/seccomp.c.
            answers.min_by_key(|answer| *answer as i32).unwrap()
        }
    }

    #[test]
    fn every_shipped_policy_answers_as_seccompiler_s_filters_would() {
        for (name, text) in text_of_every_service() {
            let calls = parse(&name, &text).unwrap();
            // The values that conditions look for, and others.
            let conditions = calls.iter().flat_map(|a| &a.conditions);
            let mut values: Vec<u32> = conditions
                .flat_map(|c| [c.value, c.value | !c.mask, c.value ^ c.mask])
                .chain([0, 1, 4, u32::MAX])
                .collect();
            values.sort_unstable();
            values.dedup();
            for arch in Arch::ALL {
                let program = compile(&name, &text, arch).unwrap().program;
                let expected = by_seccompiler(&calls, arch);
                let mut refused = 0;
                for number in (0..600).chain([0x4000_0000, u32::MAX]) {
                    for value in &values {
                        for other in &values {
                            let arguments = [*value, *other, *value, *other, *value, *other];
                            let answer = answer(&program, number, arch.audit(), arguments);
                            assert_eq!(answer, expected(number, arguments), "{name} {number}");
                            refused += u32::from(answer & libc::SECCOMP_RET_ERRNO != 0);
                        }
                    }
                }
                assert!(refused > 0, "{name}");
            }
        }
    }

    #[test]
    fn numbers_are_those_of_this_machine() {
        for (call, expected) in [
            ("read", libc::SYS_read),
            ("execve", libc::SYS_execve),
            ("seccomp", libc::SYS_seccomp),
            ("openat2", libc::SYS_openat2),
        ] {
            assert_eq!(number(call, Arch::HERE).map(i64::from), Some(expected));
        }
        assert_eq!(number("opennat", Arch::HERE), None);
    }

    #[test]
    fn a_compiled_policy_says_and_does_what_its_text_does() {
        let bytes = compile(CONSOLE_NAME, CONSOLE, Arch::HERE)
            .unwrap()
            .to_bytes();
        let loaded = load_compiled(CONSOLE_NAME, CONSOLE, "console.bpf", &bytes).unwrap();
        let fresh = load_str(CONSOLE_NAME, CONSOLE).unwrap();
        let written = |policy: &Policy| {
            let program = policy.program.clone();
            Compiled::new(Arch::HERE, CONSOLE, program).to_bytes()
        };
        assert_eq!(written(&loaded), written(&fresh));
        assert_eq!(loaded.calls, fresh.calls);
        let other = format!("{CONSOLE}\nptrace # more\n");
        let error = load_compiled(CONSOLE_NAME, &other, "console.bpf", &bytes).unwrap_err();
        assert!(matches!(error, LoadError::Compiled(_)), "{error}");
    }
}
