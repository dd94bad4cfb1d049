//! A port for strangers: open while what it leads to answers, one thread that accepts,
//! one thread a connection. Who finds no place is told so, and never dropped in
//! silence: the sender keeps the message and comes again. A port inside a daemon whose
//! connections are each served by a sandbox of their own works in the same way
//! ([`inside`]).

use super::backoff::Backoff;
use super::farewell::{self, Farewell, Farewells};
use super::parts::{self, Parts};
use super::pool::Pool;
use super::slots::{Guest, Slots};
use super::visit::{self, Visit};
use super::{RuntimeError, Shared, lock};
use manifest::{Lifetime, Listen, Service, Zone};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often an open door looks whether it is to close.
const LOOK: u16 = 200;
/// How long a connection waits for its turn: less than the five minutes that a
/// sender waits for the greeting (RFC 5321 section 4.5.3.2.1).
const TURN: Duration = Duration::from_secs(4 * 60);
/// How long a connection waits for a part that has just failed.
const RECOVERY: Duration = Duration::from_secs(60);
/// And how long between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// How long those at work at a port inside may take to be killed when the app is told
/// to end: they look once a second.
const LEAVING: Duration = Duration::from_secs(5);
/// How often the journal says how many were turned away.
const TELLING: Duration = Duration::from_secs(60);

/// One port of a per-connection service.
#[derive(Debug)]
pub(super) struct Door {
    port: u16,
    /// Where it listens: another port, if the host has this one for its own.
    listens: u16,
    open: Option<(Arc<AtomicBool>, Vec<JoinHandle<()>>)>,
    /// When all that it leads to answered at last.
    answered: Option<Instant>,
    backoff: Backoff,
    house: Arc<House>,
}

/// What the connections of one door share.
#[derive(Debug)]
struct House {
    service: String,
    /// All parts that the service reaches.
    parts: Parts,
    to: String,
    /// What a connection is told that finds no place.
    full: String,
    slots: Arc<Slots>,
    pool: Pool,
}

impl Door {
    /// A closed one.
    pub(super) fn new(shared: &Shared, service: &Service, listen: &Listen) -> Self {
        let house = House {
            service: service.name.to_string(),
            parts: parts::reached(&shared.app, service.name.as_str()),
            to: listen.to.to_string(),
            full: farewell::line(&listen.full, &shared.setting.hostname),
            slots: Arc::new(Slots::new(service.limits.connections)),
            pool: Pool::new(service.name.as_str(), listen.pool),
        };
        let port = listen.port;
        let mut of_the_host = shared.setting.shared_ports.iter();
        let led = of_the_host.find(|shared| listen.zone == Zone::Public && shared.port == port);
        Self {
            port,
            listens: led.map_or(port, |shared| shared.strangers),
            open: None,
            answered: None,
            backoff: Backoff::default(),
            house: Arc::new(house),
        }
    }

