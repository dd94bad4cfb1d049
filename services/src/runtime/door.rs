//! A port for strangers: open while the app is ready, one thread that accepts,
//! one thread a connection.

use super::backoff::Backoff;
use super::slots::Slots;
use super::{Shared, visit};
use manifest::{Listen, Service};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often an open door looks whether it is to close.
const LOOK: u16 = 200;
/// How long a connection waits for its turn: less than the five minutes that a
/// sender waits for the greeting (RFC 5321 section 4.5.3.2.1).
const TURN: Duration = Duration::from_secs(4 * 60);

/// One port of a per-connection service.
#[derive(Debug)]
pub(super) struct Door {
    service: String,
    port: u16,
    to: String,
    open: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
    backoff: Backoff,
    house: Arc<House>,
}

/// What the connections of one door share.
#[derive(Debug, Default)]
struct House {
    slots: Arc<Slots>,
    count: AtomicU64,
}

impl Door {
    /// A closed one.
    pub(super) fn new(service: &Service, listen: &Listen) -> Self {
        Self {
            service: service.name.to_string(),
            port: listen.port,
            to: listen.to.to_string(),
            open: None,
            backoff: Backoff::default(),
            house: Arc::default(),
        }
    }

    /// Opens or closes it. A port that another program has is tried again.
    pub(super) fn keep(&mut self, shared: &Arc<Shared>, open: bool) {
        match (&self.open, open) {
            (None, true) if self.backoff.is_over() => self.open(shared),
            (Some(_), false) => self.close(shared),
            _ => {}
        }
    }

    /// Waits until its connections are over, at most until `end`.
    pub(super) fn wait_empty(&self, end: Instant) {
        while !self.house.slots.is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn open(&mut self, shared: &Arc<Shared>) {
        let port = self.port;
        let listener = TcpListener::bind(("::", port)).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => {
                let pause = self.backoff.ended(Duration::ZERO);
                let words = format!("{}: port {port}: {error}; again in {pause:?}", self.service);
                return shared.journal.event(&words);
            }
        };
        let closing = Arc::new(AtomicBool::new(false));
        let (shared_with, house) = (Arc::clone(shared), Arc::clone(&self.house));
        let (service, to, told) = (self.service.clone(), self.to.clone(), Arc::clone(&closing));
        let thread = std::thread::Builder::new()
            .name(format!("port-{port}"))
            .spawn(move || accept(&listener, &told, &shared_with, &house, &service, &to));
        if let Ok(thread) = thread {
            self.open = Some((closing, thread));
            shared
                .journal
                .event(&format!("{}: port {port} is open", self.service));
        }
    }

    fn close(&mut self, shared: &Shared) {
        let Some((closing, thread)) = self.open.take() else {
            return;
        };
        closing.store(true, Ordering::Relaxed);
        thread.join().ok();
        let words = format!("{}: port {} is closed", self.service, self.port);
        shared.journal.event(&words);
    }
}

fn accept(
    listener: &TcpListener,
    closing: &AtomicBool,
    shared: &Arc<Shared>,
    house: &Arc<House>,
    service: &str,
    to: &str,
) {
    while !closing.load(Ordering::Relaxed) {
        let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(LOOK)).ok();
        let (connection, from) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => {
                // No descriptor is left, say; the connection stays in the queue.
                std::thread::sleep(Duration::from_millis(LOOK.into()));
                continue;
            }
        };
        let Some(guest) = house.slots.admit(from.ip()) else {
            continue;
        };
        let number = house.count.fetch_add(1, Ordering::Relaxed) + 1;
        let (shared, house) = (Arc::clone(shared), Arc::clone(house));
        let (service, to) = (service.to_owned(), to.to_owned());
        let thread = std::thread::Builder::new()
            .name(format!("visit-{number}"))
            .stack_size(256 << 10);
        let (journal, service_name) = (Arc::clone(&shared.journal), service.clone());
        // Without a thread, guest and connection are dropped.
        let spawned = thread.spawn(move || {
            let _guest = guest;
            serve(&shared, &house, &service, &to, connection, from, number);
        });
        if let Err(error) = spawned {
            journal.event(&format!("{service_name}: no thread: {error}"));
        }
    }
}

/// Whether the sender has given up while it waited: nothing is made for it then.
fn has_hung_up(connection: &TcpStream) -> bool {
    // nix has no name for this one: the other end has closed its half (poll(2)).
    let gone = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);
    let mut fds = [PollFd::new(connection.as_fd(), gone)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// One connection, from its turn to its end. Where it gets none, it is closed:
/// the sender keeps the message and comes again.
fn serve(
    shared: &Arc<Shared>,
    house: &House,
    service: &str,
    to: &str,
    connection: TcpStream,
    from: SocketAddr,
    number: u64,
) {
    let Some(_slot) = house.slots.enter(from.ip(), TURN) else {
        return;
    };
    if has_hung_up(&connection) {
        return;
    }
    if let Err(error) = visit::serve(shared, service, to, connection, number) {
        shared
            .journal
            .event(&format!("{service}-{number}: {error}"));
    }
}
