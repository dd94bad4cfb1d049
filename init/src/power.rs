//! Off or again: reboot(2), and never a return.

use nix::sys::reboot::{RebootMode, reboot, set_cad_enabled};
use std::time::Duration;

/// How the box ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Starts again.
    Restart,
    /// Switches off. A board that cannot do so halts.
    Off,
}

/// Ctrl-Alt-Del becomes SIGINT for PID 1 instead of an instant reset.
pub fn ask_before_restart() {
    // A refusal (in a container) leaves the kernel's own behaviour: harmless.
    set_cad_enabled(false).ok();
}

/// Ends the machine. The caller has synced and unmounted.
pub fn end(power: Power) -> ! {
    let mode = match power {
        Power::Restart => RebootMode::RB_AUTOBOOT,
        Power::Off => RebootMode::RB_POWER_OFF,
    };
    loop {
        // Returns only on failure. The watchdog is armed and no longer fed.
        reboot(mode).ok();
        std::thread::sleep(Duration::from_secs(1));
    }
}
