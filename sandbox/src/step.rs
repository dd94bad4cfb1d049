//! The steps of a start, and how the child tells its parent which one failed.

/// The steps, in order; each names itself in an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    Session,
    Loopback,
    PrivateMounts,
    AttachRoot,
    MountProc,
    PivotRoot,
    DetachOldRoot,
    /// Its index says which of [`crate::root::Prepared::mounts`].
    AttachMount,
    HostName,
    CgroupNamespace,
    Keyring,
    /// Its index says which of [`crate::child::Plan::rules`].
    LandlockRule,
    BoundingSet,
    Securebits,
    DropGroups,
    SetGid,
    SetUid,
    Capabilities,
    NoNewPrivileges,
    WriteExecute,
    UnreadableProgram,
    Landlock,
    /// Its index says which of [`crate::child::Plan::targets`].
    Descriptor,
    CloseDescriptors,
    Receive,
    Rlimits,
    Seccomp,
    Execve,
}

impl Step {
    const ALL: [(Step, &'static str); 28] = [
        (Step::Session, "session"),
        (Step::Loopback, "loopback"),
        (Step::PrivateMounts, "private mounts"),
        (Step::AttachRoot, "attach root"),
        (Step::MountProc, "mount /proc"),
        (Step::PivotRoot, "pivot_root"),
        (Step::DetachOldRoot, "detach old root"),
        (Step::AttachMount, "attach mount"),
        (Step::HostName, "host name"),
        (Step::CgroupNamespace, "cgroup namespace"),
        (Step::Keyring, "session keyring"),
        (Step::LandlockRule, "landlock rule"),
        (Step::BoundingSet, "bounding set"),
        (Step::Securebits, "securebits"),
        (Step::DropGroups, "drop groups"),
        (Step::SetGid, "setresgid"),
        (Step::SetUid, "setresuid"),
        (Step::Capabilities, "capabilities"),
        (Step::NoNewPrivileges, "no_new_privs"),
        (Step::WriteExecute, "memory-deny-write-execute"),
        (Step::UnreadableProgram, "unreadable program"),
        (Step::Landlock, "landlock"),
        (Step::Descriptor, "descriptor"),
        (Step::CloseDescriptors, "close descriptors"),
        (Step::Receive, "receive descriptors"),
        (Step::Rlimits, "rlimits"),
        (Step::Seccomp, "seccomp"),
        (Step::Execve, "execve"),
    ];

    /// The step of a report, and its name.
    pub(crate) fn of(number: u8) -> Option<(Step, &'static str)> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// A failed step, as it crosses the pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) step: u8,
    pub(crate) index: u16,
    pub(crate) errno: i32,
}

impl Report {
    /// Bytes of one.
    pub(crate) const SIZE: usize = 7;

    /// No failure: the child is sealed and waits for its descriptors.
    pub(crate) const SEALED: Report = Report {
        step: u8::MAX,
        index: 0,
        errno: 0,
    };

    pub(crate) fn to_bytes(self) -> [u8; Self::SIZE] {
        let (i, e) = (self.index.to_ne_bytes(), self.errno.to_ne_bytes());
        [self.step, i[0], i[1], e[0], e[1], e[2], e[3]]
    }

    pub(crate) fn from_bytes(b: [u8; Self::SIZE]) -> Report {
        Report {
            step: b[0],
            index: u16::from_ne_bytes([b[1], b[2]]),
            errno: i32::from_ne_bytes([b[3], b[4], b[5], b[6]]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_own_place_in_the_table_of_names() {
        for (number, (step, name)) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, number, "{name}");
        }
        assert_eq!(Step::Execve as usize + 1, Step::ALL.len());
        assert!(Step::of(Report::SEALED.step).is_none());
    }

    #[test]
    fn a_report_crosses_the_pipe_whole() {
        let report = Report {
            step: 7,
            index: 300,
            errno: 13,
        };
        assert_eq!(Report::from_bytes(report.to_bytes()), report);
    }
}
