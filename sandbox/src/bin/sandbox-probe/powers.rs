//! What a root of its own ids can do, and what becomes of its capabilities.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl::set_keepcaps;
use nix::unistd::{Gid, Uid, chroot, execve, getgroups, setgid, setgroups, setuid};

use crate::{io, say, say_capabilities};

/// One deed for each capability that a sandbox can have, in `/scratch`.
pub fn deeds() {
    println!("uid={}", Uid::current());
    say_capabilities();
    let (file, closed) = ("/scratch/file", "/scratch/closed");
    say("make", io(fs::write(file, "x")));
    say("chown", io(chown(file, Some(7), Some(7))));
    // Mode 000 also stops an owner.
    let made = fs::write(closed, "x")
        .and_then(|()| fs::set_permissions(closed, fs::Permissions::from_mode(0o0)));
    say("close", io(made));
    say("read closed", io(fs::read(closed)));
    say("bind 80", io(TcpListener::bind("127.0.0.1:80")));
    // It ends with its pid 1, when it can't be killed.
    let other = Command::new("/probe").arg("sleep").uid(8).gid(8).spawn();
    say("kill", io(other.and_then(|mut other| other.kill())));
    say(
        "setgroups",
        setgroups(&[Gid::from_raw(5), Gid::from_raw(6)]),
    );
    println!("groups={:?}", getgroups().map(|g| g.len()));
    say("setgid", setgid(Gid::from_raw(8)));
    say("chroot", chroot("/scratch"));
    say("setuid 10", setuid(Uid::from_raw(10)));
    say("setuid", setuid(Uid::from_raw(8)));
}

/// As root, executes itself to show what it has then.
pub fn again() {
    say("again", execute_itself());
}

/// Tries to keep its capabilities while it becomes another user.
pub fn become_another() {
    say("keep capabilities", set_keepcaps(true));
    say("setuid", setuid(Uid::from_raw(8)));
    say("setuid back", setuid(Uid::from_raw(0)));
    say_capabilities();
    say("again", execute_itself());
}

/// What the program finds that [`again`] executes.
pub fn after() {
    println!("then uid={}", Uid::current());
    say_capabilities();
}

fn execute_itself() -> Result<(), Errno> {
    let (path, none): (_, [&std::ffi::CStr; 0]) = (c"/probe", []);
    execve(path, &[path, c"after"], &none).map(drop)
}
