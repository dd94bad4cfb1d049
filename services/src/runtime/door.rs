//! A port for strangers: open while the app is ready, one thread that accepts,
//! one thread a connection. Who finds no place is told so, and never dropped in
//! silence: the sender keeps the message and comes again.

use super::backoff::Backoff;
use super::farewell::{self, Farewell, Farewells};
use super::slots::{Guest, Slots};
use super::{Shared, lock, visit};
use manifest::{Listen, Service};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often an open door looks whether it is to close.
const LOOK: u16 = 200;
/// How long a connection waits for its turn: less than the five minutes that a
/// sender waits for the greeting (RFC 5321 section 4.5.3.2.1).
const TURN: Duration = Duration::from_secs(4 * 60);
/// How often the journal says how many were turned away.
const TELLING: Duration = Duration::from_secs(60);

/// One port of a per-connection service.
#[derive(Debug)]
pub(super) struct Door {
    port: u16,
    open: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
    backoff: Backoff,
    house: Arc<House>,
}

/// What the connections of one door share.
#[derive(Debug)]
struct House {
    service: String,
    to: String,
    /// What a connection is told that finds no place.
    full: String,
    slots: Arc<Slots>,
    count: AtomicU64,
}

impl Door {
    /// A closed one.
    pub(super) fn new(shared: &Shared, service: &Service, listen: &Listen) -> Self {
        let house = House {
            service: service.name.to_string(),
            to: listen.to.to_string(),
            full: farewell::line(&listen.full, &shared.setting.hostname),
            slots: Arc::new(Slots::new(service.limits.connections)),
            count: AtomicU64::new(0),
        };
        Self {
            port: listen.port,
            open: None,
            backoff: Backoff::default(),
            house: Arc::new(house),
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
                let words = format!(
                    "{}: port {port}: {error}; again in {pause:?}",
                    self.house.service
                );
                return shared.journal.event(&words);
            }
        };
        let closing = Arc::new(AtomicBool::new(false));
        let (shared_with, house) = (Arc::clone(shared), Arc::clone(&self.house));
        let told = Arc::clone(&closing);
        let thread = std::thread::Builder::new()
            .name(format!("port-{port}"))
            .spawn(move || accept(&listener, &told, &shared_with, &house));
        if let Ok(thread) = thread {
            self.open = Some((closing, thread));
            shared
                .journal
                .event(&format!("{}: port {port} is open", self.house.service));
        }
    }

    fn close(&mut self, shared: &Shared) {
        let Some((closing, thread)) = self.open.take() else {
            return;
        };
        closing.store(true, Ordering::Relaxed);
        thread.join().ok();
        let words = format!("{}: port {} is closed", self.house.service, self.port);
        shared.journal.event(&words);
    }
}

fn accept(listener: &TcpListener, closing: &AtomicBool, shared: &Arc<Shared>, house: &Arc<House>) {
    let mut farewells = Farewells::default();
    let (mut turned_away, mut told) = (0_u64, Instant::now());
    while !closing.load(Ordering::Relaxed) {
        farewells.sweep();
        if turned_away > 0 && told.elapsed() >= TELLING {
            let words = format!("{}: {turned_away} found no place", house.service);
            shared.journal.event(&words);
            (turned_away, told) = (0, Instant::now());
        }
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
        let refused = match house.slots.admit(from.ip()) {
            Some(guest) => begin(shared, house, guest, connection, from),
            None => Some(connection),
        };
        if let Some(connection) = refused {
            turned_away += 1;
            farewells.add(connection, &house.full);
        }
    }
    farewells.finish();
}

/// Gives a connection a thread; it comes back where there is none to be had.
fn begin(
    shared: &Arc<Shared>,
    house: &Arc<House>,
    guest: Guest,
    connection: TcpStream,
    from: SocketAddr,
) -> Option<TcpStream> {
    let number = house.count.fetch_add(1, Ordering::Relaxed) + 1;
    let (shared_with, house) = (Arc::clone(shared), Arc::clone(house));
    let service = house.service.clone();
    // A closure that gets no thread is dropped with all that it owns.
    let kept = Arc::new(Mutex::new(Some((guest, connection))));
    let taken = Arc::clone(&kept);
    let thread = std::thread::Builder::new()
        .name(format!("visit-{number}"))
        .stack_size(256 << 10);
    let spawned = thread.spawn(move || {
        let taken = lock(&taken).take();
        if let Some((_guest, connection)) = taken {
            serve(&shared_with, &house, connection, from, number);
        }
    });
    match spawned {
        Ok(_) => None,
        Err(error) => {
            shared
                .journal
                .event(&format!("{service}: no thread: {error}"));
            lock(&kept).take().map(|(_, connection)| connection)
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

/// One connection, from its turn to its end.
fn serve(
    shared: &Arc<Shared>,
    house: &House,
    connection: TcpStream,
    from: SocketAddr,
    number: u64,
) {
    let turn = house.slots.enter(from.ip(), TURN);
    if has_hung_up(&connection) {
        return;
    }
    let refused = match turn {
        Some(_slot) => {
            let ended = visit::serve(shared, &house.service, &house.to, connection, number);
            ended.map_err(|(error, connection)| {
                let words = format!("{}-{number}: {error}", house.service);
                shared.journal.event(&words);
                connection
            })
        }
        None => Err(Some(connection)),
    };
    // The place is another's already.
    if let Err(Some(connection)) = refused {
        Farewell::begin(connection, &house.full).finish();
    }
}
