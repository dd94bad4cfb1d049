//! How long what is made before it is needed may be used, and what does not answer
//! may be waited for.

use std::time::Duration;

/// The lives of zygotes and of sets of sandboxes, and of ports that lead nowhere. The
/// box has the default; tests have shorter ones, since no test waits for an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lives {
    /// The longest life of a zygote. The next one loads while it still serves.
    pub zygote: Duration,
    /// The most children of a zygote: all of them share its memory layout and its
    /// hash seed.
    pub children: u32,
    /// The longest that a set of sandboxes lies ready.
    pub set: Duration,
    /// How long something may not answer before the ports that lead to it close. A
    /// sender whose connection is refused tries again later.
    pub silence: Duration,
}

impl Default for Lives {
    /// An hour, 300 children, ten minutes, half a minute.
    fn default() -> Self {
        Self {
            zygote: Duration::from_secs(3600),
            children: 300,
            set: Duration::from_secs(10 * 60),
            silence: Duration::from_secs(30),
        }
    }
}
