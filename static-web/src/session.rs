//! The connection from its handshake to its end.

use crate::answer::{self, Status, look_up};
use crate::request::{self, Head, Method};
use rustls::{ServerConnection, StreamOwned};
use site::Table;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};
use tls_server::Timed;

/// All that the program can reach, but for the table.
pub struct Channels {
    /// The stranger.
    pub connection: TcpStream,
    /// The signer of TLS handshakes.
    pub tls_sign: UnixStream,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Silence of the stranger.
    pub idle: Duration,
    /// Handshake, request and answer together.
    pub session: Duration,
    /// An answer of the signer.
    pub signer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(10),
            session: Duration::from_secs(20),
            signer: Duration::from_secs(10),
        }
    }
}

/// How long is waited for a stranger to take the answer and close.
const LINGER: Duration = Duration::from_secs(2);
/// And how much is read meanwhile that nobody looks at, in bytes.
const UNREAD: usize = 64 << 10;

/// Serves the connection and returns its line for the log: the peer and the number that
/// it was answered with, nothing that was said. `folder` has the table.
pub fn run(channels: Channels, folder: &Path, limits: Limits) -> String {
    let peer = match channels.connection.peer_addr() {
        Ok(address) => address.ip().to_canonical(),
        Err(error) => return format!("no peer: {error}"),
    };
    // Before anything is read from the stranger.
    let table = Table::read(folder);
    let table = table.inspect_err(|error| eprintln!("static-web: {error}"));
    match serve(channels, table.ok().as_ref(), limits) {
        Ok(how) => format!("{peer}: {how}"),
        Err(error) => format!("{peer}: connection ended: {}", error.kind()),
    }
}

fn serve(channels: Channels, table: Option<&Table>, limits: Limits) -> io::Result<String> {
    let tls_sign = channels.tls_sign;
    tls_sign.set_read_timeout(Some(limits.signer))?;
    tls_sign.set_write_timeout(Some(limits.signer))?;
    let Some(config) = tls_server::config(tls_sign) else {
        return Ok("no answer from the signer".to_owned());
    };
    let mut plain = Timed {
        socket: channels.connection,
        idle: limits.idle,
        deadline: Instant::now() + limits.session,
        farewell: LINGER,
    };
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut plain)?;
    }
    let sni = connection.server_name().map(str::to_owned);
    let mut stream = StreamOwned::new(connection, plain);
    let (method, found) = match head(&mut stream)? {
        Ok(asked) => (asked.method, look_up(table, sni.as_deref(), &asked)),
        Err(status) => (Method::Get, Err(status)),
    };
    let status = found.err().unwrap_or(Status::Found);
    stream.write_all(&answer::bytes(found, method, SystemTime::now()))?;
    stream.conn.send_close_notify();
    stream.flush()?;
    linger(stream.sock);
    Ok(status.code().to_string())
}

/// Reads the request's head.
fn head(stream: &mut impl Read) -> io::Result<Result<request::Request, Status>> {
    let mut bytes = Vec::new();
    loop {
        match request::read(&bytes) {
            Head::Whole(asked) => return Ok(Ok(asked)),
            Head::Refused(status) => return Ok(Err(status)),
            Head::Partial => {}
        }
        let mut piece = [0; 2048];
        let room = piece.len().min(request::MOST - bytes.len());
        match stream.read(&mut piece[..room]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Who has said nothing is told nothing (RFC 9110 section 15.5.9).
            Err(error) if is_timeout(&error) && !bytes.is_empty() => return Ok(Err(Status::Slow)),
            Err(error) => return Err(error),
        }
    }
}

/// Lets the stranger have the answer before the connection goes: closed with bytes
/// unread, it would be reset, and the answer lost (RFC 9112 section 9.6).
fn linger(mut timed: Timed) {
    timed.idle = LINGER;
    timed.deadline = Instant::now() + LINGER;
    let (mut bytes, mut read) = ([0; 4096], 0);
    // All of it fails only when the stranger has gone already.
    timed.socket.shutdown(Shutdown::Write).ok();
    while let Ok(more @ 1..) = timed.read(&mut bytes) {
        read += more;
        if read > UNREAD {
            return;
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}
