//! Policies compiled for one machine, and the file that holds one.
//!
//! ```text
//!  0   8  "PXSBPF\r\n"
//!  8   2  version, 1
//! 10   2  how many instructions
//! 12   4  architecture: AUDIT_ARCH_… of linux/audit.h
//! 16  32  SHA-256 of the text that it was compiled from
//! 48      these, 8 bytes each, as struct sock_filter of linux/filter.h has them
//! ```
//!
//! Numbers are little-endian. The text lies beside it for people and for
//! `projectx sandbox show`; the hash says that the two belong together. Neither
//! is signed here: both lie in an image that is.
//!
//! A file is checked before it is used: that it is whole, for this machine, of
//! this text, and that the kernel would take the filter; also that this begins by
//! killing calls of another architecture, and ends by killing what is not listed.
//!
//! Source: seccomp(2); `bpf_check_classic` and `seccomp_check_filter` in the
//! kernel's net/core/filter.c and kernel/seccomp.c.

use sha2::{Digest, Sha256};

/// One filter, for seccomp(2).
pub(crate) type Program = Vec<libc::sock_filter>;

/// A machine that policies are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// A PC.
    X86_64,
    /// The box.
    Aarch64,
}

impl Arch {
    /// The machine that this program runs on.
    #[cfg(target_arch = "x86_64")]
    pub const HERE: Arch = Arch::X86_64;
    /// The machine that this program runs on.
    #[cfg(target_arch = "aarch64")]
    pub const HERE: Arch = Arch::Aarch64;

    /// Both.
    pub const ALL: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

    /// Its name in a policy, and Rust's.
    pub fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }

    /// Its number in `struct seccomp_data`: linux/audit.h.
    pub(crate) fn audit(self) -> u32 {
        match self {
            Arch::X86_64 => 0xc000_003e,
            Arch::Aarch64 => 0xc000_00b7,
        }
    }

    /// The one that Cargo's `CARGO_CFG_TARGET_ARCH` names: build scripts compile
    /// policies.
    ///
    /// # Errors
    /// When it is neither; a message.
    pub fn of_target(name: &str) -> Result<Arch, String> {
        let known = Self::ALL.into_iter().find(|arch| arch.name() == name);
        known.ok_or_else(|| format!("no policy can be compiled for {name}"))
    }

    fn of_audit(number: u32) -> Option<Arch> {
        Self::ALL.into_iter().find(|arch| arch.audit() == number)
    }
}

/// A policy's filter for one machine.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub(crate) arch: Arch,
    text: [u8; 32],
    pub(crate) program: Program,
}

/// A compiled policy that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {fault}; make the image anew")]
pub struct CompiledError {
    /// The name of the file.
    pub file: String,
    /// What is wrong with it.
    pub fault: CompiledFault,
}

/// What is wrong with a compiled policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompiledFault {
    /// Another kind of file.
    #[error("is no compiled policy")]
    Magic,
    /// One of a later or earlier format.
    #[error("has format {0}, and only format 1 is known")]
    Version(u16),
    /// It ends too early, or too late.
    #[error("has {found} bytes, and needs {needed}")]
    Length {
        /// Its length.
        found: usize,
        /// The length that its own numbers give, as far as they can be read.
        needed: usize,
    },
    /// For another machine.
    #[error("is for {found}, and this machine is {here}", here = here.name())]
    Arch {
        /// Its architecture's name, or number.
        found: String,
        /// The one that was asked for.
        here: Arch,
    },
    /// The text is not the one that it was compiled from.
    #[error("was not compiled from {0} as that is now")]
    Text(String),
    /// A filter that the kernel would not take, or that is none of ours.
    #[error("instruction {instruction}: {what}")]
    Instruction {
        /// Which instruction, from 0.
        instruction: usize,
        /// What is wrong.
        what: &'static str,
    },
}

const MAGIC: &[u8; 8] = b"PXSBPF\r\n";
const VERSION: u16 = 1;
const HEADER: usize = 48;
/// `BPF_MAXINSNS`, linux/bpf_common.h.
const MOST_INSTRUCTIONS: usize = 4096;

impl Compiled {
    pub(crate) fn new(arch: Arch, text: &str, program: Program) -> Self {
        Self {
            arch,
            text: Sha256::digest(text.as_bytes()).into(),
            program,
        }
    }

