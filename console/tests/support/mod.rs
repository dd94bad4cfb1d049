//! A console in this process, a pretended supervisor at the other end of its control
//! stream, and a browser that says what the test wants.

pub mod tls;

use console::{Assets, Listeners, serve};
use control::{Disk, Refusal, Reply, Request, Status, wire};
use serde_json::Value;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A running console. `requests` gets what the supervisor was asked, but for
/// Status; it answers with what the test puts into `replies`.
pub struct Box {
    pub address: SocketAddr,
    /// Of TLS.
    pub tls_address: SocketAddr,
    /// What the supervisor was told of the certificate.
    pub certificate: Receiver<String>,
    pub requests: Receiver<Request>,
    pub replies: Sender<Reply>,
    pub ended: Receiver<String>,
}

impl Box {
    pub fn start(disk: Disk) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (request_in, requests) = channel();
        let (replies, reply_out) = channel();
        let (certificate_in, certificate) = channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(&theirs);
            while let Ok(request) = wire::read(&mut reader) {
                let reply = match request {
                    Request::Status => Reply::Status(Status {
                        disk,
                        setup_code_needed: true,
                        claimable: true,
                        retry_after: 0,
                        recovery_key: true,
                        reset_code: None,
                        reset_asked: false,
                        name: "attic".into(),
                        damage: Vec::new(),
                    }),
                    Request::PageCertificate { sha256 } => {
                        let _ = certificate_in.send(sha256);
                        Reply::Done
                    }
                    other => {
                        request_in.send(other).unwrap();
                        // The end of the test is the end of the supervisor.
                        let Ok(reply) = reply_out.recv() else { return };
                        reply
                    }
                };
                wire::write(&mut &theirs, &reply).unwrap();
            }
        });
        let (address_in, address) = channel();
        let (ended_in, ended) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            ours.set_nonblocking(true).unwrap();
            runtime.block_on(async {
                let bind = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let (page, tls) = (bind().await, bind().await);
                let address = |socket: &tokio::net::TcpListener| socket.local_addr().unwrap();
                address_in.send((address(&page), address(&tls))).unwrap();
                let control = tokio::net::UnixStream::from_std(ours).unwrap();
                let nacl = "/* nacl */".into();
                let listeners = Listeners { page, tls };
                let why = serve(control, listeners, Assets { nacl }).await;
                let _ = ended_in.send(why.to_string());
            });
        });
        let (address, tls_address) = address.recv().unwrap();
        Self {
            address,
            tls_address,
            certificate,
            requests,
            replies,
            ended,
        }
    }

    /// Sends a request and does not wait for the answer.
    pub fn begin(&self, head: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        let length = body.len();
        let head = format!("{head}\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        stream
    }

    pub fn begin_post(&self, path: &str, body: &Value) -> TcpStream {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: projectx.local\r\nContent-Type: application/json"
        );
        self.begin(&head, body.to_string().as_bytes())
    }

    pub fn send(&self, head: &str, body: &[u8]) -> Response {
        Response::read(self.begin(head, body))
    }

    pub fn get(&self, path: &str) -> Response {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: projectx.local"), b"")
    }

    pub fn post_with(&self, path: &str, headers: &str, body: &[u8]) -> Response {
        let head = format!("POST {path} HTTP/1.1\r\nHost: projectx.local\r\n{headers}");
        self.send(&head, body)
    }

    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.post_with(
            path,
            "Content-Type: application/json",
            body.to_string().as_bytes(),
        )
    }

    /// A token and the public key, as the page carries them.
    pub fn page(&self) -> (String, String) {
        let page = self.get("/").body;
        let value = |name| {
            let (_, rest) = page.split_once(&format!(" {name}=\"")).unwrap();
            rest.split_once('"').unwrap().0.to_owned()
        };
        (value("data-token"), value("data-key"))
    }

    pub fn asked_nothing(&self) -> bool {
        self.requests
            .recv_timeout(Duration::from_millis(200))
            .is_err()
    }
}

pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn read(mut stream: impl Read) -> Self {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub fn refused(refusal: Refusal, retry_after: u64) -> Reply {
    Reply::Refused {
        refusal,
        words: "Words for a person.".into(),
        retry_after,
    }
}
