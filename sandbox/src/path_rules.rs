//! Landlock as a hard requirement.
//!
//! The ruleset handles everything that ABI 6 can refuse (Linux 6.12, the
//! box's kernel): all filesystem rights, TCP bind and connect, abstract Unix
//! sockets and signals to the outside. It is made by the parent, with the rules
//! for ports, so a kernel without it is known before anything runs; the rules
//! for paths are added by the child, because they exist only in its root. Source: landlock(7),
//! Documentation/userspace-api/landlock.rst.

use std::error::Error;
use std::ffi::CString;
use std::os::fd::OwnedFd;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::network::{Connect, Tcp};
use crate::weak::{Protection, kept};

/// What the box's kernel has, and no less is accepted anywhere.
const REQUIRED: ABI = ABI::V6;

/// A path inside the root and the rights on it.
pub(crate) struct Rule {
    pub(crate) path: CString,
    pub(crate) rights: BitFlags<AccessFs>,
}

/// Reading files and directories.
pub(crate) fn read() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// Reading and executing.
pub(crate) fn execute() -> BitFlags<AccessFs> {
    read() | AccessFs::Execute
}

/// Reading and writing a device.
pub(crate) fn device() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::WriteFile
}

/// All that keeping files takes: reading, and files, directories, symbolic
/// links, fifos and Unix sockets made, renamed, truncated and removed. Never
/// executing, and no device.
pub(crate) fn read_write() -> BitFlags<AccessFs> {
    read()
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::RemoveDir
        | AccessFs::RemoveFile
        | AccessFs::MakeDir
        | AccessFs::MakeReg
        | AccessFs::MakeSym
        | AccessFs::MakeFifo
        | AccessFs::MakeSock
        | AccessFs::Refer
}

/// All rights on files.
pub(crate) fn everything() -> BitFlags<AccessFs> {
    AccessFs::from_all(REQUIRED)
}

/// A ruleset that refuses everything but `tcp`, or why the kernel can't.
pub(crate) fn ruleset(tcp: &Tcp) -> Result<RulesetCreated, RulesetError> {
    ruleset_of(REQUIRED, tcp)
}

fn ruleset_of(abi: ABI, tcp: &Tcp) -> Result<RulesetCreated, RulesetError> {
    let none = Vec::new();
    let (net, connect) = match &tcp.connect {
        Connect::None => (AccessNet::from_all(abi), &none),
        Connect::Ports(ports) => (AccessNet::from_all(abi), ports),
        // There is no rule for all ports; what is not handled is not refused.
        Connect::Any => (AccessNet::from_all(abi) & !AccessNet::ConnectTcp, &none),
    };
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(net)?
        .scope(Scope::from_all(abi))?
        .create()?;
    for port in &tcp.bind {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    for port in connect {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(ruleset)
}

/// Child: adds a rule. The current root is the sandbox's, and the child still the host's
/// root without ids: it finds what the owner of the image and of the folders has laid there.
pub(crate) fn allow(ruleset: &mut RulesetCreated, rule: &Rule) -> Result<(), Errno> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let path: OwnedFd = open(rule.path.as_c_str(), flags, Mode::empty())?;
    let mode = SFlag::from_bits_truncate(fstat(&path)?.st_mode);
    let rights = match mode & SFlag::S_IFMT == SFlag::S_IFDIR {
        true => rule.rights,
        // The kernel refuses rights that only a directory can have.
        false => rule.rights & AccessFs::from_file(REQUIRED),
    };
    ruleset
        .add_rule(PathBeneath::new(path, rights))
        .map_err(|e| errno(&e))?;
    Ok(())
}

/// Child: restricts this process. ENOSYS when not all of it is in force.
pub(crate) fn enforce(ruleset: RulesetCreated) -> Result<(), Errno> {
    let no_new_privileges = kept(Protection::NoNewPrivileges);
    let ruleset = ruleset.no_new_privs(no_new_privileges);
    let status = ruleset.restrict_self().map_err(|e| errno(&e))?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        _ => Err(Errno::ENOSYS),
    }
}

/// The system's error below one of the crate's.
fn errno(error: &RulesetError) -> Errno {
    let mut at: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = at {
        let io = error.downcast_ref::<std::io::Error>();
        if let Some(code) = io.and_then(std::io::Error::raw_os_error) {
            return Errno::from_raw(code);
        }
        at = error.source();
    }
    Errno::ENOSYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_that_the_kernel_lacks_is_an_error_and_not_left_out() {
        // No kernel that these tests run on has ABI 9 yet; 6.18 has 7.
        let error = ruleset_of(ABI::V9, &Tcp::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("incompatible") || error.contains("partially"),
            "{error}"
        );
    }
}