    /// Opens or closes it; these parts of the app do not answer. A port that another
    /// program has is tried again.
    pub(super) fn keep(&mut self, shared: &Arc<Shared>, down: &Parts) {
        if self.house.parts.is_disjoint(down) {
            self.answered = Some(Instant::now());
        }
        let silence = shared.setting.lives.silence;
        let open = self.answered.is_some_and(|at| at.elapsed() < silence);
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
        let listener = TcpListener::bind(("::", self.listens)).and_then(|listener| {
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
        let Ok(thread) = thread else { return };
        let mut threads = vec![thread];
        if self.house.pool.wanted() > 0 {
            let (shared_with, house) = (Arc::clone(shared), Arc::clone(&self.house));
            let told = Arc::clone(&closing);
            let thread = std::thread::Builder::new()
                .name(format!("pool-{port}"))
                .spawn(move || house.pool.keep(&shared_with, &house.parts, &told));
            // Without it, sets are made when they are needed.
            threads.extend(thread.ok());
        }
        self.open = Some((closing, threads));
        let words = format!("{}: port {port} is open", self.house.service);
        shared.journal.event(&words);
    }

    /// Closes it, if it is open.
    pub(super) fn close(&mut self, shared: &Shared) {
        let Some((closing, threads)) = self.open.take() else {
            return;
        };
        closing.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().ok();
        }
        let words = format!("{}: port {} is closed", self.house.service, self.port);
        shared.journal.event(&words);
    }
}

/// Serves the connections to a port inside a daemon, each with a sandbox of
/// `provider`, until it is told to close. Who finds no place meets a closed connection.
///
/// # Errors
/// When there is no thread to be had.
pub(super) fn inside(
    shared: &Arc<Shared>,
    provider: &Service,
    channel: &str,
    listener: TcpListener,
) -> std::io::Result<(Arc<AtomicBool>, JoinHandle<()>)> {
    listener.set_nonblocking(true)?;
    let house = Arc::new(House {
        service: provider.name.to_string(),
        parts: parts::reached(&shared.app, provider.name.as_str()),
        to: channel.to_owned(),
        full: String::new(),
        slots: Arc::new(Slots::new(provider.limits.connections)),
        pool: Pool::new(provider.name.as_str(), 0),
    });
    let closing = Arc::new(AtomicBool::new(false));
    let (told, shared) = (Arc::clone(&closing), Arc::clone(shared));
    let thread = std::thread::Builder::new().name("inside-port".into());
    let thread = thread.spawn(move || {
        accept(&listener, &told, &shared, &house);
        let end = Instant::now() + LEAVING;
        while shared.is_stopping() && !house.slots.is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
    })?;
    Ok((closing, thread))
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
    let (shared_with, house) = (Arc::clone(shared), Arc::clone(house));
    let service = house.service.clone();
    // A closure that gets no thread is dropped with all that it owns.
    let kept = Arc::new(Mutex::new(Some((guest, connection))));
    let taken = Arc::clone(&kept);
    let thread = std::thread::Builder::new()
        .name("visit".into())
        .stack_size(256 << 10);
    let spawned = thread.spawn(move || {
        let taken = lock(&taken).take();
        if let Some((_guest, connection)) = taken {
            serve(&shared_with, &house, connection, from);
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
fn serve(shared: &Arc<Shared>, house: &House, connection: TcpStream, from: SocketAddr) {
    let turn = house.slots.enter(from.ip(), TURN);
    if has_hung_up(&connection) {
        return;
    }
    if turn.is_some() {
        match begin_visit(shared, house, &connection) {
            Ok((visit, end)) => {
                // Or the sender would wait for us when the front has ended.
                drop(connection);
                if let Err(error) = visit.finish(shared, end) {
                    shared.journal.event(&error.to_string());
                }
                return;
            }
            Err(error) => {
                let words = format!("{}: {error}", house.service);
                shared.journal.event(&words);
            }
        }
    }
    // The place is another's already.
    drop(turn);
    Farewell::begin(connection, &house.full).finish();
}

/// Starts what serves a connection, and says when that is to end. Something may
/// have died since the last look: then it is started again meanwhile.
fn begin_visit(
    shared: &Arc<Shared>,
    house: &House,
    connection: &TcpStream,
) -> Result<(Visit, Instant), RuntimeError> {
    let front = visit::service(shared, &house.service)?;
    let Lifetime::PerConnection { deadline } = front.lifetime else {
        let words = format!("{}: not per-connection", front.name);
        return Err(RuntimeError::Unsupported(words));
    };
    let end = Instant::now() + deadline;
    let give_up = end.min(Instant::now() + RECOVERY);
    loop {
        let left = give_up.saturating_duration_since(Instant::now());
        if !shared.wait_for(&house.parts, left) {
            return Err(RuntimeError::Down(shared.app.name.to_string()));
        }
        let set = house.pool.take(shared);
        match set.and_then(|set| set.start(shared, &house.to, connection)) {
            Ok(visit) => return Ok((visit, end)),
            Err(error) if Instant::now() < give_up => {
                let words = format!("{}: {error}; again", house.service);
                shared.journal.event(&words);
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}
