//! Signs mail (RFC 6376): of the fields that came it builds the relaxed header and
//! the signature's own field, and signs those and nothing else.

use crate::dkim_keys::{Algorithm, Pair, base64, write_records};
use crate::serve::IDLE;
use channels::dkim_sign::{Reply, Request, answer, read};
use channels::tls_sign::from_hex;
use outbound::settings::Settings;
use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Fields that are signed as often as they stand, and once more, so that nobody
/// can add one (RFC 6376 section 8.15).
const SEALED: [&str; 9] = [
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "MIME-Version",
    "Content-Type",
];
/// Fields that are signed where they stand (section 5.4.1).
const SIGNED: [&str; 5] = [
    "Sender",
    "In-Reply-To",
    "References",
    "Content-Transfer-Encoding",
    "Autocrypt",
];
/// The most fields of a message that are signed.
const MOST: usize = 100;

/// The keys, and which of them are in force.
pub struct Signer {
    keys: PathBuf,
    settings: PathBuf,
    open: Mutex<BTreeMap<(String, u32), Arc<Pair>>>,
}

impl Signer {
    /// With keys in `keys`, and the owner's settings in `settings`.
    pub fn new(keys: &Path, settings: &Path) -> Self {
        Self {
            keys: keys.to_owned(),
            settings: settings.to_owned(),
            open: Mutex::default(),
        }
    }

    /// Makes the keys of all domains that have none, and writes their records down.
    /// Trouble is told on standard error; the next message meets it again.
    pub fn prepare(&self) {
        match Settings::read(&self.settings) {
            Ok(settings) => {
                for domain in &settings.domains {
                    self.pair(&domain.name, domain.dkim);
                }
            }
            Err(error) => eprintln!("dkim: {error}"),
        }
    }

    /// The keys of a domain in force. The next ones are made as well.
    fn pair(&self, domain: &str, number: u32) -> Option<Arc<Pair>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pair) = open.get(&(domain.to_owned(), number)) {
            return Some(Arc::clone(pair));
        }
        let make = || {
            let present = Pair::open(&self.keys, domain, number)?;
            let pairs = [
                present,
                Pair::open(&self.keys, domain, number.saturating_add(1))?,
            ];
            write_records(&self.keys, domain, &pairs)?;
            let [present, _] = pairs;
            Ok(present)
        };
        let made: Result<Pair, crate::keys::KeyError> = make();
        match made {
            Ok(pair) => {
                let pair = Arc::new(pair);
                open.insert((domain.to_owned(), number), Arc::clone(&pair));
                Some(pair)
            }
            Err(error) => {
                eprintln!("dkim: {error}");
                None
            }
        }
    }

    /// The answer to a request.
    pub fn reply(&self, request: &Request) -> Reply {
        match self.signed(request) {
            Some(fields) => Reply::Signed { fields },
            None => Reply::Refused,
        }
    }

    fn signed(&self, request: &Request) -> Option<Vec<String>> {
        let settings = Settings::read(&self.settings);
        let settings = settings.map_err(|error| eprintln!("dkim: {error}")).ok()?;
        let domain = settings.domain(&request.domain)?;
        let pair = self.pair(&domain.name, domain.dkim)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let fields = Algorithm::ALL
            .iter()
            .map(|algorithm| sign(&pair, *algorithm, &domain.name, request, since));
        fields.collect()
    }
}

/// Serves one submission until it ends or says something that is not in the protocol.
pub fn connection(mut stream: UnixStream, signer: &Signer) {
    let timeouts = stream
        .set_read_timeout(Some(IDLE))
        .and_then(|()| stream.set_write_timeout(Some(Duration::from_secs(30))));
    if timeouts.is_err() {
        return;
    }
    while let Ok(Some(request)) = read(&mut stream) {
        if answer(&mut stream, &signer.reply(&request)).is_err() {
            return;
        }
    }
}

/// One field `DKIM-Signature`; `None` when the parts are none of a message.
fn sign(
    pair: &Pair,
    algorithm: Algorithm,
    domain: &str,
    request: &Request,
    since: Duration,
) -> Option<String> {
    let body_hash = from_hex(&request.body_hash).filter(|hash| hash.len() == 32)?;
    let fields = &request.fields;
    let whole = |(name, value): &(String, String)| {
        let name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        name && value.is_ascii() && !value.contains('\0')
    };
    let froms = fields.iter().filter(|(name, _)| is(name, "From")).count();
    if fields.len() > MOST || !fields.iter().all(whole) || froms != 1 {
        return None;
    }
    let (mut names, mut text) = (Vec::new(), String::new());
    for name in SEALED.iter().chain(&SIGNED) {
        // The last one first (section 5.4.2).
        for (_, value) in fields.iter().rev().filter(|(own, _)| is(own, name)) {
            names.push(*name);
            text += &format!("{}:{}\r\n", name.to_ascii_lowercase(), relaxed(value));
        }
        if SEALED.contains(name) {
            names.push(*name);
        }
    }
    let mut value = format!(
        " v=1; a={}; c=relaxed/relaxed; d={domain};\r\n\ts={}; t={}; h={};\r\n\tbh={};\r\n\tb=",
        algorithm.name(),
        pair.selector(algorithm),
        since.as_secs(),
        names.join(":\r\n\t "),
        base64(&body_hash)
    );
    // Its own field comes last, without a line end and with an empty `b=`
    // (section 3.7).
    text += &format!("dkim-signature:{}", relaxed(&value));
    let signature = base64(&pair.sign(algorithm, text.as_bytes())?);
    for (index, piece) in signature.as_bytes().chunks(70).enumerate() {
        if index > 0 {
            value += "\r\n\t ";
        }
        value += &String::from_utf8_lossy(piece);
    }
    Some(format!("DKIM-Signature:{value}\r\n"))
}

fn is(name: &str, wanted: &str) -> bool {
    name.trim_end().eq_ignore_ascii_case(wanted)
}

/// A field's value in its relaxed form (section 3.4.2): unfolded, each run of
/// blanks is one space, none at the ends.
fn relaxed(value: &str) -> String {
    let words = value.split([' ', '\t', '\r', '\n']);
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::relaxed;

    #[test]
    fn the_relaxed_form_is_that_of_the_rfc() {
        // RFC 6376 section 3.4.5.
        assert_eq!(relaxed(" X"), "X");
        assert_eq!(relaxed(" Y\t\r\n\tZ  "), "Y Z");
        assert_eq!(relaxed(""), "");
    }
}
