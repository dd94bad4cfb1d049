//! Ends of connections for parsers that want a socket: the other end has said all it
//! will say.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Longer than any of these takes; a parser that waits for more than was said hangs
/// no test.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection over loopback: the end for the code of ours, and the other one.
///
/// # Panics
/// When the machine has no loopback, or no port left.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    static LISTENER: OnceLock<Mutex<TcpListener>> = OnceLock::new();
    let listen = || Mutex::new(TcpListener::bind("127.0.0.1:0").expect("a port"));
    // Others connect at the same time when tests are threads.
    let listener = LISTENER.get_or_init(listen).lock();
    let listener = listener.unwrap_or_else(PoisonError::into_inner);
    let address = listener.local_addr().expect("its address");
    let ours = TcpStream::connect(address).expect("a connection");
    let (theirs, _) = listener.accept().expect("its other end");
    for end in [&ours, &theirs] {
        end.set_read_timeout(Some(PATIENCE)).expect("a limit");
        end.set_write_timeout(Some(PATIENCE)).expect("a limit");
    }
    (ours, theirs)
}

/// A connection whose other end has said `words` and nothing more.
pub(crate) fn said(words: &[u8]) -> (TcpStream, TcpStream) {
    let (ours, mut theirs) = pair();
    // The kernel keeps what a fuzzer's longest input has.
    theirs.write_all(words).expect("room");
    theirs.shutdown(Shutdown::Write).expect("half an end");
    (ours, theirs)
}

/// All that came to this end until the other one was closed.
pub(crate) fn heard(mut end: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // One that was closed with bytes unread resets; what came before it counts.
    end.read_to_end(&mut bytes).ok();
    bytes
}
