//! The console in its sandbox: an empty network, a root that holds the program
//! and one script, the listening sockets of ports 80 and 443 and the link to us.

use crate::control_server::Office;
use crate::log;
use init::console_sandbox;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Kept for the life of the supervisor: between two consoles a phone's
/// connection waits in the queue and is not refused.
pub struct Console {
    office: Arc<Office>,
    /// Of [`PORTS`], in that order.
    listeners: Option<[TcpListener; 2]>,
    running: Option<sandbox::Child>,
    next_start: Instant,
    next_look: Instant,
    silent: u32,
    announced: bool,
}

/// Plain HTTP, and TLS.
const PORTS: [u16; 2] = [80, 443];
/// How often a running console is asked for its page, and how often in a row
/// it may not answer before it is replaced.
const LOOK: Duration = Duration::from_secs(20);
const PATIENCE: u32 = 3;

impl Console {
    /// Nothing runs yet.
    pub fn new(office: Arc<Office>) -> Self {
        Self {
            office,
            listeners: None,
            running: None,
            next_start: Instant::now(),
            next_look: Instant::now(),
            silent: 0,
            announced: false,
        }
    }

    /// Starts it when it does not run, at most once in 2 seconds.
    pub fn keep_running(&mut self) {
        if let Some(child) = &mut self.running {
            match child.try_wait() {
                Ok(None) if self.silent < PATIENCE => return,
                Ok(None) => {
                    log::line("console: does not answer; started anew");
                    // A console that was taken over may have closed a socket
                    // that all consoles share (shutdown(2)).
                    self.listeners = None;
                }
                ended => log::line(&format!("console: ended ({ended:?})")),
            }
            self.running = None;
            self.silent = 0;
        }
        if Instant::now() < self.next_start {
            return;
        }
        self.next_start = Instant::now() + Duration::from_secs(2);
        match self.start() {
            Ok(child) => self.running = Some(child),
            Err(error) => log::line(&format!("console: not started: {error}")),
        }
    }

    /// Whether the page has answered since the supervisor started; says so once
    /// on the serial console, and goes on looking.
    pub fn answers(&mut self) -> bool {
        if self.running.is_none() || self.announced && Instant::now() < self.next_look {
            return self.announced;
        }
        self.next_look = Instant::now() + LOOK;
        let [page, tls] = PORTS.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        if page_answers(page) && listens(tls) {
            self.silent = 0;
            if !self.announced {
                log::line("page ready");
            }
            self.announced = true;
        } else if self.announced {
            self.silent += 1;
        }
        self.announced
    }

    /// Ends it and everything in its sandbox.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().ok();
            child.wait().ok();
            log::line("console: stopped");
        }
    }

    fn start(&mut self) -> Result<sandbox::Child, Box<dyn std::error::Error>> {
        let listeners = match self.listeners.take() {
            Some(listeners) => listeners,
            None => [bind(PORTS[0])?, bind(PORTS[1])?],
        };
        let [page, tls] = self.listeners.insert(listeners);
        let (page, tls) = (page.try_clone()?, tls.try_clone()?);
        page.set_nonblocking(true)?;
        tls.set_nonblocking(true)?;
        let (ours, theirs) = UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        let fds: Vec<(OwnedFd, i32)> = vec![
            (theirs.into(), console_sandbox::LINK),
            (page.into(), console_sandbox::LISTENER),
            (tls.into(), console_sandbox::TLS_LISTENER),
        ];
        let child = sandbox::spawn(&console_sandbox::spec()?, fds)?;
        let office = Arc::clone(&self.office);
        std::thread::Builder::new()
            .name("control".into())
            .spawn(move || office.serve(ours))?;
        log::line("console: started");
        Ok(child)
    }
}

/// `[::]` takes IPv4 as well (ipv6(7), IPV6_V6ONLY is off).
fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
}

/// Whether connections come in. What answers them is the console that answered the
/// other port.
fn listens(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

fn page_answers(address: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let timeout = Duration::from_secs(1);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, timeout) else {
        return false;
    };
    stream.set_read_timeout(Some(timeout)).ok();
    stream.set_write_timeout(Some(timeout)).ok();
    let mut start = [0; 12];
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        .is_ok()
        && stream.read_exact(&mut start).is_ok()
        && &start == b"HTTP/1.1 200"
}
