//! Asks Dovecot whether a login is somebody's: version 1 of its protocol for
//! clients of `auth`, as Postfix and Exim speak it (doc.dovecot.org, "Dovecot
//! Authentication Protocol"). Lines of words, separated by tabs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};

/// The longest line, and the most lines that Dovecot may say before an answer.
const MAX_LINE: usize = 8 << 10;
const MOST_LINES: usize = 100;

/// Somebody whose password was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The address that is the login name, in lower case.
    pub user: String,
    /// Every address that the person may send from, the first among them.
    pub addresses: Vec<String>,
}

impl Login {
    /// Whether mail from `address` is this person's.
    pub fn owns(&self, address: &str) -> bool {
        let mut own = self.addresses.iter();
        own.any(|own| own.eq_ignore_ascii_case(address))
    }
}

/// The conversation with Dovecot.
#[derive(Debug)]
pub struct Sasl {
    stream: TcpStream,
    greeted: bool,
    number: u32,
}

impl Sasl {
    /// Over a stream that is connected to Dovecot's listener.
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            greeted: false,
            number: 0,
        }
    }

    /// Whether this login is somebody's; `None` when it is nobody's, or the
    /// password is wrong.
    ///
    /// # Errors
    /// When Dovecot does not say.
    pub fn check(&mut self, peer: IpAddr, user: &str, password: &str) -> io::Result<Option<Login>> {
        // They go into one base64 text, where a NUL ends each (RFC 4616).
        if user.is_empty() || [user, password].iter().any(|text| text.contains('\0')) {
            return Ok(None);
        }
        if !self.greeted {
            self.stream.write_all(b"VERSION\t1\t2\nCPID\t1\n")?;
            self.until(|words| match words {
                ["VERSION", "1", ..] => None,
                ["VERSION", ..] => Some(Err(io::Error::from(ErrorKind::InvalidData))),
                ["DONE"] => Some(Ok(())),
                _ => None,
            })??;
            self.greeted = true;
        }
        self.number += 1;
        let number = self.number.to_string();
        let response = STANDARD.encode(format!("\0{user}\0{password}"));
        let question = format!(
            "AUTH\t{number}\tPLAIN\tservice=submission\tsecured\tno-penalty\trip={peer}\tresp={response}\n"
        );
        self.stream.write_all(question.as_bytes())?;
        self.until(|words| match words {
            ["OK", id, fields @ ..] if *id == number => Some(login(fields)),
            ["FAIL", id, fields @ ..] if *id == number => Some(match fields.contains(&"temp") {
                true => Err(io::Error::other("a fault of Dovecot's")),
                false => Ok(None),
            }),
            // PLAIN needs no further word.
            ["CONT", ..] => Some(Err(ErrorKind::InvalidData.into())),
            _ => None,
        })?
    }

    /// Reads lines until `wanted` has found what it looks for.
    fn until<T>(&mut self, wanted: impl Fn(&[&str]) -> Option<T>) -> io::Result<T> {
        for _ in 0..MOST_LINES {
            let line = self.line()?;
            let words: Vec<&str> = line.split('\t').collect();
            if let Some(found) = wanted(&words) {
                return Ok(found);
            }
        }
        Err(ErrorKind::InvalidData.into())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            match self.stream.read(&mut byte)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                _ if byte[0] == b'\n' => break,
                _ if line.len() == MAX_LINE => return Err(ErrorKind::InvalidData.into()),
                _ => line.push(byte[0]),
            }
        }
        String::from_utf8(line).map_err(|_| ErrorKind::InvalidData.into())
    }
}

/// What the fields of an OK say; without a name it is nobody's. `addresses` comes
/// from the list of people, where somebody has more than one.
fn login(fields: &[&str]) -> io::Result<Option<Login>> {
    let field = |name: &str| {
        let mut found = fields.iter().filter_map(|field| field.strip_prefix(name));
        found.find_map(|rest| rest.strip_prefix('='))
    };
    let user = field("user").ok_or(ErrorKind::InvalidData)?;
    let user = user.to_ascii_lowercase();
    let more = field("addresses").unwrap_or_default().split(',');
    let more = more.filter(|address| !address.is_empty());
    let addresses = [user.clone()].into_iter();
    let addresses = addresses.chain(more.map(str::to_ascii_lowercase)).collect();
    Ok(Some(Login { user, addresses }))
}

/// What is in a response of PLAIN (RFC 4616): who it is and the password; `None`
/// when it is none, or somebody wants to act for somebody else.
pub fn plain(response: &str) -> Option<(String, String)> {
    let bytes = STANDARD.decode(response).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let [acts_for, user, password] = text.split('\0').collect::<Vec<_>>()[..] else {
        return None;
    };
    let same = acts_for.is_empty() || acts_for == user;
    (same && !user.is_empty()).then(|| (user.to_owned(), password.to_owned()))
}

/// What is in a response of LOGIN: one word.
pub fn word(response: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(response).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn said(greeting: &'static str, answer: &'static str) -> io::Result<Option<Login>> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut dovecot, _) = listener.accept().unwrap();
        dovecot.write_all(greeting.as_bytes()).unwrap();
        dovecot.write_all(answer.as_bytes()).unwrap();
        dovecot.shutdown(std::net::Shutdown::Write).unwrap();
        Sasl::new(stream).check(PEER, "Anna@home.example", "secret")
    }

    #[test]
    fn only_a_whole_ok_for_this_question_is_yes() {
        let greeting = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n";
        let found = said(
            greeting,
            "OK\t1\tuser=Anna@Home.example\taddresses=a@home.example,b@home.example\n",
        );
        let login = found.unwrap().unwrap();
        assert_eq!(login.user, "anna@home.example");
        for own in ["anna@home.example", "A@home.EXAMPLE", "b@home.example"] {
            assert!(login.owns(own), "{own}");
        }
        for other in [
            "",
            "nna@home.example",
            "anna@home.example,a@home.example",
            "anna",
        ] {
            assert!(!login.owns(other), "{other}");
        }
        let wrong = "FAIL\t1\tuser=anna@home.example\n";
        assert_eq!(said(greeting, wrong).unwrap(), None);
        for trouble in [
            "",
            "OK\t1",
            "OK\t1\n",
            "OK\t2\tuser=a\n",
            "FAIL\t1\ttemp\n",
            "CONT\t1\t\n",
        ] {
            assert!(said(greeting, trouble).is_err(), "{trouble:?}");
        }
        for bad in ["VERSION\t2\t0\nDONE\n", "", "nonsense\n"] {
            assert!(said(bad, "OK\t1\tuser=a\n").is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_response_of_plain_has_three_parts_and_is_for_oneself() {
        let of = |text: &str| plain(&STANDARD.encode(text));
        let whole = Some(("anna".to_owned(), "secret".to_owned()));
        assert_eq!(of("\0anna\0secret"), whole);
        assert_eq!(of("anna\0anna\0secret"), whole);
        for bad in [
            "",
            "anna",
            "\0anna",
            "\0\0secret",
            "ben\0anna\0secret",
            "\0a\0b\0c",
        ] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
        assert_eq!(plain("not base64!"), None);
    }
}