    /// The filter alone, as the kernel of its machine takes it: an array of struct
    /// sock_filter.
    pub fn filter_bytes(&self) -> Vec<u8> {
        let word = |i: &libc::sock_filter| {
            let ([a, b], [c, d, e, f]) = (i.code.to_le_bytes(), i.k.to_le_bytes());
            [a, b, i.jt, i.jf, c, d, e, f]
        };
        self.program.iter().flat_map(word).collect()
    }

    /// What the file holds.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        // The compiler makes no filter that is longer than the kernel takes.
        bytes.extend((self.program.len() as u16).to_le_bytes());
        bytes.extend(self.arch.audit().to_le_bytes());
        bytes.extend(self.text);
        bytes.extend(self.filter_bytes());
        bytes
    }

    /// Reads one for this machine, checked as the module says. `text` is the
    /// policy's text, named `text_name` in messages, as `file` is this.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_bytes(
        file: &str,
        bytes: &[u8],
        text_name: &str,
        text: &str,
    ) -> Result<Self, CompiledError> {
        parse(bytes, Arch::HERE, text_name, text).map_err(|fault| CompiledError {
            file: file.to_owned(),
            fault,
        })
    }
}

fn parse(bytes: &[u8], here: Arch, text_name: &str, text: &str) -> Result<Compiled, CompiledFault> {
    let wrong_length = |needed| CompiledFault::Length {
        found: bytes.len(),
        needed,
    };
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
        return Err(CompiledFault::Magic);
    }
    let (header, words) = bytes
        .split_at_checked(HEADER)
        .ok_or_else(|| wrong_length(HEADER))?;
    let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    if short(8) != VERSION {
        return Err(CompiledFault::Version(short(8)));
    }
    let audit = u32::from(short(12)) | u32::from(short(14)) << 16;
    let arch = match Arch::of_audit(audit) {
        Some(arch) if arch == here => arch,
        other => {
            let number = || format!("the architecture {audit:#x}");
            let found = other.map_or_else(number, |arch| arch.name().to_owned());
            return Err(CompiledFault::Arch { found, here });
        }
    };
    let compiled = Compiled::new(arch, text, Vec::new());
    if header[16..48] != compiled.text {
        return Err(CompiledFault::Text(text_name.to_owned()));
    }
    let needed = HEADER + usize::from(short(10)) * 8;
    if bytes.len() != needed {
        return Err(wrong_length(needed));
    }
    let program: Program = words.chunks_exact(8).map(instruction).collect();
    check(&program, arch)
        .map_err(|(instruction, what)| CompiledFault::Instruction { instruction, what })?;
    Ok(Compiled {
        program,
        ..compiled
    })
}

fn instruction(bytes: &[u8]) -> libc::sock_filter {
    libc::sock_filter {
        code: u16::from_le_bytes([bytes[0], bytes[1]]),
        jt: bytes[2],
        jf: bytes[3],
        k: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    }
}

/// Codes of linux/bpf_common.h, joined as filters use them.
pub(crate) mod code {
    pub(crate) const LOAD: u16 = 0x20;
    pub(crate) const AND: u16 = 0x54;
    pub(crate) const JUMP: u16 = 0x05;
    pub(crate) const IF_EQUAL: u16 = 0x15;
    pub(crate) const IF_NOT_LESS: u16 = 0x35;
    pub(crate) const RETURN: u16 = 0x06;
}

/// Where things are in `struct seccomp_data`, linux/seccomp.h.
pub(crate) mod data {
    pub(crate) const NUMBER: u32 = 0;
    pub(crate) const ARCH: u32 = 4;
    pub(crate) const SIZE: u32 = 64;

    /// The low 32 bits of an argument; both machines are little-endian.
    pub(crate) fn argument(index: u8) -> u32 {
        16 + 8 * u32::from(index)
    }
}

