//! What strangers ask on port 443 (RFC 9112).

use site::Table;
use site::sts::PATH;
use static_web::answer::{Status, bytes, look_up};
use static_web::request::{Head, MOST, Method, read};
use std::time::UNIX_EPOCH;

/// The head that is whole is so with whatever behind it and not before its end; only what
/// stands in the table is shown; and an answer is one of HTTP without a word of the
/// request.
///
/// # Panics
/// When that does not hold.
pub fn request(input: &[u8]) {
    let table = Table::of("box.home.example", ["home.example"]);
    let found = match read(input) {
        Head::Partial => return assert!(input.len() < MOST),
        Head::Refused(status) => {
            assert!(matches!(status.code(), 400..=599), "{status:?}");
            return is_an_answer(&bytes(Err(status), Method::Get, UNIX_EPOCH), 0);
        }
        Head::Whole(request) => request,
    };
    let longer = [input, b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n"].concat();
    assert_eq!(read(&longer), Head::Whole(found.clone()));
    let end = (0..=input.len()).find(|end| matches!(read(&input[..*end]), Head::Whole(_)));
    let end = end.expect("it is whole");
    assert!(input[..end].ends_with(b"\n"));
    assert_eq!(read(&input[..end]), Head::Whole(found.clone()));
    assert!(!found.host.bytes().any(|b| b.is_ascii_uppercase()));

    let shown = look_up(Some(&table), None, &found);
    let is_there = found.host == "mta-sts.home.example" && found.path == PATH;
    assert_eq!(shown.is_ok(), is_there, "{found:?}");
    let length = match (&shown, found.method) {
        (Ok(shown), Method::Get) => shown.text.len(),
        _ => 0,
    };
    is_an_answer(&bytes(shown, found.method, UNIX_EPOCH), length);
    // By way of another name nothing is shown.
    let other = look_up(Some(&table), Some("elsewhere.example"), &found);
    assert!(other.is_err() || found.host == "elsewhere.example");
    assert_eq!(look_up(None, None, &found), Err(Status::NoTable));
}

fn is_an_answer(answer: &[u8], length: usize) {
    let text = std::str::from_utf8(answer).expect("ASCII");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 "), "{head}");
    assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "{head}");
    assert_eq!(body.len(), length);
}
