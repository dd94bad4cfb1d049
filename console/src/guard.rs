//! Who may ask at all, and the headers on every answer.
//!
//! Another site's page in the owner's browser may send requests here. It is
//! kept out three times: by the `Host` header (a name of its own that it
//! rebinds to our address does not match, and gets 421, RFC 9110 section
//! 15.5.20), by `Origin` and `Sec-Fetch-Site`, and by the token that it
//! cannot read (`tokens.rs`).

use crate::routes::{Console, typed};
use crate::way::{Way, way_of};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Over plain HTTP no form goes anywhere, whatever the page says.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                   connect-src 'self'; form-action 'none'; base-uri 'none'; \
                   frame-ancestors 'none'";
const CSP_OVER_TLS: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                            connect-src 'self'; form-action 'self'; base-uri 'none'; \
                            frame-ancestors 'none'";

/// Checks a request before any page sees it, and dresses the answer.
pub async fn guard(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let csp = match way_of(request.extensions()) {
        Way::Clear => CSP,
        Way::Tls => CSP_OVER_TLS,
    };
    let mut response = match refusal(&request, &console.supervisor.name()) {
        Some((status, words)) => typed(status, "text/plain; charset=utf-8", words),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, csp),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With `no-referrer` a browser's own forms say `Origin: null` (Fetch, "append
        // a request Origin header").
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    response
}

fn refusal(request: &Request, name: &str) -> Option<(StatusCode, String)> {
    let headers = request.headers();
    let way = way_of(request.extensions());
    let Some(host) = only(headers, header::HOST).filter(|host| host_is_ours(host, name)) else {
        return Some((
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "This box answers to its own name only. Open http://{name}.local or the \
                 address that your router shows for it.\n"
            ),
        ));
    };
    let foreign_origin = headers.contains_key(header::ORIGIN)
        && !only(headers, header::ORIGIN).is_some_and(|origin| is_origin_of(origin, host, way));
    // A link on another page may lead here; only reading the page is allowed
    // then, and the other page cannot see the answer.
    let foreign_site = request.method() != Method::GET || request.uri().path() == "/status";
    let foreign_site = foreign_site
        && headers
            .get_all("sec-fetch-site")
            .iter()
            .any(|site| site != "same-origin" && site != "none");
    (foreign_origin || foreign_site).then_some((
        StatusCode::FORBIDDEN,
        "This request came from the page of another site. Open the page of the box itself.\n"
            .to_owned(),
    ))
}

/// The value of a header that is there exactly once and is plain text.
fn only(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// `projectx.local`, `<name>.local`, either with the `-2` that mDNS appends
/// when a name is taken, or an address; each with or without a port.
fn host_is_ours(host: &str, name: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest
            .split_once(']')
            .is_some_and(|(address, port)| address.parse::<Ipv6Addr>().is_ok() && is_port(port));
    }
    let (host, port) = host.split_at(host.find(':').unwrap_or(host.len()));
    is_port(port)
        && (host.parse::<Ipv4Addr>().is_ok()
            || is_local_name(host, "projectx")
            || is_local_name(host, name))
}

fn is_local_name(host: &str, name: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let Some(number) = host
        .strip_suffix(".local")
        .and_then(|host| host.strip_prefix(&name.to_ascii_lowercase()))
    else {
        return false;
    };
    number.is_empty()
        || number.strip_prefix('-').is_some_and(|digits| {
            (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
        })
}

/// Nothing, or a colon and a port number.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| {
            port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
        })
}

fn is_origin_of(origin: &str, host: &str, way: Way) -> bool {
    let (scheme, port) = way.origin();
    let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    origin
        .strip_prefix(scheme)
        .is_some_and(|origin| bare(origin) == bare(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_answers_to_its_names_and_to_addresses() {
        for host in [
            "projectx.local",
            "Projectx.Local:80",
            "projectx-2.local",
            "attic.local",
            "attic-13.local:8080",
            "192.168.1.20",
            "127.0.0.1:8080",
            "[fe80::1]",
            "[::1]:80",
        ] {
            assert!(host_is_ours(host, "attic"), "{host}");
        }
    }

    #[test]
    fn the_box_does_not_answer_to_any_other_name() {
        for host in [
            "",
            "localhost",
            "example.org",
            "projectx.local.example.org",
            "xprojectx.local",
            "projectx-.local",
            "projectx-two.local",
            "projectx.local.",
            "projectx.local:",
            "projectx.local:+80",
            "projectx.local:99999",
            "projectx.local@example.org",
            "192.168.1",
            "0x7f000001",
            "[::1",
            "[::1]example.org",
            "::1",
            "[192.168.1.1]",
        ] {
            assert!(!host_is_ours(host, "attic"), "{host}");
        }
    }

    #[test]
    fn an_origin_is_compared_with_scheme_and_port() {
        let name = "projectx.local";
        for (origin, host, way) in [
            ("http://projectx.local", "projectx.local:80", Way::Clear),
            ("http://127.0.0.1:81", "127.0.0.1:81", Way::Clear),
            ("https://projectx.local", "projectx.local:443", Way::Tls),
            ("https://127.0.0.1:81", "127.0.0.1:81", Way::Tls),
        ] {
            assert!(is_origin_of(origin, host, way), "{origin}");
        }
        for (origin, way) in [
            ("null", Way::Clear),
            ("null", Way::Tls),
            ("https://projectx.local", Way::Clear),
            ("http://projectx.local", Way::Tls),
            ("https://projectx.local:80", Way::Tls),
            ("http://projectx.local:81", Way::Clear),
            ("http://a", Way::Clear),
        ] {
            assert!(!is_origin_of(origin, name, way), "{origin}");
        }
    }
}
