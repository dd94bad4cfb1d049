//! From the rules of a policy to one filter of seccomp(2).
//!
//! The number of the call is looked for by halving, so a filter takes a handful
//! of instructions, whatever the policy's length. That is not for the calls: the
//! kernel remembers which ones are allowed whatever their arguments. It is for
//! the start, since to know this the kernel runs a new filter once for every
//! number that there is, and a list that is walked through made that as long as
//! a third of the start.
//!
//! ```text
//!     arch is not ours: kill
//!     nr >= 60 ?                     a tree over all numbers
//!       no:  nr >= 59 ? …
//!       yes: nr >= 231 ? …
//!     …
//!     arg2 & 4 == 0: allow           a call with conditions: each rule in turn
//!     kill
//! ```
//!
//! Whatever is not listed is killed: numbers between those of the list, and all
//! above them, x32's among them, which have a bit that no listed one has.
//!
//! Source: linux/filter.h, linux/seccomp.h; `seccomp_cache_prepare_bitmap` in the
//! kernel's kernel/seccomp.c.

use crate::bpf::{Arch, Program, code, data};

/// One argument's low 32 bits: `argument & mask == value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) argument: u8,
    pub(crate) mask: u32,
    pub(crate) value: u32,
}

/// An answer for a call whose arguments pass all tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) number: u32,
    pub(crate) tests: Vec<Test>,
    /// `SECCOMP_RET_…`
    pub(crate) answer: u32,
}

const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

/// Numbers from `first` up to the next one's, and the instructions for them.
struct Range {
    first: u32,
    code: Program,
}

/// The filter that gives each call the answer of the first of its rules that
/// fits, and kills for all others.
pub(crate) fn build(arch: Arch, rules: &[Rule]) -> Program {
    let mut program = vec![
        statement(code::LOAD, data::ARCH),
        jump(code::IF_EQUAL, arch.audit(), 1, 0),
        statement(code::RETURN, KILL),
        statement(code::LOAD, data::NUMBER),
    ];
    program.extend(tree(&ranges(rules)));
    program
}

