//! PID 1: from the kernel's first process to a running supervisor, and from
//! there to the power switch. One thread; no YAML, no argument, no network.
//!
//! [`init::plan`] lists the steps up to the supervisor, `machine` carries them
//! out, `watch` is the loop for the rest of the uptime and `shutdown` the end.
//! Whatever goes wrong ends in a restart: this program never gives up the box.

mod children;
mod groups;
mod machine;
mod shutdown;
mod watch;

use init::plan::{self, Fault, Machine};
use machine::TheBox;

fn main() {
    let mut the_box = TheBox::new();
    match plan::carry_out(&mut the_box) {
        Ok(()) => {
            let ending = watch::supervise(&mut the_box);
            shutdown::end(&mut the_box, ending)
        }
        Err(Fault::CardRefused) => {
            the_box.say("the card was refused, see above; waiting for the power to go off");
            let power = the_box.wait_for_power_signal();
            shutdown::end(&mut the_box, watch::Ending::Asked(power))
        }
        Err(Fault::Interrupted(power)) => shutdown::end(&mut the_box, watch::Ending::Asked(power)),
        Err(Fault::Broken(reason)) => shutdown::end(&mut the_box, watch::Ending::Emergency(reason)),
    }
}
