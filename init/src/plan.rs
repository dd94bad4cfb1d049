//! What PID 1 does until the supervisor runs, as a list, and nothing else.
//!
//! Each step prints its line before it begins; the lines on the console are
//! therefore the transcript that the boot tests compare, and the last line of
//! a box that hangs names the step. No line holds a time or a process id.

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The kernel's file systems: /dev, /proc, /sys, /run, /sys/fs/cgroup.
    Mounts,
    /// The modules of the initramfs; the watchdogs come first, and the
    /// watchdog starts as soon as its device appears.
    Modules,
    /// `/early`: the card prepared, the system image verified at /sysroot.
    Card,
    /// The system image becomes the root.
    Root,
    /// Control groups for the supervisor and its services.
    Groups,
    /// The supervisor starts.
    Supervisor,
}

/// The order.
pub const PLAN: [Step; 6] = [
    Step::Mounts,
    Step::Modules,
    Step::Card,
    Step::Root,
    Step::Groups,
    Step::Supervisor,
];

impl Step {
    /// What the console shows.
    pub const fn line(self) -> &'static str {
        match self {
            Self::Mounts => "mounting /dev, /proc, /sys, /run",
            Self::Modules => "loading modules",
            Self::Card => "preparing the card and the system image",
            Self::Root => "changing to the system image",
            Self::Groups => "making control groups",
            Self::Supervisor => "starting the supervisor",
        }
    }
}

/// Why a step failed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// `early` explained on the console why this card cannot be used.
    #[error("the card was refused")]
    CardRefused,
    /// Someone asked for the power to go off, or the box to restart, meanwhile.
    #[error("interrupted")]
    Interrupted(crate::power::Power),
    /// Nothing to do but to start again.
    #[error("{0}")]
    Broken(String),
}

/// Who carries out steps: the box, or a test.
pub trait Machine {
    /// Shows a line.
    fn say(&mut self, line: &str);
    /// Carries out a step.
    ///
    /// # Errors
    /// The step failed; the plan ends.
    fn perform(&mut self, step: Step) -> Result<(), Fault>;
}

/// Carries out the plan up to its end or its first fault.
///
/// # Errors
/// The first fault.
pub fn carry_out(machine: &mut dyn Machine) -> Result<(), Fault> {
    for step in PLAN {
        machine.say(step.line());
        machine.perform(step)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        transcript: String,
        fails: Option<Step>,
    }

    impl Machine for Fake {
        fn say(&mut self, line: &str) {
            self.transcript += &format!("init: {line}\n");
        }
        fn perform(&mut self, step: Step) -> Result<(), Fault> {
            self.transcript += &format!("  {step:?}\n");
            if self.fails == Some(step) {
                Err(Fault::CardRefused)
            } else {
                Ok(())
            }
        }
    }

    #[test]
    fn the_steps_come_in_this_order_and_each_is_said_before_it_begins() {
        let mut fake = Fake {
            transcript: String::new(),
            fails: None,
        };
        assert_eq!(carry_out(&mut fake), Ok(()));
        let golden = "\
init: mounting /dev, /proc, /sys, /run
  Mounts
init: loading modules
  Modules
init: preparing the card and the system image
  Card
init: changing to the system image
  Root
init: making control groups
  Groups
init: starting the supervisor
  Supervisor
";
        assert_eq!(fake.transcript, golden);
    }

    #[test]
    fn nothing_follows_a_step_that_failed() {
        let mut fake = Fake {
            transcript: String::new(),
            fails: Some(Step::Card),
        };
        assert_eq!(carry_out(&mut fake), Err(Fault::CardRefused));
        assert!(
            fake.transcript
                .ends_with("init: preparing the card and the system image\n  Card\n")
        );
    }
}
