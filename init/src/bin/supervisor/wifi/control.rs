//! The control socket of wpa_supplicant: one question at a time, never waiting.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};
use wifi_txt::outcome::Watch;
use wifi_txt::says::{self, Event};
use wifi_txt::supplicant::CONTROL;

/// Where wpa_supplicant sends its answers; in a folder that is root's alone.
const ANSWERS: &str = "/run/projectx/wpa-answers";
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// After that a question is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// More than wpa_supplicant ever sends at once (4 KiB).
const LONGEST: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Attach,
    Status,
    Scan,
}

/// A conversation with one running wpa_supplicant.
#[derive(Debug)]
pub struct Control {
    socket: UnixDatagram,
    asked: Option<(Question, Instant)>,
    status_at: Option<Instant>,
    has_scanned: bool,
}

impl Control {
    /// Begins, and asks for events.
    ///
    /// # Errors
    /// There is no such socket yet, or nobody behind it.
    pub fn connect(interface: &str) -> io::Result<Self> {
        Self::between(Path::new(ANSWERS), &Path::new(CONTROL).join(interface))
    }

    fn between(answers: &Path, server: &Path) -> io::Result<Self> {
        fs::remove_file(answers).ok();
        let socket = UnixDatagram::bind(answers)?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        let mut control = Self {
            socket,
            asked: None,
            status_at: None,
            has_scanned: false,
        };
        control.ask(Question::Attach)?;
        Ok(control)
    }

    /// Hands everything that was said to `watch`, then asks what is to be known next.
    ///
    /// # Errors
    /// wpa_supplicant is gone; connect anew.
    pub fn listen(&mut self, watch: &mut Watch, now: Duration) -> io::Result<()> {
        let mut buffer = vec![0; LONGEST];
        loop {
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            let text = String::from_utf8_lossy(&buffer[..length]);
            if let Some(event) = says::event(&text) {
                self.has_scanned |= event == Event::Scanned;
                watch.event(&event);
                continue;
            }
            match self.asked.take() {
                Some((Question::Status, _)) => watch.status(&text, now),
                Some((Question::Scan, _)) => watch.scanned(&text),
                Some((Question::Attach, _)) | None => {}
            }
        }
        match self.asked {
            Some((_, at)) if at.elapsed() < ANSWER_WITHIN => Ok(()),
            _ if self.has_scanned || watch.wants_scan() => {
                self.has_scanned = false;
                self.ask(Question::Scan)
            }
            _ if self.status_at.is_none_or(|at| at.elapsed() >= STATUS_EVERY) => {
                self.status_at = Some(Instant::now());
                self.ask(Question::Status)
            }
            _ => Ok(()),
        }
    }

    fn ask(&mut self, question: Question) -> io::Result<()> {
        let words: &[u8] = match question {
            Question::Attach => b"ATTACH",
            Question::Status => b"STATUS",
            Question::Scan => b"SCAN_RESULTS",
        };
        self.socket.send(words)?;
        self.asked = Some((question, Instant::now()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wifi_txt::outcome::Outcome;
    use wifi_txt::{CardFile, read};

    #[test]
    fn answers_and_events_reach_the_watch_and_a_server_that_is_gone_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (answers, server) = (folder.path().join("answers"), folder.path().join("wlan0"));
        assert!(Control::between(&answers, &server).is_err());
        let supplicant = UnixDatagram::bind(&server).unwrap();
        let file = CardFile {
            name: "wifi.txt".into(),
            bytes: b"country = DE\nnetwork = Home\npassword = 12345678".to_vec(),
        };
        let mut watch = Watch::new(read(&[file]), Duration::ZERO);
        let mut control = Control::between(&answers, &server).unwrap();
        let asked = |answer: &[u8]| {
            let mut buffer = [0; 100];
            let length = supplicant.recv(&mut buffer).unwrap();
            supplicant.send_to(answer, &answers).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        let mut listen = |control: &mut Control| {
            control.listen(&mut watch, Duration::ZERO)?;
            Ok::<_, io::Error>(watch.outcome(Duration::ZERO))
        };
        assert_eq!(asked(b"OK\n"), "ATTACH");
        assert_eq!(listen(&mut control).unwrap(), None);
        assert_eq!(
            asked(b"bssid\n02:00:00:00:01:00\t2437\t-30\t[WPA2-PSK-CCMP]\tHome\n"),
            "SCAN_RESULTS"
        );
        listen(&mut control).unwrap();
        assert_eq!(asked(b"wpa_state=4WAY_HANDSHAKE\n"), "STATUS");
        let wrong = b"<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"Home\" reason=WRONG_KEY";
        supplicant.send_to(wrong, &answers).unwrap();
        let outcome = listen(&mut control).unwrap();
        assert!(
            matches!(outcome, Some(Outcome::Refused { .. })),
            "{outcome:?}"
        );
        drop(supplicant);
        control.status_at = None;
        assert!(listen(&mut control).is_err());
    }
}