/// Says which instruction is wrong, and how.
pub(crate) fn check(
    program: &[libc::sock_filter],
    arch: Arch,
) -> Result<(), (usize, &'static str)> {
    if program.len() > MOST_INSTRUCTIONS {
        return Err((MOST_INSTRUCTIONS, "more than the kernel takes"));
    }
    let begins = [
        (code::LOAD, 0, 0, data::ARCH),
        (code::IF_EQUAL, 1, 0, arch.audit()),
        (code::RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
    ];
    for (number, expected) in begins.into_iter().enumerate() {
        let found = program.get(number).map(|i| (i.code, i.jt, i.jf, i.k));
        if found != Some(expected) {
            return Err((number, "does not kill calls of another architecture"));
        }
    }
    for (number, word) in program.iter().enumerate() {
        let after = (program.len() - number - 1) as u32;
        let wrong = match word.code {
            code::LOAD => {
                let there = word.k % 4 == 0 && word.k < data::SIZE;
                (!there).then_some("loads what is not there")
            }
            code::AND => None,
            code::JUMP => (word.k >= after).then_some("jumps out of the filter"),
            code::IF_EQUAL | code::IF_NOT_LESS => {
                let farthest = u32::from(word.jt.max(word.jf));
                (farthest >= after).then_some("jumps out of the filter")
            }
            code::RETURN => {
                let known = [libc::SECCOMP_RET_KILL_PROCESS, libc::SECCOMP_RET_ALLOW];
                let refuses = word.k & libc::SECCOMP_RET_ACTION_FULL == libc::SECCOMP_RET_ERRNO;
                (!known.contains(&word.k) && !refuses).then_some("returns an unknown answer")
            }
            _ => Some("is no instruction of a policy"),
        };
        if let Some(what) = wrong {
            return Err((number, what));
        }
    }
    match program.last().map(|i| (i.code, i.k)) {
        Some((code::RETURN, libc::SECCOMP_RET_KILL_PROCESS)) => Ok(()),
        _ => Err((program.len() - 1, "does not end by killing")),
    }
}

/// What a filter says of a call, of whose arguments these are the low halves.
#[cfg(test)]
pub(crate) fn answer(
    program: &[libc::sock_filter],
    number: u32,
    arch: u32,
    arguments: [u32; 6],
) -> u32 {
    let (mut at, mut word) = (0, 0);
    loop {
        let i = program[at];
        let jump = |taken| usize::from(if taken { i.jt } else { i.jf });
        at += 1;
        match i.code {
            code::LOAD => {
                word = match i.k {
                    data::NUMBER => number,
                    data::ARCH => arch,
                    low if low % 8 == 0 => arguments[(low as usize - 16) / 8],
                    // The high half: seccompiler looks at it at times.
                    _ => 0,
                }
            }
            code::AND => word &= i.k,
            code::JUMP => at += i.k as usize,
            code::IF_EQUAL => at += jump(word == i.k),
            code::IF_NOT_LESS => at += jump(word >= i.k),
            code::RETURN => return i.k,
            other => panic!("code {other:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile;

    const TEXT: &str = "read # in\nopenat = ENOENT # tried\nexecve # start\n";

    fn bytes(arch: Arch) -> Vec<u8> {
        compile("small.seccomp", TEXT, arch).unwrap().to_bytes()
    }

    /// The message about these bytes.
    fn refused(bytes: &[u8]) -> String {
        let read = Compiled::from_bytes("small.bpf", bytes, "small.seccomp", TEXT);
        read.unwrap_err().to_string()
    }

    /// The good file with this byte changed.
    fn changed(at: usize, to: u8) -> Vec<u8> {
        let mut bytes = bytes(Arch::HERE);
        assert_ne!(bytes[at], to);
        bytes[at] = to;
        bytes
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = bytes(Arch::HERE);
        let read = Compiled::from_bytes("small.bpf", &written, "small.seccomp", TEXT).unwrap();
        assert_eq!(written.len(), HEADER + 8 * read.program.len());
        assert_eq!(read.to_bytes(), written);
    }

    #[test]
    fn the_file_of_a_small_policy_is_this_on_each_machine() {
        let text = "execve # start\n";
        for (arch, audit, execve) in [
            (Arch::X86_64, [0x3e, 0, 0, 0xc0], 59),
            (Arch::Aarch64, [0xb7, 0, 0, 0xc0], 221),
        ] {
            let bytes = compile("a", text, arch).unwrap().to_bytes();
            assert_eq!(
                bytes[..16],
                [b"PXSBPF\r\n\x01\0\x09\0", &audit[..]].concat()
            );
            // sha256sum of the text.
            let hash = "9d3735188b49a50a86f6b3b9872ab148c7ba7d686737c92cbc606be65e580ed0";
            let found: String = bytes[16..HEADER]
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            assert_eq!(found, hash);
            #[rustfmt::skip]
            let program = [
                0x20, 0, 0, 0,  4, 0, 0, 0,                             // load arch
                0x15, 0, 1, 0,  audit[0], audit[1], audit[2], audit[3], // is it ours?
                0x06, 0, 0, 0,  0, 0, 0, 0x80,                          // no: kill
                0x20, 0, 0, 0,  0, 0, 0, 0,                             // load the number
                0x35, 0, 1, 0,  execve, 0, 0, 0,                        // execve or above?
                0x06, 0, 0, 0,  0, 0, 0, 0x80,                          // below: kill
                0x35, 0, 1, 0,  execve + 1, 0, 0, 0,                    // above?
                0x06, 0, 0, 0,  0, 0, 0xff, 0x7f,                       // it is: allow
                0x06, 0, 0, 0,  0, 0, 0, 0x80,                          // above: kill
            ];
            assert_eq!(bytes[HEADER..], program, "{arch:?}");
        }
    }

    #[test]
    fn a_file_that_is_cut_or_longer_anywhere_is_refused() {
        let whole = bytes(Arch::HERE);
        for length in 0..whole.len() {
            let error = refused(&whole[..length]);
            let expected = format!("small.bpf: has {length} bytes, and needs ");
            assert!(error.starts_with(&expected), "{error}");
        }
        let longer = [whole.as_slice(), b"\0"].concat();
        let (found, needed) = (longer.len(), whole.len());
        assert_eq!(
            refused(&longer),
            format!("small.bpf: has {found} bytes, and needs {needed}; make the image anew")
        );
    }

    #[test]
    fn another_kind_of_file_and_another_format_are_refused() {
        assert_eq!(
            refused(b"read # in\n"),
            "small.bpf: is no compiled policy; make the image anew"
        );
        assert_eq!(
            refused(&changed(8, 2)),
            "small.bpf: has format 2, and only format 1 is known; make the image anew"
        );
    }

    #[test]
    fn a_file_for_another_machine_is_refused() {
        let [other] = Arch::ALL
            .into_iter()
            .filter(|a| *a != Arch::HERE)
            .collect::<Vec<_>>()[..]
        else {
            panic!("two machines");
        };
        let expected = format!(
            "small.bpf: is for {}, and this machine is {}; make the image anew",
            other.name(),
            Arch::HERE.name()
        );
        assert_eq!(refused(&bytes(other)), expected);
        assert!(refused(&changed(12, 0x28)).contains("is for the architecture 0xc0000028"));
    }

    #[test]
    fn a_file_of_another_text_is_refused() {
        let text = TEXT.replace("# in", "# input");
        let read = Compiled::from_bytes("small.bpf", &bytes(Arch::HERE), "small.seccomp", &text);
        assert_eq!(
            read.unwrap_err().to_string(),
            "small.bpf: was not compiled from small.seccomp as that is now; make the image anew"
        );
    }

    #[test]
    fn a_filter_that_does_not_refuse_other_architectures_is_refused() {
        let what = "does not kill calls of another architecture";
        // The load, the comparison's jumps and value, the kill.
        for (instruction, offset) in [(0, 4), (1, 2), (1, 3), (1, 4), (2, 7)] {
            let error = refused(&changed(HEADER + instruction * 8 + offset, 9));
            let expected = format!("small.bpf: instruction {instruction}: {what}");
            assert!(error.starts_with(&expected), "{error}");
        }
        let empty = bytes(Arch::HERE)[..HEADER].to_vec();
        let empty = [&empty[..10], &[0, 0], &empty[12..]].concat();
        assert!(refused(&empty).contains(what), "{}", refused(&empty));
    }

    #[test]
    fn a_filter_that_the_kernel_would_not_take_is_refused() {
        let fault = |instruction: usize, offset, to| {
            let error = refused(&changed(HEADER + instruction * 8 + offset, to));
            let expected = format!("small.bpf: instruction {instruction}: ");
            let what = error.strip_prefix(&expected);
            what.unwrap_or_else(|| panic!("{error}")).to_owned()
        };
        assert!(fault(3, 4, 64).starts_with("loads what is not there"));
        assert!(fault(3, 4, 2).starts_with("loads what is not there"));
        assert!(fault(4, 2, 200).starts_with("jumps out of the filter"));
        assert!(fault(4, 3, 200).starts_with("jumps out of the filter"));
        // A store.
        assert!(fault(4, 0, 0x02).starts_with("is no instruction of a policy"));
        // The last one: SECCOMP_RET_TRACE, and an allowed end.
        let whole = bytes(Arch::HERE);
        let last = (whole.len() - HEADER) / 8 - 1;
        for (answer, what) in [
            (0x7ff0_0000, "returns an unknown answer"),
            (libc::SECCOMP_RET_ALLOW, "does not end by killing"),
        ] {
            let mut open = whole.clone();
            open.splice(whole.len() - 4.., answer.to_le_bytes());
            let expected = format!("small.bpf: instruction {last}: {what}");
            assert!(refused(&open).starts_with(&expected), "{}", refused(&open));
        }
    }
}