/// All numbers in order, neighbours with the same instructions as one range.
fn ranges(rules: &[Rule]) -> Vec<Range> {
    let mut numbers: Vec<u32> = rules.iter().map(|rule| rule.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let kill = || vec![statement(code::RETURN, KILL)];
    let mut all = vec![Range {
        first: 0,
        code: kill(),
    }];
    for number in numbers {
        let of_call: Vec<&Rule> = rules.iter().filter(|r| r.number == number).collect();
        all.push(Range {
            first: number,
            code: in_turn(&of_call),
        });
        all.push(Range {
            first: number + 1,
            code: kill(),
        });
    }
    let mut merged: Vec<Range> = Vec::new();
    for range in all {
        match merged.last_mut() {
            // The one between two listed neighbours has no number.
            Some(last) if last.first == range.first => last.code = range.code,
            _ => merged.push(range),
        }
    }
    merged.dedup_by(|range, before| same(&range.code, &before.code));
    merged
}

fn same(a: &Program, b: &Program) -> bool {
    let words = |p: &Program| -> Vec<_> { p.iter().map(|i| (i.code, i.jt, i.jf, i.k)).collect() };
    words(a) == words(b)
}

/// A call's rules, each tried when the one before does not fit.
fn in_turn(rules: &[&Rule]) -> Program {
    let mut program = Program::new();
    for rule in rules {
        let tests: usize = rule.tests.iter().map(instructions).sum();
        let end = program.len() + tests;
        for test in &rule.tests {
            program.push(statement(code::LOAD, data::argument(test.argument)));
            if test.mask != u32::MAX {
                program.push(statement(code::AND, test.mask));
            }
            // Past the answer; six arguments need no more than 18 instructions.
            let past = end - program.len();
            program.push(jump(code::IF_EQUAL, test.value, 0, past as u8));
        }
        program.push(statement(code::RETURN, rule.answer));
        if rule.tests.is_empty() {
            return program;
        }
    }
    program.push(statement(code::RETURN, KILL));
    program
}

fn instructions(test: &Test) -> usize {
    if test.mask == u32::MAX { 2 } else { 3 }
}

/// Halves the ranges until one is left. The last instruction is that of the last
/// range: nothing is above it.
fn tree(ranges: &[Range]) -> Program {
    let [only] = ranges else {
        let (below, rest) = ranges.split_at(ranges.len() / 2);
        let first = rest[0].first;
        let below = tree(below);
        let mut program = Program::new();
        match u8::try_from(below.len()) {
            Ok(past) => program.push(jump(code::IF_NOT_LESS, first, past, 0)),
            // A test jumps no farther than 255.
            Err(_) => {
                program.push(jump(code::IF_NOT_LESS, first, 0, 1));
                program.push(statement(code::JUMP, below.len() as u32));
            }
        }
        program.extend(below);
        program.extend(tree(rest));
        return program;
    };
    only.code.clone()
}

fn statement(code: u16, k: u32) -> libc::sock_filter {
    jump(code, k, 0, 0)
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::answer;

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    fn rule(number: u32, tests: &[(u8, u32, u32)], answer: u32) -> Rule {
        let test = |&(argument, mask, value): &(u8, u32, u32)| Test {
            argument,
            mask,
            value,
        };
        Rule {
            number,
            tests: tests.iter().map(test).collect(),
            answer,
        }
    }

    fn answers(rules: &[Rule], number: u32, arguments: [u32; 6]) -> u32 {
        let arch = Arch::X86_64;
        answer(&build(arch, rules), number, arch.audit(), arguments)
    }

    #[test]
    fn neighbours_first_and_last_numbers_get_their_own_answers() {
        let refuse = libc::SECCOMP_RET_ERRNO | 2;
        let rules = [
            rule(9, &[], refuse),
            rule(0, &[], ALLOW),
            rule(8, &[], ALLOW),
            rule(7, &[], ALLOW),
            rule(11, &[], ALLOW),
        ];
        let found: Vec<u32> = (0..14).map(|n| answers(&rules, n, [0; 6])).collect();
        let expected = |n: u32| match n {
            0 | 7 | 8 | 11 => ALLOW,
            9 => refuse,
            _ => KILL,
        };
        assert_eq!(found, (0..14).map(expected).collect::<Vec<_>>());
        assert_eq!(answers(&rules, u32::MAX, [0; 6]), KILL);
    }

    #[test]
    fn the_first_rule_that_fits_answers_and_without_one_it_is_death() {
        let refuse = libc::SECCOMP_RET_ERRNO | 13;
        let rules = [
            rule(5, &[(2, 4, 4)], refuse),
            rule(5, &[(0, u32::MAX, 16), (5, 0xf0, 0x20)], ALLOW),
        ];
        assert_eq!(answers(&rules, 5, [16, 0, 4, 0, 0, 0x2f]), refuse);
        assert_eq!(answers(&rules, 5, [16, 0, 0, 0, 0, 0x2f]), ALLOW);
        assert_eq!(answers(&rules, 5, [16, 0, 0, 0, 0, 0x3f]), KILL);
        assert_eq!(answers(&rules, 5, [17, 0, 0, 0, 0, 0x2f]), KILL);
    }

    #[test]
    fn a_filter_longer_than_a_test_can_jump_is_right_as_well() {
        let rules: Vec<Rule> = (0..200)
            .map(|n| rule(n * 2, &[(0, 1, 1), (1, u32::MAX, n)], ALLOW))
            .collect();
        let program = build(Arch::Aarch64, &rules);
        assert!(program.len() > 1000);
        for number in 0..500 {
            let ask = |arguments| answer(&program, number, Arch::Aarch64.audit(), arguments);
            let listed = number % 2 == 0 && number < 400;
            let expected = if listed { ALLOW } else { KILL };
            assert_eq!(ask([1, number / 2, 0, 0, 0, 0]), expected, "{number}");
            assert_eq!(ask([0, number / 2, 0, 0, 0, 0]), KILL, "{number}");
        }
    }
}
