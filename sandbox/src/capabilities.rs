//! The powers that a sandboxed root may keep, over its own ids, files and
//! namespaces only. Source: capabilities(7).
//!
//! A program that must start as root and become other users (Dovecot is one)
//! gets a range of ids and the few capabilities that this takes. Everything
//! else stays as for all sandboxes: no new privileges, Landlock, seccomp.

use std::ffi::c_ulong;

use crate::ids::User;
use crate::spec::SpecError;

/// A capability within the sandbox's own user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// CAP_CHOWN: give files to other ids of the range.
    Chown = 0,
    /// CAP_DAC_OVERRIDE: open files of all ids of the range, whatever their mode.
    DacOverride = 1,
    /// CAP_KILL: signal processes of other ids.
    Kill = 5,
    /// CAP_SETGID: become any group of the range; setgroups(2).
    SetGid = 6,
    /// CAP_SETUID: become any user of the range.
    SetUid = 7,
    /// CAP_NET_BIND_SERVICE: bind ports below 1024, where Landlock allows it.
    NetBindService = 10,
    /// CAP_SYS_CHROOT: chroot(2).
    SysChroot = 18,
}

/// A set of capabilities, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept(u32);

impl Kept {
    pub(crate) fn of(capabilities: &[Capability]) -> Kept {
        Kept(capabilities.iter().fold(0, |set, c| set | 1 << *c as u8))
    }

    /// The low word of a set of capset(2); the high word is always 0.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// These and CAP_SYS_ADMIN: seccomp(2) and Landlock ask for it of those who
    /// may still gain privileges. `execve` takes it away again, as the
    /// bounding set lacks it.
    pub(crate) fn for_filters(self) -> Kept {
        Kept(self.0 | 1 << 21)
    }

    pub(crate) fn has(self, number: c_ulong) -> bool {
        number < 32 && self.0 & 1 << number != 0
    }

    /// The securebits, capabilities(7): none can be kept across a change of
    /// ids or made ambient, and this is locked. Without capabilities, root
    /// means nothing and a change of ids changes none. With some, root is what
    /// it always was: what root executes keeps them, and who becomes another
    /// user loses them. Nobody inside can change this (CAP_SETPCAP).
    pub(crate) fn securebits(self) -> c_ulong {
        const NOROOT: c_ulong = 0b11;
        const NO_SETUID_FIXUP: c_ulong = 0b11 << 2;
        const KEEP_CAPS_LOCKED: c_ulong = 1 << 5;
        const NO_CAP_AMBIENT_RAISE: c_ulong = 0b11 << 6;
        let always = KEEP_CAPS_LOCKED | NO_CAP_AMBIENT_RAISE;
        match self.0 {
            0 => always | NOROOT | NO_SETUID_FIXUP,
            _ => always,
        }
    }
}

pub(crate) fn check(capabilities: &[Capability], user: User) -> Result<(), SpecError> {
    let root_of_a_range = matches!(user, User::Range { run_as: 0, .. });
    match capabilities.is_empty() || root_of_a_range {
        true => Ok(()),
        false => Err(SpecError::Capabilities),
    }
}
