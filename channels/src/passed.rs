//! Descriptors that the supervisor passes at the start, found by name:
//! sd_listen_fds(3). They are numbered from 3; `LISTEN_FDS` counts them,
//! `LISTEN_FDNAMES` names them, and `LISTEN_PID` is the pid that they are for.

use std::collections::BTreeMap;
use std::env;
use std::os::fd::{OwnedFd, RawFd};

mod sys;

/// The number of the first one.
pub const FIRST: RawFd = 3;

/// Why the descriptors could not be found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassedError {
    /// A variable is missing or unreadable.
    #[error("{0} is not set as sd_listen_fds(3) says; the supervisor starts this program")]
    Variable(&'static str),
    /// They are for another process.
    #[error("LISTEN_PID is for process {0}, not for this one")]
    OtherProcess(String),
    /// There are not as many names as descriptors, or one name comes twice.
    #[error("LISTEN_FDNAMES has not exactly one name for each of {0} descriptors")]
    Names(usize),
    /// A descriptor is not open.
    #[error("descriptor {number} ({name}) is not open")]
    NotOpen {
        /// Its name.
        name: String,
        /// Its number.
        number: RawFd,
    },
    /// Two callers want the same descriptors, or somebody asks twice.
    #[error("the passed descriptors were taken already")]
    Taken,
    /// No descriptor of this name was passed.
    #[error("no descriptor named {0} was passed")]
    Missing(String),
}

/// The passed descriptors that nobody has taken yet.
#[derive(Debug)]
pub struct Passed {
    by_name: BTreeMap<String, OwnedFd>,
}

impl Passed {
    /// Takes ownership of all of them, once in a process's life.
    ///
    /// # Errors
    /// When the variables are not as the supervisor sets them, or on a second call.
    pub fn take_all() -> Result<Self, PassedError> {
        let names = names(|key| env::var(key).ok(), &std::process::id().to_string())?;
        let fds = sys::own_once(FIRST, names.len()).ok_or(PassedError::Taken)?;
        let mut by_name = BTreeMap::new();
        for (offset, (name, fd)) in names.into_iter().zip(fds).enumerate() {
            let number = FIRST + offset as RawFd;
            let fd = fd.ok_or_else(|| PassedError::NotOpen {
                name: name.clone(),
                number,
            })?;
            by_name.insert(name, fd);
        }
        Ok(Self { by_name })
    }

    /// The one named `name`, close-on-exec from now on.
    ///
    /// # Errors
    /// When there is none, or it was taken.
    pub fn take(&mut self, name: &str) -> Result<OwnedFd, PassedError> {
        self.by_name
            .remove(name)
            .ok_or_else(|| PassedError::Missing(name.to_owned()))
    }
}

/// The names, in the order of the descriptors.
fn names(
    variable: impl Fn(&str) -> Option<String>,
    own_pid: &str,
) -> Result<Vec<String>, PassedError> {
    let get = |key: &'static str| variable(key).ok_or(PassedError::Variable(key));
    let pid = get("LISTEN_PID")?;
    if pid != own_pid {
        return Err(PassedError::OtherProcess(pid));
    }
    let count: usize = get("LISTEN_FDS")?
        .parse()
        .ok()
        .filter(|count| *count <= 64)
        .ok_or(PassedError::Variable("LISTEN_FDS"))?;
    let mut names: Vec<String> = get("LISTEN_FDNAMES")?
        .split(':')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let mut distinct = names.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if names.len() != count || distinct.len() != count {
        return Err(PassedError::Names(count));
    }
    names.shrink_to_fit();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(pid: &str, fds: &str, names: &str) -> Result<Vec<String>, PassedError> {
        let (pid, fds, list) = (pid.to_owned(), fds.to_owned(), names.to_owned());
        super::names(
            move |key| match key {
                "LISTEN_PID" => Some(pid.clone()),
                "LISTEN_FDS" => Some(fds.clone()),
                "LISTEN_FDNAMES" => Some(list.clone()),
                _ => None,
            },
            "1",
        )
    }

    #[test]
    fn each_descriptor_has_its_own_name() {
        assert_eq!(
            names_of("1", "2", "dns:deliver").unwrap(),
            ["dns", "deliver"]
        );
        for (fds, names) in [("2", "dns"), ("1", "dns:deliver"), ("2", "dns:dns")] {
            let count = fds.parse().unwrap();
            assert_eq!(names_of("1", fds, names), Err(PassedError::Names(count)));
        }
    }

    #[test]
    fn descriptors_for_another_process_are_left_alone() {
        assert_eq!(
            names_of("7", "1", "dns"),
            Err(PassedError::OtherProcess("7".into()))
        );
    }

    #[test]
    fn a_count_that_is_none_is_refused() {
        for fds in ["", "-1", "many", "65"] {
            assert_eq!(
                names_of("1", fds, "dns"),
                Err(PassedError::Variable("LISTEN_FDS"))
            );
        }
    }
}
