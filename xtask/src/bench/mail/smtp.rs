//! Sends one message over a connection of its own, as mail servers do: greeting,
//! EHLO, STARTTLS, EHLO, MAIL, RCPT, DATA, the answer (RFC 5321, RFC 3207); or as mail
//! programs do: TLS from the start and a login (RFC 8314, RFC 4954).
//!
//! The certificate is not looked at, since both sides sign their own; what TLS
//! costs a server is the same. Each command waits for the answer to the one
//! before (no pipelining, RFC 2920), and no TLS session is resumed.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, sockopt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For how long a server may be silent: under emulation a long message is
/// scanned for a minute, and others may be scanned at the same time.
const SILENCE: Duration = Duration::from_secs(300);

/// Between whom messages are sent.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// The address to send from, one of this host's.
    pub from: Ipv4Addr,
    /// The name that the client says at EHLO.
    pub helo: &'a str,
    /// The server.
    pub to: SocketAddrV4,
    /// The envelope's sender.
    pub sender: &'a str,
    /// The envelope's recipient.
    pub recipient: &'a str,
}

/// Sends `message` (lines end with CR LF, the last one too) and returns the time
/// from the start of the connection to the `250` for it. Any other answer is an
/// error that holds it.
pub fn send(route: &Route, message: &[u8]) -> Result<Duration> {
    Ok(send_timed(route, message)?.whole)
}

/// How long one message took.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// From the start of the connection to `250`.
    pub whole: Duration,
    /// From MAIL to `250`.
    pub since_mail: Duration,
}

/// As [`send`], with the time since MAIL as well.
pub fn send_timed(route: &Route, message: &[u8]) -> Result<Taken> {
    let begun = Instant::now();
    let mut plain = BufReader::new(connect(route)?);
    let hello = format!("EHLO {}", route.helo);
    expect(&mut plain, "220").context("greeting")?;
    command(&mut plain, &hello, "250")?;
    command(&mut plain, "STARTTLS", "220")?;
    ensure!(plain.buffer().is_empty(), "the server spoke before TLS");
    let name = ServerName::try_from("mail.home.example")?;
    let connection = ClientConnection::new(Arc::new(tls()?), name)?;
    let mut wire = BufReader::new(StreamOwned::new(connection, plain.into_inner()));
    command(&mut wire, &hello, "250")?;
    let mail = Instant::now();
    hand_over(&mut wire, route.sender, route.recipient, message)?;
    let taken = Taken {
        whole: begun.elapsed(),
        since_mail: mail.elapsed(),
    };
    // The message is the server's now, whatever becomes of the goodbye.
    let _ = command(&mut wire, "QUIT", "221");
    Ok(taken)
}

/// Who sends to whom, by a mail program.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// The server, with TLS from the start.
    pub to: SocketAddrV4,
    /// The address, which is the name at login and the envelope's sender.
    pub address: &'a str,
    /// The password.
    pub password: &'a str,
    /// The envelope's recipient.
    pub recipient: &'a str,
}

/// Sends `message` as a mail program does and returns the time from the start of the
/// connection to the `250` for it. Any other answer is an error that holds it.
pub fn submit(login: &Login, message: &[u8]) -> Result<Duration> {
    let begun = Instant::now();
    let stream = TcpStream::connect(login.to).with_context(|| login.to.to_string())?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let name = ServerName::try_from("mail.home.example")?;
    let connection = ClientConnection::new(Arc::new(tls()?), name)?;
    let mut wire = BufReader::new(StreamOwned::new(connection, stream));
    expect(&mut wire, "220").context("greeting")?;
    command(&mut wire, "EHLO [192.168.77.1]", "250")?;
    let secret = format!("\0{}\0{}", login.address, login.password);
    let secret = base64::engine::general_purpose::STANDARD.encode(secret);
    write!(wire.get_mut(), "AUTH PLAIN {secret}\r\n")?;
    wire.get_mut().flush()?;
    expect(&mut wire, "235").context("AUTH PLAIN")?;
    hand_over(&mut wire, login.address, login.recipient, message)?;
    let taken = begun.elapsed();
    // As above.
    let _ = command(&mut wire, "QUIT", "221");
    Ok(taken)
}

fn hand_over<S: Read + Write>(
    wire: &mut BufReader<S>,
    sender: &str,
    recipient: &str,
    message: &[u8],
) -> Result<()> {
    command(wire, &format!("MAIL FROM:<{sender}>"), "250")?;
    command(wire, &format!("RCPT TO:<{recipient}>"), "250")?;
    command(wire, "DATA", "354")?;
    wire.get_mut().write_all(&stuffed(message))?;
    wire.get_mut().flush()?;
    expect(wire, "250").context("the answer to the message")
}

/// A connection to the server, from the route's address.
pub fn connect(route: &Route) -> Result<TcpStream> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    let from = SockaddrIn::from(SocketAddrV4::new(route.from, 0));
    socket::bind(socket.as_raw_fd(), &from).with_context(|| route.from.to_string())?;
    // Commands are short, and none shall wait for the answer to a packet before it.
    socket::setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    let to = SockaddrIn::from(route.to);
    socket::connect(socket.as_raw_fd(), &to).with_context(|| route.to.to_string())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    Ok(stream)
}

/// Says a line and reads the reply to it, which begins with `code`.
pub fn command<S: Read + Write>(wire: &mut BufReader<S>, line: &str, code: &str) -> Result<()> {
    write!(wire.get_mut(), "{line}\r\n")
        .and_then(|()| wire.get_mut().flush())
        .with_context(|| line.to_owned())?;
    expect(wire, code).with_context(|| line.to_owned())
}

/// Reads one reply of any number of lines (RFC 5321 section 4.2.1).
pub fn expect(wire: &mut impl BufRead, code: &str) -> Result<()> {
    loop {
        let mut line = String::new();
        ensure!(wire.read_line(&mut line)? > 0, "the connection was closed");
        ensure!(line.starts_with(code), "{}", line.trim_end());
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}

/// The message as it goes over the wire (RFC 5321 section 4.5.2).
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

/// A client that takes any certificate.
pub fn tls() -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Takes any certificate, but only from who has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_begins_with_a_dot_gets_another_and_the_end_is_a_dot() {
        assert_eq!(stuffed(b"a\r\n.\r\n..b\r\n"), b"a\r\n..\r\n...b\r\n.\r\n");
    }

    #[test]
    fn a_reply_of_many_lines_is_read_to_its_last() {
        let mut wire = &b"250-one\r\n250-two\r\n250 three\r\n354 next\r\n"[..];
        expect(&mut wire, "250").unwrap();
        assert_eq!(wire, b"354 next\r\n");
    }

    #[test]
    fn another_code_is_an_error_that_holds_the_answer() {
        let error = expect(&mut &b"451 4.3.0 Later\r\n"[..], "250").unwrap_err();
        assert_eq!(error.to_string(), "451 4.3.0 Later");
        let error = expect(&mut &b""[..], "250").unwrap_err();
        assert_eq!(error.to_string(), "the connection was closed");
    }
}
