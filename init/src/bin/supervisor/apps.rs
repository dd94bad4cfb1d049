//! The app Email: its image mounted, its services running, from the moment in
//! which the encrypted disk is open.

use crate::disk::{Disk, MOUNT_POINT};
use crate::journal::Journal;
use crate::people::Place;
use crate::seen::Seen;
use crate::{hostname, log, updates};
use init::app_image;
use init::cmdline::KernelWords;
use services::egress::Shared;
use services::runtime::{Journal as _, Lives, Running, Sandboxes, Setting};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The one app that this version has.
const NAME: &str = "email";
/// Its service whose volumes `people` and `mail` the page's people are in.
const MAIL_SERVER: &str = "dovecot";
/// Its service that keeps mail on its way out.
const POSTFIX: &str = "postfix";
/// The page's port with TLS, which the home network has: strangers get the app's files
/// there, from a listener at a port that nothing else has.
const PAGE: Shared = Shared {
    port: 443,
    strangers: 8443,
};
const CARD: &str = "/run/card";
const KEYS: &str = "/usr/share/projectx/app-keys";
/// The pause after a start that failed.
const PAUSE: Duration = Duration::from_secs(30);

/// The app, in whatever state it is.
pub struct Apps {
    journal: Arc<Journal>,
    starting: Option<JoinHandle<Option<Running>>>,
    running: Option<Running>,
    not_before: Instant,
}

impl Apps {
    /// Nothing runs yet.
    pub fn new() -> Self {
        Self {
            journal: Arc::new(Journal::new()),
            starting: None,
            running: None,
            not_before: Instant::now(),
        }
    }

    /// Starts it when the disk is open. Mounting and checking take seconds on
    /// a slow card and are a thread's work, so that the heartbeat goes on.
    pub fn keep_running(&mut self, disk: &Disk) {
        if disk.is_open() {
            self.journal.seen().keep(Instant::now());
        }
        if self.running.is_some() {
            return;
        }
        if self.starting.as_ref().is_some_and(JoinHandle::is_finished) {
            let ended = self.starting.take().map(JoinHandle::join);
            self.running = ended.and_then(|ended| ended.ok().flatten());
            self.not_before = Instant::now() + PAUSE;
        }
        let idle = self.running.is_none() && self.starting.is_none();
        if idle && Instant::now() >= self.not_before && disk.is_open() {
            let journal = Arc::clone(&self.journal);
            let thread = std::thread::Builder::new().name("app".into());
            self.starting = thread
                .spawn(move || {
                    start(journal)
                        .inspect_err(|error| log::line(&format!("{NAME}: not started: {error}")))
                        .ok()
                })
                .ok();
        }
    }

    /// Where its mail server keeps its people, once it runs.
    pub fn mail_place(&self) -> Option<Place> {
        place(self.running.as_ref()?, self.journal.seen())
    }

    /// Starts Postfix again, which then reads what is set. An app that does not run
    /// reads it when it starts.
    pub fn restart_postfix(&self) {
        if let Some(running) = &self.running {
            running.restart(POSTFIX);
        }
    }

    /// What its sandboxes may do, once it runs.
    pub fn sandboxes(&self) -> Option<Sandboxes> {
        self.running.as_ref().map(Running::sandboxes)
    }

    /// Ends it, before the disk is closed.
    pub fn stop(&mut self) {
        if let Some(Ok(Some(running))) = self.starting.take().map(JoinHandle::join) {
            running.stop();
        }
        if let Some(running) = self.running.take() {
            running.stop();
            log::line(&format!("{NAME}: stopped"));
            self.journal.seen().keep_now();
        }
        updates::leave(&volumes());
    }
}

fn start(journal: Arc<Journal>) -> Result<Running, Box<dyn std::error::Error>> {
    let image = Path::new("/run/apps").join(NAME);
    if !is_mounted(&image) {
        let slot = Path::new(CARD).join(KernelWords::of_this_boot().slot.folder());
        app_image::mount(&slot, NAME, Path::new(KEYS), &image)?;
    }
    let text = std::fs::read_to_string(image.join("app.yaml"))?;
    let app = manifest::read("app.yaml", &text)?;
    let rules = updates::take_rules(&image, &volumes(), Path::new(KEYS));
    journal.event(&format!("{NAME}: {rules}"));
    let setting = Setting {
        image,
        volumes: volumes(),
        sockets: PathBuf::from("/run/projectx/channels").join(NAME),
        hostname: hostname::mail_name(),
        shared_ports: vec![PAGE],
        cgroups: Some("/sys/fs/cgroup".into()),
        relay: Some("/usr/lib/projectx/relay".into()),
        lives: Lives::default(),
    };
    let told = Arc::clone(&journal);
    // Before anybody can be refused.
    journal.seen().remember();
    let running = Running::start(app, setting, told)?;
    if let Some(place) = place(&running, journal.seen()) {
        let mut people = place.read()?;
        people.begin()?;
        for error in people.let_learn() {
            // Mail comes in without it.
            journal.event(&format!("{NAME}: somebody's filter can't learn: {error}"));
        }
        if let Err(error) = place.own_domains(&people) {
            // Mail comes in without it, and none goes out.
            journal.event(&format!("{NAME}: {error}"));
        }
        if let Err(error) = place.show_domains(&people) {
            // Strangers see what was shown before, or nothing.
            journal.event(&format!("{NAME}: {error}"));
        }
    }
    Ok(running)
}

/// Where the mail server keeps its people.
fn place(running: &Running, seen: &Arc<Seen>) -> Option<Place> {
    let first_id = running.first_id(MAIL_SERVER)?;
    Some(Place {
        people: volumes().join("people"),
        mail: volumes().join("mail"),
        learned: volumes().join("learned"),
        outbound: volumes().join("outbound"),
        smarthost: volumes().join("smarthost"),
        web: volumes().join("web"),
        volumes: volumes(),
        door: volumes().join("door"),
        seen: Arc::clone(seen),
        hostname: hostname::mail_name(),
        first_id,
        postfix_id: running.first_id(POSTFIX)?,
    })
}

/// The folder of its volumes, on the encrypted disk.
fn volumes() -> PathBuf {
    Path::new(MOUNT_POINT).join("apps").join(NAME)
}

/// Whether an earlier supervisor has mounted it.
fn is_mounted(place: &Path) -> bool {
    std::fs::read_to_string("/proc/self/mounts")
        .unwrap_or_default()
        .lines()
        .any(|line| line.split(' ').nth(1).map(Path::new) == Some(place))
}
