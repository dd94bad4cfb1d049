//! The parent's part in the start.

use std::cell::Cell;
use std::fs;
use std::io;

use nix::unistd::Pid;
use sandbox::{Exit, User, spawn_prepared};

use crate::spec;

#[test]
fn prepare_runs_when_namespaces_and_ids_are_there_and_the_program_is_not() {
    let mut spec = spec(Some("exit"));
    spec.user = User::Range {
        outside: 300_000,
        count: 10,
        run_as: 5,
    };
    let ran = Cell::new(false);
    let prepare = |pid: Pid| {
        let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/net"));
        assert_ne!(namespace(&pid.to_string())?, namespace("self")?);
        let map = fs::read_to_string(format!("/proc/{pid}/uid_map"))?;
        assert!(map.contains("300000"), "{map}");
        // Still a copy of this process.
        let program = |of: &str| fs::read_link(format!("/proc/{of}/exe"));
        assert_eq!(program(&pid.to_string())?, program("self")?);
        ran.set(true);
        Ok(())
    };
    let mut child = spawn_prepared(&spec, vec![], prepare).unwrap();
    assert!(ran.get());
    assert_eq!(child.wait().unwrap(), Exit::Code(7));
}

#[test]
fn an_error_of_prepare_stops_the_start_and_leaves_no_process() {
    let pid = Cell::new(0);
    let prepare = |of: Pid| {
        pid.set(of.as_raw());
        Err(io::Error::other("the veth is gone"))
    };
    let error = spawn_prepared(&spec(Some("exit")), vec![], prepare).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sandbox probe: step \"prepare\": the veth is gone"
    );
    assert!(fs::metadata(format!("/proc/{}", pid.get())).is_err());
}
