//! The same browser over TLS.

use super::{Box, Response};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    SupportedProtocolVersion, version,
};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// A connection; the certificate is taken as it comes.
pub type Stream = StreamOwned<ClientConnection, TcpStream>;

impl Box {
    /// A connection by this version of TLS.
    pub fn connect_tls(&self, version: &'static SupportedProtocolVersion) -> Stream {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        let name = ServerName::try_from("projectx.local").unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(self.tls_address).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        StreamOwned::new(client, stream)
    }

    /// Sends a request over TLS.
    pub fn send_tls(&self, head: &str, body: &[u8]) -> Response {
        let mut stream = self.connect_tls(&version::TLS13);
        let head = format!("{head}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        Response::read(stream)
    }

    /// Loads a page over TLS.
    pub fn get_tls(&self, path: &str) -> Response {
        let head = format!("GET {path} HTTP/1.1\r\nHost: projectx.local");
        self.send_tls(&head, b"")
    }

    /// Sends a form as a browser does.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.form_with(path, "Origin: https://projectx.local", fields)
    }

    /// With these headers besides.
    pub fn form_with(&self, path: &str, headers: &str, fields: &[(&str, &str)]) -> Response {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: projectx.local\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n{headers}"
        );
        self.send_tls(&head, encoded(fields).as_bytes())
    }
}

/// `application/x-www-form-urlencoded`, every byte of a value but letters and digits
/// as `%XX`.
pub fn encoded(fields: &[(&str, &str)]) -> String {
    let escaped = |text: &str| {
        let one = |byte: u8| match byte {
            b' ' => "+".to_owned(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(one).collect::<String>()
    };
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", escaped(value)))
        .collect();
    pairs.join("&")
}

/// The value of a hidden field.
pub fn hidden(page: &str, name: &str) -> String {
    let start = format!("<input type=\"hidden\" name=\"{name}\" value=\"");
    let (_, rest) = page
        .split_once(&start)
        .unwrap_or_else(|| panic!("{name}: {page}"));
    rest.split_once('"').unwrap().0.to_owned()
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
