//! The box's own screen (HDMI): where its page is, for an owner who has plugged one in.
//!
//! What stands there is drawn anew when the address, the name or the page's certificate has
//! become another and has stayed so for a while. It goes to the screen alone: the serial
//! console, which is `/dev/console` on a Pi, gets one line of the log.

mod poster;

use crate::{address, hostname, log};
use poster::Poster;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The screen, whichever console is in front (console(4)).
const SCREEN: &str = "/dev/tty0";
/// How long something must have been true: a name may be taken, and avahi then asks for
/// another; an address that comes and goes shall not make the screen flicker.
const HOLDS_FOR: Duration = Duration::from_secs(5);
/// The same for having no address: a router may take a while.
const NO_ADDRESS_FOR: Duration = Duration::from_secs(60);

/// The SHA-256 of the page's certificate as browsers show it; the console in force told it.
static CERTIFICATE: Mutex<Option<String>> = Mutex::new(None);

/// From now on the screen tells this certificate, too: `AB:CD:…`, 32 pairs.
pub fn certificate(pairs: String) {
    *CERTIFICATE.lock().unwrap_or_else(PoisonError::into_inner) = Some(pairs);
}

/// What is on the screen.
pub struct Screen {
    /// What shall be on it, since when, and whether it is.
    poster: Option<(Poster, Instant)>,
    is_drawn: bool,
}

impl Screen {
    /// A screen that nothing has been drawn on.
    pub fn new() -> Self {
        Self {
            poster: None,
            is_drawn: false,
        }
    }

    /// Looks whether there is something new to show, and shows it.
    pub fn keep(&mut self) {
        let now = Poster {
            name: hostname::in_force(),
            address: address::at_home(),
            certificate: CERTIFICATE
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        };
        if let Some(poster) = self.due(now, Instant::now()) {
            if let Some(address) = poster.address {
                let name = &poster.name;
                log::line(&format!(
                    "the page is at http://{name}.local and http://{address}"
                ));
            }
            // A box without a screen has nothing to say there.
            draw(&poster.drawn()).ok();
        }
    }

    /// Takes what is true now; that which has held long enough and is not on the screen.
    fn due(&mut self, now: Poster, time: Instant) -> Option<&Poster> {
        match &self.poster {
            Some((poster, _)) if *poster == now => {}
            _ => {
                self.poster = Some((now, time));
                self.is_drawn = false;
            }
        }
        let (poster, since) = self.poster.as_ref()?;
        let long_enough = match poster.address {
            Some(_) => HOLDS_FOR,
            None => NO_ADDRESS_FOR,
        };
        if self.is_drawn || time.duration_since(*since) < long_enough {
            return None;
        }
        self.is_drawn = true;
        Some(poster)
    }

    /// The page is gone: its address shall not stand there any longer.
    pub fn stop(&self) {
        draw(poster::STOPPING).ok();
    }
}

/// Writes to the screen, which may stand still (somebody pressed Ctrl-S) or not be there.
fn draw(text: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(SCREEN)?
        .write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn poster(name: &str, address: Option<u8>) -> Poster {
        Poster {
            name: name.to_owned(),
            address: address.map(|last| Ipv4Addr::new(192, 168, 77, last)),
            certificate: None,
        }
    }

    #[test]
    fn an_address_that_has_held_is_drawn_once_and_another_anew() {
        let mut screen = Screen::new();
        let start = Instant::now();
        let mut drawn = |seconds, name, address| {
            let now = poster(name, address);
            let due = screen.due(now.clone(), start + Duration::from_secs(seconds));
            due.inspect(|drawn| assert_eq!(**drawn, now)).is_some()
        };
        assert!(!drawn(0, "projectx", Some(9)));
        // The name was another box's.
        assert!(!drawn(3, "projectx-2", Some(9)));
        assert!(!drawn(7, "projectx-2", Some(9)));
        assert!(drawn(8, "projectx-2", Some(9)));
        assert!(!drawn(600, "projectx-2", Some(9)));
        assert!(!drawn(601, "projectx-2", Some(10)));
        assert!(drawn(606, "projectx-2", Some(10)));
    }

    #[test]
    fn a_box_without_an_address_says_so_after_a_minute_only() {
        let mut screen = Screen::new();
        let start = Instant::now();
        let mut drawn = |seconds| {
            let now = poster("projectx", None);
            screen
                .due(now, start + Duration::from_secs(seconds))
                .is_some()
        };
        assert!(!drawn(0));
        assert!(!drawn(59));
        assert!(drawn(60));
        assert!(!drawn(61));
    }

    #[test]
    fn an_address_that_comes_and_goes_is_not_drawn() {
        let mut screen = Screen::new();
        let start = Instant::now();
        for second in 0..300_u64 {
            let address = (second / 4 % 2 == 0).then_some(9);
            let now = poster("projectx", address);
            let due = screen.due(now, start + Duration::from_secs(second));
            assert_eq!(due, None, "at {second} s");
        }
    }
}
