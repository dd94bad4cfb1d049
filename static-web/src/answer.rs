//! The answer: a text of the table, or a number and nothing else.

use crate::request::{Method, Request};
use site::Table;
use site::table::Shown;
use std::time::SystemTime;

/// What an answer begins with (RFC 9110 section 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Here it is.
    Found,
    /// Not HTTP, or said in two ways.
    Bad,
    /// The name is known and shows nothing there.
    NotFound,
    /// Neither GET nor HEAD.
    Method,
    /// The head did not come in time.
    Slow,
    /// The name is none of the box's, or not the one that TLS was begun for.
    OtherName,
    /// The head is longer than any that is needed.
    TooLarge,
    /// There is no table now.
    NoTable,
    /// Another HTTP than 1.0 and 1.1.
    Version,
}

impl Status {
    /// The number.
    pub fn code(self) -> u16 {
        match self {
            Self::Found => 200,
            Self::Bad => 400,
            Self::NotFound => 404,
            Self::Method => 405,
            Self::Slow => 408,
            Self::OtherName => 421,
            Self::TooLarge => 431,
            Self::NoTable => 503,
            Self::Version => 505,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Found => "OK",
            Self::Bad => "Bad Request",
            Self::NotFound => "Not Found",
            Self::Method => "Method Not Allowed",
            Self::Slow => "Request Timeout",
            Self::OtherName => "Misdirected Request",
            Self::TooLarge => "Request Header Fields Too Large",
            Self::NoTable => "Service Unavailable",
            Self::Version => "HTTP Version Not Supported",
        }
    }

    /// A field that says what would be better.
    fn advice(self) -> &'static str {
        match self {
            Self::Method => "Allow: GET, HEAD\r\n",
            Self::NoTable => "Retry-After: 600\r\n",
            _ => "",
        }
    }
}

/// Looks a request up. `table` is `None` when it could not be read; `sni` is the name
/// that TLS was begun for, if the client said one (RFC 6066 section 3).
///
/// # Errors
/// The number to answer with instead.
pub fn look_up<'a>(
    table: Option<&'a Table>,
    sni: Option<&str>,
    request: &Request,
) -> Result<&'a Shown, Status> {
    let table = table.ok_or(Status::NoTable)?;
    // RFC 9110 section 7.4: a request that came by way of another name is refused.
    if sni.is_some_and(|sni| !sni.eq_ignore_ascii_case(&request.host)) {
        return Err(Status::OtherName);
    }
    let paths = table.hosts.get(&request.host).ok_or(Status::OtherName)?;
    paths.get(&request.path).ok_or(Status::NotFound)
}

/// An answer as it is sent, without its text for [`Method::Head`]. Nothing of the
/// request is in it.
pub fn bytes(found: Result<&Shown, Status>, method: Method, now: SystemTime) -> Vec<u8> {
    let (status, text) = match found {
        Ok(shown) => (Status::Found, shown.text.as_str()),
        Err(status) => (status, ""),
    };
    let kind = found.map_or(String::new(), |shown| {
        format!(
            "Content-Type: {}\r\nX-Content-Type-Options: nosniff\r\n",
            shown.kind.media_type()
        )
    });
    let mut answer = format!(
        "HTTP/1.1 {} {}\r\nDate: {}\r\n{kind}{}Content-Length: {}\r\nConnection: close\r\n\r\n",
        status.code(),
        status.words(),
        httpdate::fmt_http_date(now),
        status.advice(),
        text.len(),
    );
    if method == Method::Get {
        answer.push_str(text);
    }
    answer.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use site::sts;
    use std::time::{Duration, UNIX_EPOCH};

    fn asked(host: &str, path: &str) -> Request {
        Request {
            method: Method::Get,
            host: host.into(),
            path: path.into(),
        }
    }

    #[test]
    fn only_the_exact_name_and_path_show_a_text() {
        let table = Table::of("box.home.example", ["home.example"]);
        let host = "mta-sts.home.example";
        let look = |sni, request: &Request| look_up(Some(&table), sni, request).map(|_| ());
        for sni in [None, Some(host), Some("MTA-STS.home.example")] {
            assert_eq!(look(sni, &asked(host, sts::PATH)), Ok(()));
        }
        for path in [
            "/",
            "",
            "/.well-known/",
            "/.well-known/mta-sts.txt?",
            "//.well-known/mta-sts.txt",
            "/.well-known/../.well-known/mta-sts.txt",
            "/web/site.json",
            "/%2ewell-known/mta-sts.txt",
            "/.well-known/MTA-STS.txt",
        ] {
            assert_eq!(
                look(None, &asked(host, path)),
                Err(Status::NotFound),
                "{path}"
            );
        }
        for other in [
            "home.example",
            "box.home.example",
            "128.66.0.25",
            "",
            "mta-sts.home.example:8443",
        ] {
            let found = look(None, &asked(other, sts::PATH));
            assert_eq!(found, Err(Status::OtherName), "{other}");
        }
        let found = look(Some("box.home.example"), &asked(host, sts::PATH));
        assert_eq!(found, Err(Status::OtherName));
        let found = look_up(None, None, &asked(host, sts::PATH));
        assert_eq!(found, Err(Status::NoTable));
    }

    #[test]
    fn an_answer_has_its_length_its_kind_and_its_end() {
        let table = Table::of("box.home.example", ["home.example"]);
        let shown = table.shown("mta-sts.home.example", sts::PATH).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let text = |found, method| String::from_utf8(bytes(found, method, now)).unwrap();
        let head = text(Ok(shown), Method::Head);
        assert_eq!(
            head,
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 71\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(text(Ok(shown), Method::Get), head + &shown.text);
        assert_eq!(shown.text.len(), 71);
        assert_eq!(
            text(Err(Status::Method), Method::Get),
            "HTTP/1.1 405 Method Not Allowed\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nAllow: GET, HEAD\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
}
