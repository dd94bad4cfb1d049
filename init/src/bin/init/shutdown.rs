//! The end of the box, in order and bounded: no step waits without a deadline,
//! and everything that may hang in the kernel (sync, umount) runs in a child.
//!
//! The watchdog stays armed throughout, so what hangs here ends in a reset.

use crate::machine::TheBox;
use crate::watch::Ending;
use crate::{children, groups};
use control::pid1::STOP;
use init::plan::Machine;
use init::power::{self, Power};
use init::sys;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{MsgFlags, send};
use nix::unistd::{Pid, sync};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// How long the supervisor may take to stop its services and close the disk.
const SUPERVISOR_STOPS: Duration = Duration::from_secs(20);
const AFTER_SIGTERM: Duration = Duration::from_secs(2);
const AFTER_SIGKILL: Duration = Duration::from_secs(2);
/// How long a slow card may take to write everything back.
const WRITE_BACK: Duration = Duration::from_secs(60);
/// How long the reason stays readable, and a slowing of endless restarts.
const READ_THE_REASON: Duration = Duration::from_secs(5);

/// Ends the box.
pub fn end(the_box: &mut TheBox, ending: Ending) -> ! {
    let power = match ending {
        Ending::Asked(power) => {
            the_box.say("stopping the supervisor");
            stop_supervisor(the_box);
            power
        }
        Ending::Emergency(reason) => {
            the_box.say(&format!("emergency: {reason}"));
            groups::kill(groups::SERVICES);
            groups::kill(groups::SUPERVISOR);
            let until = the_box.now() + READ_THE_REASON;
            wait(the_box, until, |_| false);
            Power::Restart
        }
    };
    the_box.say("stopping every process");
    stop_everyone(the_box);
    the_box.say("writing back and unmounting");
    write_back(the_box);
    the_box.say(match power {
        Power::Restart => "restarting",
        Power::Off => "power off",
    });
    the_box.feed();
    power::end(power)
}

fn stop_supervisor(the_box: &mut TheBox) {
    let Some(supervisor) = the_box.supervisor.take() else {
        return;
    };
    if let Some(link) = &supervisor.link {
        send(
            link.as_raw_fd(),
            &[STOP],
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
        )
        .ok();
    }
    let until = the_box.now() + SUPERVISOR_STOPS;
    let stopped = wait(the_box, until, |reaped| {
        reaped.dead.contains(&supervisor.pid)
    });
    if !stopped {
        the_box.say("the supervisor did not stop within 20 s");
    }
}

/// SIGTERM for all, then SIGKILL for those who are left.
fn stop_everyone(the_box: &mut TheBox) {
    // kill(2): -1 is everyone but the caller and kernel threads.
    let everyone = Pid::from_raw(-1);
    for (signal, patience) in [
        (Signal::SIGTERM, AFTER_SIGTERM),
        (Signal::SIGKILL, AFTER_SIGKILL),
    ] {
        if kill(everyone, signal).is_err() {
            // ESRCH: there is nobody.
            break;
        }
        let until = the_box.now() + patience;
        if wait(the_box, until, |reaped| !reaped.anyone_left) {
            break;
        }
    }
    children::reap();
}

/// sync, then unmount in reverse order what holds data, in a child.
fn write_back(the_box: &mut TheBox) {
    let worker = sys::in_child(|| {
        sync();
        let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for place in to_unmount(&table) {
            if umount2(place.as_str(), MntFlags::empty()).is_err() {
                // In use, as the card below the system image is: no more writes, then.
                let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
                mount(
                    None::<&str>,
                    place.as_str(),
                    None::<&str>,
                    read_only,
                    None::<&str>,
                )
                .ok();
            }
        }
        sync();
        0
    });
    let Ok(worker) = worker else {
        return;
    };
    let until = the_box.now() + WRITE_BACK;
    if !wait(the_box, until, |reaped| reaped.dead.contains(&worker)) {
        the_box.say("the card did not answer within 60 s");
    }
}

/// The mount points of `/proc/self/mounts` that lie on a device, the last
/// mounted first, without the root.
fn to_unmount(table: &str) -> Vec<String> {
    table
        .lines()
        .rev()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (source, place) = (fields.next()?, fields.next()?);
            (source.starts_with("/dev/") && place != "/").then(|| unescaped(place))
        })
        .collect()
}

/// `\040` and the like become the byte they stand for (proc(5)).
fn unescaped(place: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(place.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Who ended, and whether any child is left.
struct Reaped {
    dead: Vec<Pid>,
    anyone_left: bool,
}

/// Feeds the watchdog and reaps until `done` or `until`; says which.
fn wait(the_box: &mut TheBox, until: Duration, done: impl Fn(&Reaped) -> bool) -> bool {
    loop {
        the_box.feed();
        // A second wish changes nothing; reading it keeps poll from spinning.
        the_box.power_signal();
        let (ended, anyone_left) = children::reap();
        let dead = ended.into_iter().map(|ended| ended.pid).collect();
        if done(&Reaped { dead, anyone_left }) {
            return true;
        }
        let left = until.saturating_sub(the_box.now());
        if left.is_zero() {
            return false;
        }
        the_box.wait(left.min(Duration::from_secs(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_on_a_device_is_unmounted_and_the_last_first() {
        let table = "\
/dev/dm-0 / squashfs ro 0 0
devtmpfs /dev devtmpfs rw 0 0
/dev/vda1 /run/card vfat ro 0 0
tmpfs /run tmpfs rw 0 0
/dev/mapper/data /data ext4 rw 0 0
/dev/loop1 /run/my\\040app squashfs ro 0 0
";
        assert_eq!(to_unmount(table), ["/run/my app", "/data", "/run/card"]);
    }
}
