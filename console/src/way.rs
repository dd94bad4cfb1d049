//! How a request came: over plain HTTP or over TLS. What it decides:
//!
//! | | plain HTTP | TLS |
//! | --- | --- | --- |
//! | forms | sealed by the page's script, or not at all | also as forms of HTML |
//! | `form-action` of the pages | `'none'` | `'self'` |
//! | a browser without scripts | is sent to the same page over TLS | finds all it needs |

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use std::convert::Infallible;

/// What a connection is protected by. The server notes it on every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing: whoever is in the home network can listen.
    Clear,
    /// TLS, with this box's own certificate.
    Tls,
}

impl Way {
    /// Scheme and port of the way's origins (RFC 6454).
    pub fn origin(self) -> (&'static str, &'static str) {
        match self {
            Self::Clear => ("http://", ":80"),
            Self::Tls => ("https://", ":443"),
        }
    }
}

/// The way, and the name or address by which the box was found.
#[derive(Debug, Clone)]
pub struct Visit {
    /// How it came.
    pub way: Way,
    host: String,
}

impl Visit {
    /// The same box over TLS, `https://projectx.local` say.
    pub fn https(&self) -> String {
        // Only a colon after the last bracket begins a port (RFC 3986, 3.2.2).
        let bracket = self.host.rfind(']').unwrap_or(0);
        let port = self.host.rfind(':').filter(|colon| *colon > bracket);
        let host = self.host.get(..port.unwrap_or(self.host.len()));
        format!("https://{}", host.unwrap_or_default())
    }
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let host = parts.headers.get(header::HOST);
        Ok(Self {
            way: way_of(&parts.extensions),
            host: host
                .and_then(|host| host.to_str().ok())
                .unwrap_or_default()
                .to_owned(),
        })
    }
}

/// The way that the server noted; without a note nothing protects.
pub fn way_of(extensions: &axum::http::Extensions) -> Way {
    extensions.get::<Way>().copied().unwrap_or(Way::Clear)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_over_tls_keeps_the_name_and_loses_the_port() {
        for (host, https) in [
            ("projectx.local", "https://projectx.local"),
            ("192.168.1.20:80", "https://192.168.1.20"),
            ("[fe80::1]", "https://[fe80::1]"),
            ("[fe80::1]:80", "https://[fe80::1]"),
        ] {
            let (way, host) = (Way::Clear, host.to_owned());
            assert_eq!(Visit { way, host }.https(), https);
        }
    }

    #[test]
    fn a_request_without_a_note_came_in_the_clear() {
        assert_eq!(way_of(&axum::http::Extensions::new()), Way::Clear);
    }
}
