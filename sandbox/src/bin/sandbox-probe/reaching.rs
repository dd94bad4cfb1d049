//! What can be reached over the sandbox's own network.

use std::io::{self as stdio, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};

use crate::{io, say};

/// The ports that the tests ask about.
pub fn ports() {
    for port in [25, 26, 2525, 2526] {
        say(
            &format!("bind {port}"),
            io(TcpListener::bind(("127.0.0.1", port))),
        );
    }
    for port in [25, 80, 2525] {
        say(
            &format!("connect {port}"),
            io(TcpStream::connect(("127.0.0.1", port))),
        );
    }
    say("connect ::1", io(TcpStream::connect("[::1]:80")));
    say("bind udp 53", io(UdpSocket::bind("127.0.0.1:53")));
    let datagram = UdpSocket::bind("127.0.0.1:0").and_then(|s| {
        let to_itself = s.local_addr()?;
        s.send_to(b"x", to_itself)
    });
    say("datagram", io(datagram));
}

/// Answers one connection to port 2525.
pub fn serve() {
    let listener = TcpListener::bind("127.0.0.1:2525");
    println!("listening={}", listener.is_ok());
    let answered = listener
        .and_then(|l| l.accept())
        .and_then(|(mut stream, _)| stream.write_all(b"from inside\n"));
    say("answered", io(answered));
}

/// Connects to port 4000 once a byte comes on standard input.
pub fn dial() {
    say("told", io(stdio::stdin().read_exact(&mut [0])));
    let mut text = String::new();
    let dialled = TcpStream::connect("127.0.0.1:4000");
    say(
        "dialled",
        io(dialled.and_then(|mut s| s.read_to_string(&mut text))),
    );
    println!("heard={text}");
}
