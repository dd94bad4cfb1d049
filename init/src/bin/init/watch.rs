//! The loop for the rest of the uptime: reap, listen to the supervisor, feed
//! the watchdog while it is healthy, start it again when it dies.

use crate::machine::{TICK, TheBox};
use crate::{children, groups};
use control::pid1::{HEALTHY, POWER_OFF, REBOOT};
use init::health::{Health, Verdict};
use init::plan::Machine;
use init::power::Power;
use init::restart::{Deaths, Next};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Why the loop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// A signal or the supervisor asked for it.
    Asked(Power),
    /// Nothing above PID 1 works any more.
    Emergency(String),
}

/// Supervises until the box is to end.
pub fn supervise(the_box: &mut TheBox) -> Ending {
    let mut deaths = Deaths::default();
    let mut health = Health::started(the_box.now());
    let mut start_at: Option<Duration> = None;
    let mut starving = false;
    loop {
        the_box.wait(TICK);
        if let Some(power) = the_box.power_signal() {
            return Ending::Asked(power);
        }
        if let Some(power) = listen(the_box, &mut health) {
            return Ending::Asked(power);
        }
        if let Some(how) = supervisor_ended(the_box) {
            match deaths.another(the_box.now()) {
                Next::After(pause) => {
                    the_box.say(&format!(
                        "the supervisor ended with {how}; again in {} s",
                        pause.as_secs()
                    ));
                    start_at = Some(the_box.now() + pause);
                }
                Next::GiveUp => {
                    return Ending::Emergency(
                        "the supervisor died 11 times in 5 minutes".to_owned(),
                    );
                }
            }
        }
        if let Some(at) = start_at {
            if the_box.now() >= at {
                the_box.say("starting the supervisor again");
                if let Err(fault) = the_box.start_supervisor() {
                    return Ending::Emergency(fault.to_string());
                }
                health = Health::started(the_box.now());
                start_at = None;
            }
            // Nobody to answer for now: PID 1 itself is in charge of the pause.
            the_box.feed();
            continue;
        }
        let verdict = health.verdict(the_box.now(), the_box.watchdog.is_some());
        match verdict {
            Verdict::Feed => the_box.feed(),
            Verdict::Starve if !starving => {
                the_box.say("the supervisor is silent; the watchdog is no longer fed");
            }
            Verdict::Starve => {}
            Verdict::Emergency => {
                return Ending::Emergency("the supervisor is silent".to_owned());
            }
        }
        starving = verdict == Verdict::Starve;
    }
}

/// Reads everything the supervisor said. Whoever sends anything but one of
/// the three bytes is not listened to.
fn listen(the_box: &mut TheBox, health: &mut Health) -> Option<Power> {
    let now = the_box.now();
    let mut asked = None;
    let mut first_word = false;
    let supervisor = the_box.supervisor.as_mut()?;
    while let Some(link) = &supervisor.link {
        let mut message = [0; 2];
        match recv(link.as_raw_fd(), &mut message, MsgFlags::MSG_DONTWAIT) {
            Ok(1) => match message[0] {
                HEALTHY => first_word |= health.said_healthy(now),
                REBOOT => asked = Some(Power::Restart),
                POWER_OFF => asked = Some(Power::Off),
                _ => {}
            },
            // Closed at the other end: poll would report that for ever.
            Ok(0) => supervisor.link = None,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => break,
            Err(_) => supervisor.link = None,
        }
    }
    if first_word {
        the_box.say("the supervisor is healthy");
    }
    asked
}

/// Reaps; if the supervisor is among the dead, kills what it left behind and
/// says how it ended.
fn supervisor_ended(the_box: &mut TheBox) -> Option<String> {
    let (ended, _) = children::reap();
    let supervisor = the_box.supervisor.as_ref()?.pid;
    let how = ended.into_iter().find(|ended| ended.pid == supervisor)?.how;
    the_box.supervisor = None;
    groups::kill(groups::SERVICES);
    groups::kill(groups::SUPERVISOR);
    Some(how)
}
