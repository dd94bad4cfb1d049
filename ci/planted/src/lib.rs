//! The attacker's code of the test "planted exploits": what somebody does who
//! found a fault in smtp-in's parser and runs in it, with the message.
//!
//! smtp-in's feature `planted`, which no product has (xtask's tidy rule, and the
//! image builder, which looks for [`MARKER`]), runs [`serve`] once a message with
//! [`TRIGGER`] in its header was read. The attacker then types orders over the
//! connection on which the message came, since that is what there is to type
//! on, and reads one line of answer to each:
//!
//! ```text
//! > read /mail/10000/Maildir/new/1.a /host/mail/…
//! < ENOENT
//! > memory planted-secret-
//! < found planted-secret-own-0123456789abcdef
//! ```
//!
//! An answer is the name of the error, `did …` or `found …` (a program that ran
//! out of its policy answers nothing, as it is dead). Whether something was got is
//! not for the attacker to say: the test looks (`xtask/src/exploits`).
//!
//! Nothing here harms a machine on which it succeeds: it reads what the test
//! put there, makes empty files, maps memory, sleeps. Limits: addresses and pids
//! that an attacker would have to guess are told by the test, so no randomness of
//! the kernel's is counted as a protection.

mod orders;
mod scan;
mod sys;

pub use channels::tls_sign::{from_hex, to_hex as hex};
use nix::errno::Errno;
use std::io;

/// Is in every program that was built with this in it.
pub const MARKER: &str = "built with ci/planted, for tests alone";
/// The field of a message's header that runs it.
pub const TRIGGER: &str = "X-Planted: parser";
/// The same for the plugin of SpamAssassin; the order follows.
pub const PLUGIN_TRIGGER: &str = "X-Planted-Plugin:";
/// What a process or thread that wants to stay is called.
pub const STAYS: &str = "planted-stays";
/// What a file that is to stay is called.
pub const FILE: &str = "planted-was-here";
/// The key of the shared memory that is to stay (shmget(2)).
pub const SHARED_MEMORY: i32 = 0x706c_616e;
/// How long what stays does so, in seconds.
pub const STAYS_FOR: u64 = 3;
/// The most bytes that are read of what was reached.
pub const MOST: usize = 512;
/// The plugin's file.
pub const PLUGIN: &str = include_str!("../perl/Planted.pm");

/// The attacker's line.
pub trait Line {
    /// The next order; `None` when the attacker has gone.
    fn hear(&mut self) -> Option<String>;
    /// Answers.
    ///
    /// # Errors
    /// When the attacker has gone.
    fn say(&mut self, words: &str) -> io::Result<()>;
}

/// Whether the message is the attacker's.
pub fn is_meant(message: &[u8]) -> bool {
    let lines = message.split(|byte| *byte == b'\n');
    let mut header = lines
        .map(<[u8]>::trim_ascii_end)
        .take_while(|line| !line.is_empty());
    header.any(|line| line == TRIGGER.as_bytes())
}

/// Does what the attacker says until the attacker has gone.
///
/// # Errors
/// When an answer can't be said.
pub fn serve(message: &[u8], line: &mut impl Line) -> io::Result<()> {
    // Or the linker would leave it out.
    let marker = std::hint::black_box(MARKER);
    let name = std::env::args().nth(1 + 1).unwrap_or_default();
    line.say(&format!("299 {marker}: {name}"))?;
    while let Some(order) = line.hear() {
        let answer = orders::carry_out(&order, message);
        line.say(&format!("299 {}", answer.unwrap_or_else(name_of)))?;
    }
    Ok(())
}

fn name_of(error: io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => format!("{:?}", Errno::from_raw(number)),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Typed(Vec<&'static str>, Vec<String>);

    impl Line for Typed {
        fn hear(&mut self) -> Option<String> {
            (!self.0.is_empty()).then(|| self.0.remove(0).to_owned())
        }

        fn say(&mut self, words: &str) -> io::Result<()> {
            self.1.push(words.to_owned());
            Ok(())
        }
    }

    fn answers(message: &[u8], orders: Vec<&'static str>) -> Vec<String> {
        let mut typed = Typed(orders, Vec::new());
        serve(message, &mut typed).unwrap();
        assert!(typed.1.remove(0).contains(MARKER));
        typed.1
    }

    #[test]
    fn only_a_header_field_of_its_own_runs_it() {
        assert!(is_meant(b"A: b\r\nX-Planted: parser\r\n\r\nbody\r\n"));
        for no in [
            &b"A: b\r\n\r\nX-Planted: parser\r\n"[..],
            b"X-Planted: parsers\r\n\r\n",
            b"",
        ] {
            assert!(!is_meant(no));
        }
    }

    #[test]
    fn its_own_message_is_found_in_its_own_memory_and_no_other() {
        let message = [&b"planted-secret-"[..], b"own-0123456789abcdef\r\n"].concat();
        let said = answers(&message, vec!["memory planted-secret-"]);
        assert_eq!(said, ["299 found planted-secret-own-0123456789abcdef"]);
    }

    #[test]
    fn without_a_sandbox_it_gets_what_it_asks_for() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let orders: Vec<&'static str> = vec![
            String::leak(format!("read /nonexistent {path}")),
            "listen 127.0.0.1:0",
            "executable",
            String::leak(format!("signal {}", std::process::id())),
            "nonsense",
        ];
        let said = answers(b"", orders);
        let wanted = ["did 616263", "did", "did", "did", "unknown order"];
        assert_eq!(said, wanted.map(|words| format!("299 {words}")));
    }
}
