//! What `native-box` does once it is PID 1 of its own namespaces.

use crate::weak;
use crate::world::World;
use anyhow::{Context, Result, ensure};
use control::Secret;
use nix::mount::{MsFlags, mount};
use outbound::settings::Settings;
use people::{Address, Homes, People, PeopleError};
use records::Wanted;
use services::egress::Shared;
use services::runtime::{Journal, Lives, Running, Setting};
use site::Table;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where the internet's network namespace is found.
pub const INTERNET: &str = "/run/native/internet";
const IMAGE: &str = "/run/native/image";
const VOLUMES: &str = "/run/native/volumes";
const SOCKETS: &str = "/run/native/sockets";
const ROOT_KEY: &str = "/run/native/root.key";
/// Where, in the image, Unbound's key of the root is; and the root servers.
const KEY_IN_IMAGE: &str = "roots/unbound/usr/share/dns/root.key";
const HINTS_IN_IMAGE: &str = "roots/unbound/usr/share/dns/root.hints";
/// As the supervisor has it for a box whose owner has chosen no name.
const HOSTNAME: &str = "projectx.local";
/// On an internet with names that are signed the box has one of them, as its MX record
/// says.
const PUBLIC_NAME: &str = "box.home.example";
/// As the supervisor has it, beside whose page the app's port is.
const PAGE: Shared = Shared {
    port: 443,
    strangers: 8443,
};
/// The relay's program in the image's folder.
const RELAY: &str = "relay";
const MAIL_SERVER: &str = "dovecot";
/// From start to ready.
const START: Duration = Duration::from_secs(110);

/// What the program is given.
#[derive(Debug)]
pub struct Arguments {
    /// The app's folder.
    pub image: PathBuf,
    /// Its volumes.
    pub volumes: PathBuf,
    /// Where what happens is written.
    pub journal: PathBuf,
    /// The key of the root of the internet that it is put on from outside; `None`:
    /// it makes one of its own.
    pub root_key: Option<PathBuf>,
}

