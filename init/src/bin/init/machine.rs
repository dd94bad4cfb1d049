//! The steps of the plan, carried out on the real box.

use crate::{children, groups};
use init::cmdline::KernelWords;
use init::console_log::ConsoleLog;
use init::modules;
use init::plan::{Fault, Machine, Step};
use init::power::{self, Power};
use init::sys::{self, Given};
use init::watchdog::Watchdog;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{Pid, chdir, chroot};
use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

const ENVIRONMENT: &[&std::ffi::CStr] = &[c"PATH=/usr/sbin:/usr/bin:/sbin:/bin"];
const SUPERVISOR: &std::ffi::CStr = c"/usr/lib/projectx/supervisor";
const EARLY: &std::ffi::CStr = c"/early";
/// `early`'s exit code for a card that cannot be used.
const REFUSED: i32 = 3;
/// The longest shrink of a slow, full card takes a few minutes.
const EARLY_TAKES_AT_MOST: Duration = Duration::from_secs(600);
/// How often the watchdog is fed while PID 1 waits; a third of its timeout or less.
pub const TICK: Duration = Duration::from_secs(2);

/// What, kind, where, flags, options.
type Mount = (&'static str, &'static str, MsFlags, &'static str);

/// The order matters: a parent comes before its child.
fn mounts() -> [Mount; 5] {
    let strict = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    [
        ("devtmpfs", "/dev", MsFlags::MS_NOSUID, "mode=0755"),
        ("proc", "/proc", strict, ""),
        ("sysfs", "/sys", strict, ""),
        (
            "tmpfs",
            "/run",
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
            "mode=0755",
        ),
        (
            "cgroup2",
            "/sys/fs/cgroup",
            strict,
            "nsdelegate,favordynmods,memory_recursiveprot",
        ),
    ]
}

/// The running supervisor.
pub struct Supervisor {
    /// Its process.
    pub pid: Pid,
    /// Our end of the pair; none after it was closed at the other end.
    pub link: Option<OwnedFd>,
}

/// The box.
pub struct TheBox {
    console: ConsoleLog,
    signals: Option<SignalFd>,
    /// The watchdog, once started.
    pub watchdog: Option<Watchdog>,
    words: KernelWords,
    /// The supervisor, while it runs.
    pub supervisor: Option<Supervisor>,
    start: Instant,
}

impl TheBox {
    /// Takes the signals that PID 1 answers to; nothing else yet.
    pub fn new() -> Self {
        let mut ours = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
            ours.add(signal);
        }
        ours.thread_block().ok();
        Self {
            console: ConsoleLog::new("init"),
            // Without it (no memory at boot?) only the two-second tick is left.
            signals: SignalFd::with_flags(&ours, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
                .ok(),
            watchdog: None,
            words: KernelWords::default(),
            supervisor: None,
            start: Instant::now(),
        }
    }

    /// Time on the clock that [`init::health`] and [`init::restart`] count by.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Feeds the watchdog, if there is one.
    pub fn feed(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.feed();
        }
    }

    /// Waits up to `time` for a signal or for the supervisor to speak.
    pub fn wait(&self, time: Duration) {
        let link = self
            .supervisor
            .as_ref()
            .and_then(|supervisor| supervisor.link.as_ref());
        let descriptors = [
            self.signals.as_ref().map(AsFd::as_fd),
            link.map(AsFd::as_fd),
        ];
        let mut waiting: Vec<PollFd> = descriptors
            .into_iter()
            .flatten()
            .map(|descriptor: BorrowedFd| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        let millis = u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
        // An interrupted wait is only a short one: every caller loops.
        poll(&mut waiting, PollTimeout::from(millis)).ok();
    }

    /// What SIGTERM (off) or SIGINT (restart) asked for since the last call.
    pub fn power_signal(&self) -> Option<Power> {
        let mut asked = None;
        while let Some(Ok(Some(info))) = self.signals.as_ref().map(SignalFd::read_signal) {
            match i32::try_from(info.ssi_signo).map(Signal::try_from) {
                Ok(Ok(Signal::SIGTERM)) => asked = Some(Power::Off),
                Ok(Ok(Signal::SIGINT)) => asked = Some(Power::Restart),
                _ => {}
            }
        }
        asked
    }

    /// Keeps the box up, and does nothing else, until someone ends it.
    pub fn wait_for_power_signal(&mut self) -> Power {
        loop {
            self.feed();
            self.wait(TICK);
            children::reap();
            if let Some(power) = self.power_signal() {
                return power;
            }
        }
    }

    /// Starts the supervisor in its group, with its end of a fresh pair.
    pub fn start_supervisor(&mut self) -> Result<(), Fault> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
            .map_err(broken("socketpair"))?;
        // A missing group must not keep the owner from the page.
        let door = groups::supervisor_door().ok();
        let given = Given {
            group: door.as_ref().map(AsFd::as_fd),
            descriptor: Some((theirs.as_fd(), control::pid1::FD)),
            environment: ENVIRONMENT,
        };
        let pid = sys::start(SUPERVISOR, &given).map_err(broken("supervisor: fork"))?;
        self.supervisor = Some(Supervisor {
            pid,
            link: Some(ours),
        });
        Ok(())
    }

    fn mount_kernel_file_systems(&mut self) -> Result<(), Fault> {
        for (kind, place, flags, options) in mounts() {
            // Exists in the initramfs already, or the mount below says so.
            std::fs::create_dir(place).ok();
            match mount(Some(kind), place, Some(kind), flags, Some(options)) {
                Ok(()) | Err(nix::Error::EBUSY) => {}
                Err(error) => return Err(broken(place)(error)),
            }
        }
        power::ask_before_restart();
        self.words = KernelWords::of_this_boot();
        if self.words.ignored > 0 {
            self.say(&format!("kernel words ignored: {}", self.words.ignored));
        }
        Ok(())
    }

    /// Loads the list; starts the watchdog as soon as it appears, so that
    /// only the first modules are loaded without it.
    fn load_modules(&mut self) {
        let mut said = Vec::new();
        let list = modules::read_list(Path::new("/modules.txt"), Path::new("/"), &mut |text| {
            said.push(text.to_owned());
        });
        for module in list {
            modules::load(&module, &mut |text| said.push(text.to_owned()));
            for text in said.drain(..) {
                self.console.line(&text);
            }
            if self.watchdog.is_none() && !self.words.watchdog_off && Watchdog::exists() {
                self.start_watchdog();
            }
            self.feed();
        }
        for text in said {
            self.console.line(&text);
        }
        if self.words.watchdog_off {
            self.say("watchdog: off by kernel word");
        } else if self.watchdog.is_none() {
            self.say("watchdog: none found");
        }
    }

    fn start_watchdog(&mut self) {
        match Watchdog::start() {
            Ok(watchdog) => {
                self.watchdog = Some(watchdog);
                self.say("watchdog: on");
            }
            Err(error) => self.say(&format!("watchdog: not started: {error}")),
        }
    }

    /// Runs `early` to its end, feeding the watchdog meanwhile.
    fn prepare_card(&mut self) -> Result<(), Fault> {
        let environment = Given {
            environment: ENVIRONMENT,
            ..Given::default()
        };
        let early = sys::start(EARLY, &environment).map_err(broken("early: fork"))?;
        let deadline = self.now() + EARLY_TAKES_AT_MOST;
        let mut asked = None;
        loop {
            self.feed();
            self.wait(TICK);
            let (ended, _) = children::reap();
            // A shrink is never cut short by a signal, only by its deadline.
            asked = self.power_signal().or(asked);
            if let Some(ended) = ended.into_iter().find(|ended| ended.pid == early) {
                if let Some(power) = asked {
                    return Err(Fault::Interrupted(power));
                }
                return match ended.code {
                    Some(0) => Ok(()),
                    Some(REFUSED) => Err(Fault::CardRefused),
                    _ => Err(Fault::Broken(format!("early: ended with {}", ended.how))),
                };
            }
            if self.now() > deadline {
                nix::sys::signal::kill(early, Signal::SIGKILL).ok();
                return Err(Fault::Broken(
                    "early: did not end within 10 minutes".to_owned(),
                ));
            }
        }
    }

    /// Moves the kernel's file systems into the system image and makes that
    /// the root (switch_root(8)); frees what the initramfs holds.
    fn change_root(&mut self) -> Result<(), Fault> {
        for file in ["/early", "/modules.txt", "/system.verity", "/init"] {
            std::fs::remove_file(file).ok();
        }
        std::fs::remove_dir_all("/modules").ok();
        let none = None::<&str>;
        for place in ["/dev", "/proc", "/sys", "/run"] {
            let target = format!("/sysroot{place}");
            mount(Some(place), target.as_str(), none, MsFlags::MS_MOVE, none)
                .map_err(broken(&target))?;
        }
        chdir("/sysroot").map_err(broken("/sysroot"))?;
        mount(Some("."), "/", none, MsFlags::MS_MOVE, none).map_err(broken("moving the root"))?;
        chroot(".").map_err(broken("chroot"))?;
        chdir("/").map_err(broken("/"))
    }
}

impl Machine for TheBox {
    fn say(&mut self, line: &str) {
        self.console.line(line);
    }

    fn perform(&mut self, step: Step) -> Result<(), Fault> {
        match step {
            Step::Mounts => self.mount_kernel_file_systems(),
            Step::Modules => {
                self.load_modules();
                Ok(())
            }
            Step::Card => self.prepare_card(),
            Step::Root => self.change_root(),
            Step::Groups => groups::make().map_err(broken("/sys/fs/cgroup")),
            Step::Supervisor => self.start_supervisor(),
        }
    }
}

fn broken<E: Display>(what: &str) -> impl Fn(E) -> Fault {
    move |error| Fault::Broken(format!("{what}: {error}"))
}
