//! The head of a request (RFC 9112 section 3), as httparse cuts it.
//!
//! One connection has one request, so there is no second that somebody could hide in
//! the first; all the same what is said in two ways is refused.

use crate::answer::Status;
use httparse::{EMPTY_HEADER, Error, Header};

/// The longest head, in bytes. A sender of mail needs some 200.
pub const MOST: usize = 8 << 10;
/// The most fields in it.
const FIELDS: usize = 32;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Of which name: in small letters, without the port and a dot at the end.
    pub host: String,
    /// The path with all that stands behind it, as it was sent.
    pub path: String,
}

/// Which methods there are (RFC 9110 section 9.1: these two must be).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The text.
    Get,
    /// The fields alone.
    Head,
}

/// How far the head is.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    /// More is to come.
    Partial,
    /// All of it is there.
    Whole(Request),
    /// It is none that is answered with a text.
    Refused(Status),
}

/// Reads the head that `bytes` begin with.
pub fn read(bytes: &[u8]) -> Head {
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    match parsed.parse(bytes) {
        Ok(status) if status.is_complete() => match whole(&parsed) {
            Ok(request) => Head::Whole(request),
            Err(status) => Head::Refused(status),
        },
        Ok(_) if bytes.len() >= MOST => Head::Refused(Status::TooLarge),
        Ok(_) => Head::Partial,
        Err(Error::TooManyHeaders) => Head::Refused(Status::TooLarge),
        Err(Error::Version) => Head::Refused(Status::Version),
        Err(_) => Head::Refused(Status::Bad),
    }
}

fn whole(parsed: &httparse::Request<'_, '_>) -> Result<Request, Status> {
    let method = match parsed.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => return Err(Status::Method),
    };
    let all = |name: &str| {
        let named = |field: &&Header<'_>| field.name.eq_ignore_ascii_case(name);
        parsed.headers.iter().filter(named).collect::<Vec<_>>()
    };
    // Nothing is uploaded here (RFC 9110 section 9.3.1).
    let lengths = all("content-length");
    let empty = lengths.iter().all(|field| field.value == b"0");
    if !all("transfer-encoding").is_empty() || !empty {
        return Err(Status::Bad);
    }
    // Exactly one, whatever the version (RFC 9112 section 3.2): HTTP/1.0 has names too.
    let hosts = all("host");
    let [host] = hosts.as_slice() else {
        return Err(Status::Bad);
    };
    let host = std::str::from_utf8(host.value).map_err(|_| Status::Bad)?;
    let target = parsed.path.ok_or(Status::Bad)?;
    let (host, path) = match absolute(target) {
        // The target's name counts then (section 3.2.2).
        Some(both) => both,
        None if target.starts_with('/') => (host, target),
        None => return Err(Status::Bad),
    };
    Ok(Request {
        method,
        host: name_of(host),
        path: path.to_owned(),
    })
}

/// Name and path of a target in absolute form.
fn absolute(target: &str) -> Option<(&str, &str)> {
    const SCHEME: &str = "https://";
    let (scheme, rest) = target.split_at_checked(SCHEME.len())?;
    let (name, path) = rest.split_at(rest.find('/')?);
    scheme.eq_ignore_ascii_case(SCHEME).then_some((name, path))
}

/// The name without the port, as the table has it. What is no name is in no table.
fn name_of(host: &str) -> String {
    let host = host.strip_suffix(":443").unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Head {
        read(text.as_bytes())
    }

    fn request(method: Method, host: &str, path: &str) -> Head {
        Head::Whole(Request {
            method,
            host: host.into(),
            path: path.into(),
        })
    }

    #[test]
    fn a_request_is_read_in_each_of_its_forms() {
        for (text, method, path) in [
            (
                "GET /a HTTP/1.1\r\nHost: W.example\r\n\r\n",
                Method::Get,
                "/a",
            ),
            (
                "HEAD /a?b HTTP/1.1\r\nhOST: w.example.:443\r\n\r\n",
                Method::Head,
                "/a?b",
            ),
            (
                "GET /../a HTTP/1.0\r\nHost: w.example\r\nA: b\r\n\r\n",
                Method::Get,
                "/../a",
            ),
            (
                "GET https://w.example/a HTTP/1.1\r\nHost: x.example\r\n\r\n",
                Method::Get,
                "/a",
            ),
            (
                "GET /a HTTP/1.1\r\nHost: w.example\r\nContent-Length: 0\r\n\r\n",
                Method::Get,
                "/a",
            ),
        ] {
            assert_eq!(asked(text), request(method, "w.example", path), "{text}");
            // Until its last byte is there it is none.
            for end in 0..text.len() {
                assert_eq!(asked(&text[..end]), Head::Partial, "{end} of {text}");
            }
        }
    }

    #[test]
    fn what_is_none_is_refused_by_the_right_number() {
        let many = "A: b\r\n".repeat(FIELDS + 1);
        let long = format!("GET /{}", "a".repeat(MOST));
        for (text, status) in [
            ("POST / HTTP/1.1\r\nHost: w\r\n\r\n", Status::Method),
            ("get / HTTP/1.1\r\nHost: w\r\n\r\n", Status::Method),
            ("CONNECT w:443 HTTP/1.1\r\nHost: w\r\n\r\n", Status::Method),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Status::Version),
            ("GET / HTTP/1.1\r\n\r\n", Status::Bad),
            ("GET / HTTP/1.0\r\n\r\n", Status::Bad),
            ("GET / HTTP/1.1\r\nHost: w\r\nHost: x\r\n\r\n", Status::Bad),
            ("GET / HTTP/1.1\r\nHost : w\r\n\r\n", Status::Bad),
            ("GET / HTTP/1.1\r\nHost: w\r\n x\r\n\r\n", Status::Bad),
            ("GET / HTTP/1.1\r\nHost: \u{e4}\u{0}\r\n\r\n", Status::Bad),
            ("GET * HTTP/1.1\r\nHost: w\r\n\r\n", Status::Bad),
            ("GET http://w/ HTTP/1.1\r\nHost: w\r\n\r\n", Status::Bad),
            ("GET https://w HTTP/1.1\r\nHost: w\r\n\r\n", Status::Bad),
            (
                "GET / HTTP/1.1\r\nHost: w\r\nContent-Length: 1\r\n\r\nx",
                Status::Bad,
            ),
            (
                "GET / HTTP/1.1\r\nHost: w\r\nContent-Length: 0, 1\r\n\r\n",
                Status::Bad,
            ),
            (
                "GET / HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: x\r\n\r\n",
                Status::Bad,
            ),
            ("\u{16}\u{3}\u{1}", Status::Bad),
            (&format!("GET / HTTP/1.1\r\n{many}\r\n"), Status::TooLarge),
            (&long, Status::TooLarge),
        ] {
            assert_eq!(asked(text), Head::Refused(status), "{text:.80}");
        }
    }
}