/// Runs the box until standard input ends.
///
/// # Errors
/// When a step fails, or anything is left of it after its end.
pub fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        std::process::id() == 1,
        "not PID 1 of a namespace; start it without the word {}",
        crate::INSIDE
    );
    // Of the host's /proc, as long as it is in sight.
    let pid = fs::read_link("/proc/self").context("/proc/self")?;
    say(&format!("pid {}", pid.display()))?;
    let journal = Arc::new(ToFile::open(&arguments.journal)?);
    make_places(arguments)?;
    let world = match arguments.root_key {
        // The cable is laid from outside, before anything is said on our input.
        Some(_) => World::outside()?,
        None => {
            let hints = Path::new(IMAGE).join(HINTS_IN_IMAGE);
            World::make(&fs::read_to_string(hints).unwrap_or_default())?
        }
    };
    world.show(Path::new(INTERNET))?;

    let mut lines = io::stdin().lock().lines();
    let mut wanted = Vec::new();
    while let Some(line) = lines.next().transpose()? {
        let Some((address, password)) = line.split_once(' ') else {
            break;
        };
        wanted.push((address.to_owned(), Secret::new(password.to_owned())));
    }
    let hostname = match arguments.root_key {
        Some(_) => PUBLIC_NAME,
        None => HOSTNAME,
    };
    let running = start(hostname, journal)?;
    settle(&running, hostname, &wanted)?;
    keep_records(hostname);
    let end = Instant::now() + START;
    while !running.is_ready() {
        ensure!(Instant::now() < end, "the services do not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    wait_for_the_port(&world)?;
    say("ready")?;
    // Whatever else is said is nothing to wait for.
    for line in lines {
        let line = line?;
        if weak::obey(&line)? {
            say(&line)?;
        }
    }
    running.stop();
    nothing_is_left()?;
    say("stopped")
}

/// Its own `/proc`, `/sys`, `/run` and `/tmp`, with image and volumes in it.
fn make_places(arguments: &Arguments) -> Result<()> {
    fs::create_dir_all(&arguments.volumes)
        .with_context(|| arguments.volumes.display().to_string())?;
    // Held open, since what is mounted below may hide their paths.
    let open = |path: &Path| File::open(path).with_context(|| path.display().to_string());
    let (image, volumes) = (open(&arguments.image)?, open(&arguments.volumes)?);
    let root_key = match &arguments.root_key {
        Some(path) => fs::read_to_string(path).with_context(|| path.display().to_string())?,
        None => "; no key: the names of this world are not signed\n".into(),
    };
    change("/", None, None, MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    for (kind, place) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
    ] {
        change(place, Some(kind), Some(kind), MsFlags::empty())?;
    }
    for (folder, place) in [(image, IMAGE), (volumes, VOLUMES)] {
        fs::create_dir_all(place).context(place)?;
        let from = format!("/proc/self/fd/{}", folder.as_raw_fd());
        change(place, Some(&from), None, MsFlags::MS_BIND | MsFlags::MS_REC)?;
    }
    let key = Path::new(IMAGE).join(KEY_IN_IMAGE);
    if key.exists() {
        fs::write(ROOT_KEY, root_key)?;
        let key = key.to_string_lossy();
        change(&key, Some(ROOT_KEY), None, MsFlags::MS_BIND)?;
    }
    Ok(())
}

fn change(place: &str, from: Option<&str>, kind: Option<&str>, flags: MsFlags) -> Result<()> {
    mount(from, place, kind, flags, None::<&str>).with_context(|| format!("mount: {place}"))
}

fn start(hostname: &str, journal: Arc<ToFile>) -> Result<Running> {
    let image = PathBuf::from(IMAGE);
    let text = fs::read_to_string(image.join("app.yaml")).context("app.yaml")?;
    let app = match manifest::read("app.yaml", &text) {
        Ok(app) => app,
        Err(error) => anyhow::bail!("{error}"),
    };
    let setting = Setting {
        // The host's on a box; here it lies beside the roots.
        relay: Some(image.join(RELAY)).filter(|relay| relay.exists()),
        image,
        volumes: VOLUMES.into(),
        sockets: SOCKETS.into(),
        hostname: hostname.into(),
        shared_ports: vec![PAGE],
        cgroups: None,
        lives: Lives::default(),
    };
    Ok(Running::start(app, setting, journal)?)
}

/// Gives people their homes, as the supervisor does
/// (`init/src/bin/supervisor/people.rs`).
fn settle(running: &Running, hostname: &str, wanted: &[(String, Secret)]) -> Result<()> {
    let Some(first_id) = running.first_id(MAIL_SERVER) else {
        // An app without a mail server.
        return Ok(());
    };
    let homes = Homes {
        folder: Path::new(VOLUMES).join("mail"),
        inside: "/mail".into(),
        learned: Path::new(VOLUMES).join("learned"),
        first_id,
    };
    let mut people = People::read(&Path::new(VOLUMES).join("people"), homes)?;
    people.begin()?;
    for (address, password) in wanted {
        match people.add(Address::parse(address)?, password) {
            // From a run before this one.
            Ok(()) | Err(PeopleError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let addresses = people.all().iter();
    let domains = addresses.map(|person| person.address.domain());
    Settings::own(&Path::new(VOLUMES).join("outbound"), domains.clone())?;
    let web = Path::new(VOLUMES).join("web");
    // An app of another test's may have no such service.
    if web.exists() {
        Table::of(hostname, domains).keep(&web)?;
    }
    for person in people.all() {
        say(&format!("person {} {}", person.address, person.uid))?;
    }
    Ok(())
}

/// Says which records the box needs, over and over, as the supervisor does
/// (`init/src/bin/supervisor/upkeep.rs`): the signers' keys come later than the app.
fn keep_records(hostname: &'static str) {
    let volumes = Path::new(VOLUMES);
    let folder = volumes.join("records-wanted");
    // An app of another test's may have no such service.
    if !folder.exists() {
        return;
    }
    std::thread::spawn(move || {
        loop {
            let kept = Wanted::gather(hostname, volumes).and_then(|wanted| wanted.keep(&folder));
            if let Err(error) = kept {
                eprintln!("{error}");
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    });
}

/// Ports open just after the app is ready.
fn wait_for_the_port(world: &World) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(10);
    while !world.reaches(25) {
        ensure!(Instant::now() < end, "port 25 does not open");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// After the end this process is the only one in its pid namespace, and no
/// sandbox has left a mount.
fn nothing_is_left() -> Result<()> {
    let mut left = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Ok(pid) = name.to_string_lossy().parse::<u32>() else {
            continue;
        };
        if pid != 1 {
            let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            left.push(status);
        }
    }
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

fn say(words: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{words}")?;
    Ok(out.flush()?)
}

/// Adds each line to a file.
#[derive(Debug)]
struct ToFile(Mutex<File>);

impl ToFile {
    fn open(path: &Path) -> Result<Self> {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        Ok(Self(Mutex::new(
            opened.with_context(|| path.display().to_string())?,
        )))
    }

    fn write(&self, text: &str) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a disk the line is lost, as on the box.
        file.write_all(text.as_bytes()).ok();
    }
}

impl Journal for ToFile {
    fn event(&self, words: &str) {
        self.write(&format!("event {words}\n"));
    }

    fn line(&self, service: &str, words: &str) {
        self.write(&format!("{service}: {words}\n"));
    }
}
