//! A box in QEMU: started on a card, watched, and ended.
//!
//! Two boards. `virt` starts at Debian's own U-Boot for it and has a watchdog
//! (i6300esb) that really resets. `rpi3` starts at the card's U-Boot with the
//! card's device tree and reads everything else from the card too; only the
//! GPU firmware's step, which reads those two files on a real board, is QEMU's.
//! Opening the watchdog resets `raspi3b` at once, so its card needs
//! `projectx.watchdog=off` ([`RPI3_DEBUG_ENV`]).
//!
//! The guest reaches nothing outside (`restrict=on`); the host reaches its
//! ports 80, 443, 25 and 993 on free ports of 127.0.0.1. Which ports are free is
//! asked before QEMU binds them, so another program may be faster: QEMU then
//! ends at once, and [`Machine::start`] tries again.
//! Sources: QEMU's system manual, chapters "virt" and "raspi3b"; its QMP reference.

use crate::card_image::{self, CardError};
use crate::screen::Screen;
use crate::snapshot;
use crate::tool::{ToolError, tool};
use crate::usb_cable::{self, Cable};
use nix::time::ClockId;
use serde_json::{Value, json};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What `debug.env` must say on a card for `rpi3` in QEMU.
pub const RPI3_DEBUG_ENV: &[u8] = b"args=projectx.watchdog=off\n";
/// How long a box may take from power to its page, slow hosts included.
pub const PAGE_LIMIT: Duration = Duration::from_secs(240);

/// The address that QEMU's own network gives the box, and to which [`Ports`] lead.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

/// Which machine QEMU plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Board {
    /// QEMU's own machine: virtio disk and network, a working watchdog.
    Virt,
    /// A Raspberry Pi 3: SD controller, USB network; slower.
    Rpi3,
}

/// What the box's network leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// [`Ports`] of the host lead in; nothing leads out.
    Ports,
    /// The tap interface of this name, which is there already. What is behind
    /// it must lead nowhere either.
    Tap(&'static str),
    /// The same for a second box in the same network: its hardware address is another.
    SecondTap(&'static str),
}

/// From where the box goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Power-on. The card is a raw image.
    PowerOn,
    /// Power-on with a raw image that has a fault. `virt` only.
    PowerOnWith(CardFault),
    /// Power-on with a card from [`snapshot::lay_over`], whose moments can be
    /// kept by [`Machine::save`]. `virt` only.
    PowerOnToSave,
    /// The moment that [`Machine::save`] kept in the card's file. `virt` only.
    Saved,
}

/// What is the matter with a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardFault {
    /// Its switch is on "lock": the disk is read-only.
    Locked,
    /// This sector gives an error when it is read.
    Unreadable(u64),
    /// Every write gives an error, as with a card that is worn out.
    Unwritable,
}

/// What to start.
#[derive(Debug)]
pub struct Setup {
    /// The machine.
    pub board: Board,
    /// The card, made by [`card_image::make`]. The box writes to it.
    pub card: PathBuf,
    /// From where it goes on.
    pub start: Start,
    /// Main memory in MB; `rpi3` always has 1024.
    pub memory: u32,
    /// Where the serial console goes; appended to.
    pub serial: PathBuf,
    /// The U-Boot of `virt`, see [`virt_u_boot`].
    pub virt_u_boot: PathBuf,
    /// Where its network cable goes.
    pub network: Network,
    /// Where all that it sends, gets and writes is kept, if anywhere.
    pub recording: Option<Recording>,
    /// A USB stick in it, a raw image that the box may write to. `virt` only.
    pub stick: Option<PathBuf>,
}

/// Files that QEMU writes while the box runs. `virt` only.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Every packet of its network card, both ways (pcap).
    pub packets: PathBuf,
    /// Every write to its card, with the data (the format of dm-log-writes,
    /// kernel documentation, "dm-log-writes"). It is laid below the card's
    /// format; of qcow2 the clusters are the guest's blocks as they are, and
    /// above it a kept moment could not be loaded.
    pub writes: PathBuf,
}

/// A guest that is no box, in the machine that the box has as [`Board::Virt`]:
/// QEMU itself loads its kernel.
#[derive(Debug)]
pub struct Guest {
    /// The kernel, plain or packed with gzip.
    pub kernel: PathBuf,
    /// Its initramfs.
    pub initramfs: PathBuf,
    /// Its command line.
    pub command_line: String,
    /// Raw images: the first is `/dev/vda`. The guest may write to them.
    pub disks: Vec<PathBuf>,
    /// Main memory in MB.
    pub memory: u32,
    /// Where the serial console goes; appended to.
    pub serial: PathBuf,
    /// Where its network cable goes.
    pub network: Network,
}

/// The ports on 127.0.0.1 that lead to the box, with [`Network::Ports`].
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The page, port 80 of the box.
    pub console: u16,
    /// The page over TLS, port 443 of the box.
    pub console_tls: u16,
    /// Port 25 of the box.
    pub smtp: u16,
    /// Port 993 of the box.
    pub imaps: u16,
}

/// Why a box could not be started, or did not do what was awaited.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// QEMU ended when it should have run.
    #[error("QEMU ended ({status}): {said}\nserial log: {}", serial.display())]
    Ended {
        /// How.
        status: ExitStatus,
        /// Its standard error.
        said: String,
        /// The serial log.
        serial: PathBuf,
    },
    /// Something did not happen in time.
    #[error("{what}: not within {} s; serial log: {}", limit.as_secs(), serial.display())]
    TimedOut {
        /// What was awaited.
        what: String,
        /// For how long.
        limit: Duration,
        /// The serial log.
        serial: PathBuf,
    },
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// QEMU's control socket failed.
    #[error("QEMU's control socket: {0}")]
    Control(io::Error),
    /// A file of ours, or starting QEMU, failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The card could not be read.
    #[error(transparent)]
    Card(#[from] CardError),
    /// U-Boot for `virt` could not be had.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// A running box. Dropping it is a power cut.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    ports: Ports,
    serial: PathBuf,
    serial_start: usize,
    /// Control sockets, QEMU's standard error, and the files that it starts from.
    directory: tempfile::TempDir,
    _cable: Option<Cable>,
}

/// True once Ctrl-C or SIGTERM has come. The first call installs the handlers.
pub fn interrupted() -> bool {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // It fails for signals that cannot be caught only; these can.
            let _ = signal_hook::flag::register(signal, Arc::clone(&flag));
        }
        flag
    })
    .load(Ordering::Relaxed)
}

/// The U-Boot of `virt` from Debian's package, fetched into `cache` once.
pub fn virt_u_boot(cache: &Path) -> Result<PathBuf, QemuError> {
    let file = cache.join("u-boot-qemu_arm64.bin");
    if file.exists() {
        return Ok(file);
    }
    fs::create_dir_all(cache).map_err(io_error("making the cache folder"))?;
    let tar = cache.join("u-boot-qemu.part.tar");
    tool("mmdebstrap", "mmdebstrap")
        .args([
            "--variant=extract",
            "--architectures=arm64",
            "--include=u-boot-qemu:all",
            "trixie",
        ])
        .arg(&tar)
        .run()?;
    let bytes = tool("tar", "tar")
        .arg("-xOf")
        .arg(&tar)
        .arg("./usr/lib/u-boot/qemu_arm64/u-boot.bin")
        .output()?;
    let part = file.with_extension("part");
    fs::write(&part, bytes)
        .and_then(|()| fs::rename(&part, &file))
        .and_then(|()| fs::remove_file(&tar))
        .map_err(io_error("writing U-Boot into the cache"))?;
    Ok(file)
}

impl Machine {
    /// Switches the box on.
    pub fn start(setup: &Setup) -> Result<Self, QemuError> {
        let mut machine = Self::start_with(&setup.serial, |ports, directory| {
            arguments(setup, ports, directory)
        })?;
        if setup.board == Board::Rpi3 {
            let (serial, start) = (machine.serial.clone(), machine.serial_start);
            machine._cable = Some(Cable::hold(machine.qmp_socket(), serial, start));
        }
        Ok(machine)
    }

    /// Switches a guest on that is no box.
    pub fn start_guest(guest: &Guest) -> Result<Self, QemuError> {
        Self::start_with(&guest.serial, |ports, directory| {
            Ok(guest_arguments(guest, ports, directory))
        })
    }

    fn start_with(
        serial: &Path,
        arguments: impl Fn(Ports, &Path) -> Result<Vec<String>, QemuError>,
    ) -> Result<Self, QemuError> {
        let mut tries_left = 5;
        loop {
            match Self::start_once(serial, &arguments) {
                Err(QemuError::Ended { said, .. })
                    if tries_left > 0 && said.contains("host forwarding rule") =>
                {
                    tries_left -= 1;
                }
                other => return other,
            }
        }
    }

    fn start_once(
        serial: &Path,
        arguments: &impl Fn(Ports, &Path) -> Result<Vec<String>, QemuError>,
    ) -> Result<Self, QemuError> {
        // First, so that a Ctrl-C from now on ends QEMU as well.
        if interrupted() {
            return Err(QemuError::Interrupted);
        }
        let directory = tempfile::tempdir().map_err(io_error("making a temporary folder"))?;
        let ports = free_ports().map_err(io_error("looking for free ports on 127.0.0.1"))?;
        let errors = fs::File::create(directory.path().join("stderr"))
            .map_err(io_error("making a file for QEMU's messages"))?;
        if let Some(folder) = serial.parent() {
            fs::create_dir_all(folder).map_err(io_error("making the serial log's folder"))?;
        }
        let serial_start = fs::metadata(serial).map_or(0, |m| m.len() as usize);
        let child = Command::new("qemu-system-aarch64")
            .args(arguments(ports, directory.path())?)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            // Ctrl-C is for us, who then end QEMU in order.
            .process_group(0)
            .spawn()
            .map_err(io_error(
                "starting qemu-system-aarch64 (package qemu-system-arm)",
            ))?;
        let mut machine = Self {
            child,
            ports,
            serial: serial.to_owned(),
            serial_start,
            directory,
            _cable: None,
        };
        // A refused option or a port that is taken shows at once.
        machine.wait_until("QEMU's start", Duration::from_secs(20), |machine| {
            Ok(machine.qmp("query-status").is_ok().then_some(()))
        })?;
        Ok(machine)
    }

    /// The ports that lead to the box.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// The page's address.
    pub fn page(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.console)
    }

    /// The page's address over TLS.
    pub fn page_over_tls(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.console_tls)
    }

    /// The processor time that the emulator has used so far, whatever else this
    /// machine had to do: clock_getcpuclockid(3).
    pub fn processor_time(&self) -> Result<Duration, QemuError> {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        let used = ClockId::pid_cpu_clock_id(pid).and_then(ClockId::now);
        let used = used.map_err(|errno| io_error("QEMU's processor time")(errno.into()))?;
        Ok(used.into())
    }

    /// The socket behind the box's second serial port (`virt` only).
    pub fn second_port(&self) -> PathBuf {
        self.directory.path().join("port2")
    }

    /// What the serial console has said since this machine was started.
    pub fn serial_text(&self) -> Result<String, QemuError> {
        let bytes = fs::read(&self.serial).map_err(io_error("reading the serial log"))?;
        let new = bytes.get(self.serial_start..).unwrap_or_default();
        Ok(String::from_utf8_lossy(new).replace('\r', ""))
    }

    /// What is on the box's screen (`rpi3` only: `virt` has none).
    pub fn screen(&self) -> Result<Screen, QemuError> {
        let file = self.directory.path().join("screen.ppm");
        let picture = json!({ "execute": "screendump", "arguments": { "filename": text(&file) } });
        qmp(&self.qmp_socket(), &[picture]).map_err(QemuError::Control)?;
        let ppm = fs::read(&file).map_err(io_error("reading the picture of the screen"))?;
        Screen::parse(&ppm).ok_or_else(|| {
            let other = io::Error::other("not a picture in PPM");
            io_error("reading the picture of the screen")(other)
        })
    }

    /// Waits until `ask` has an answer. QEMU's end, Ctrl-C and the limit are errors.
    pub fn wait_until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut ask: impl FnMut(&mut Self) -> Result<Option<T>, QemuError>,
    ) -> Result<T, QemuError> {
        let end = Instant::now() + limit;
        loop {
            if let Some(answer) = ask(self)? {
                return Ok(answer);
            }
            if let Some(status) = self.exited()? {
                return Err(self.ended(status));
            }
            if interrupted() {
                return Err(QemuError::Interrupted);
            }
            if Instant::now() > end {
                let serial = self.serial.clone();
                return Err(QemuError::TimedOut {
                    what: what.to_owned(),
                    limit,
                    serial,
                });
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the page answers.
    pub fn wait_for_page(&mut self) -> Result<(), QemuError> {
        self.wait_until("the box's page", PAGE_LIMIT, |machine| {
            Ok(page_answers(machine.ports.console).then_some(()))
        })
    }

    /// Waits until the serial console has said `text` at least `times` times.
    pub fn wait_for_serial(
        &mut self,
        text: &str,
        times: usize,
        limit: Duration,
    ) -> Result<(), QemuError> {
        self.wait_until(
            &format!("{text:?} on the serial console"),
            limit,
            |machine| Ok((machine.serial_text()?.matches(text).count() >= times).then_some(())),
        )
    }

    /// Waits until the box has switched itself off.
    pub fn wait_for_power_off(&mut self, limit: Duration) -> Result<(), QemuError> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            match self.exited()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(self.ended(status)),
                None if interrupted() => return Err(QemuError::Interrupted),
                None => sleep(Duration::from_millis(100)),
            }
        }
        let serial = self.serial.clone();
        Err(QemuError::TimedOut {
            what: "the box's power-off".into(),
            limit,
            serial,
        })
    }

    /// How QEMU ended, if it did.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>, QemuError> {
        self.child.try_wait().map_err(io_error("asking after QEMU"))
    }

    /// Pulls the plug: QEMU is killed, and the guest's unwritten data with it.
    pub fn cut_power(mut self) -> Result<(), QemuError> {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .map(|_| ())
            .map_err(io_error("killing QEMU"))
    }

    /// Keeps this moment, disk and memory, in the card's file and ends QEMU.
    /// [`Start::Saved`] goes on from here, as often as one likes with copies of
    /// the file.
    pub fn save(self) -> Result<(), QemuError> {
        snapshot::save(&self.qmp_socket()).map_err(QemuError::Control)?;
        self.quit()
    }

    /// Ends QEMU in order, so that the card's file is whole. For the guest it is
    /// a power cut.
    pub fn quit(mut self) -> Result<(), QemuError> {
        self.qmp("quit")?;
        self.child
            .wait()
            .map(|_| ())
            .map_err(io_error("waiting for QEMU's end"))
    }

    /// Sends one command without arguments to QEMU and waits for its answer.
    fn qmp(&self, command: &str) -> Result<(), QemuError> {
        qmp(&self.qmp_socket(), &[json!({ "execute": command })])
            .map(drop)
            .map_err(QemuError::Control)
    }

    fn qmp_socket(&self) -> PathBuf {
        self.directory.path().join("qmp")
    }

    fn ended(&self, status: ExitStatus) -> QemuError {
        let said = fs::read_to_string(self.directory.path().join("stderr")).unwrap_or_default();
        QemuError::Ended {
            status,
            said: said.trim().to_owned(),
            serial: self.serial.clone(),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only when QEMU is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What every machine has: a control socket, a console, a network cable.
fn common(serial: &Path, network: Network, ports: Ports, directory: &Path) -> Vec<String> {
    let forward = |host: u16, guest: u16| format!("hostfwd=tcp:127.0.0.1:{host}-{ADDRESS}:{guest}");
    let network = match network {
        Network::Ports => format!(
            "user,id=net,restrict=on,{},{},{},{}",
            forward(ports.console, 80),
            forward(ports.console_tls, 443),
            forward(ports.smtp, 25),
            forward(ports.imaps, 993)
        ),
        Network::Tap(name) | Network::SecondTap(name) => {
            format!("tap,id=net,ifname={name},script=no,downscript=no")
        }
    };
    vec![
        "-display".into(),
        "none".into(),
        "-monitor".into(),
        "none".into(),
        "-qmp".into(),
        format!("unix:{},server=on,wait=off", text(&directory.join("qmp"))),
        "-chardev".into(),
        format!("file,id=console,path={},append=on", text(serial)),
        "-netdev".into(),
        network,
    ]
}

/// The machine `virt`: all but what it starts from and its disks.
fn virt(memory: u32, network: Network, directory: &Path) -> Vec<String> {
    let memory = memory.to_string();
    let port2 = format!(
        "socket,id=port2,path={},server=on,wait=off",
        text(&directory.join("port2"))
    );
    let last = match network {
        // QEMU's own choice for the first network card of a machine.
        Network::Ports | Network::Tap(_) => "56",
        Network::SecondTap(_) => "57",
    };
    // No boot from the network, so no boot program for it either.
    let network = format!("virtio-net-pci,netdev=net,mac=52:54:00:12:34:{last},romfile=");
    [
        ["-M", "virt"],
        ["-cpu", "cortex-a53"],
        ["-smp", "1"],
        ["-m", &memory],
        ["-device", "virtio-rng-pci"],
        ["-device", &network],
        ["-device", "i6300esb"],
        ["-action", "watchdog=reset"],
        ["-serial", "chardev:console"],
        ["-chardev", &port2],
        ["-device", "pci-serial,chardev=port2"],
    ]
    .concat()
    .iter()
    .map(|word| (*word).to_owned())
    .collect()
}

/// QEMU's arguments for a guest that is no box.
fn guest_arguments(guest: &Guest, ports: Ports, directory: &Path) -> Vec<String> {
    let mut words = common(&guest.serial, guest.network, ports, directory);
    words.extend(virt(guest.memory, guest.network, directory));
    let mut more = |list: &[&str]| words.extend(list.iter().map(|word| (*word).to_owned()));
    more(&["-kernel", &text(&guest.kernel)]);
    more(&["-initrd", &text(&guest.initramfs)]);
    more(&["-append", &guest.command_line]);
    // A kernel that panics ends the guest instead of starting it for ever.
    more(&["-no-reboot"]);
    for (number, disk) in guest.disks.iter().enumerate() {
        let drive = format!("if=none,id=disk{number},format=raw,file={}", text(disk));
        more(&["-drive", &drive]);
        more(&["-device", &format!("virtio-blk-pci,drive=disk{number}")]);
    }
    words
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// QEMU's arguments for a box. Files that it needs and that live on the card
/// are copied to `directory`.
fn arguments(setup: &Setup, ports: Ports, directory: &Path) -> Result<Vec<String>, QemuError> {
    let mut words = common(&setup.serial, setup.network, ports, directory);
    if setup.board == Board::Virt {
        words.extend(virt(setup.memory, setup.network, directory));
    }
    let card = text(&setup.card);
    let mut more = |list: &[&str]| words.extend(list.iter().map(|word| (*word).to_owned()));
    match setup.board {
        Board::Virt => {
            more(&["-bios", &text(&setup.virt_u_boot)]);
            let format = match setup.start {
                Start::PowerOn | Start::PowerOnWith(_) => "raw",
                Start::PowerOnToSave | Start::Saved => "qcow2",
            };
            match &setup.recording {
                None => match setup.start {
                    Start::PowerOnWith(
                        fault @ (CardFault::Unreadable(_) | CardFault::Unwritable),
                    ) => {
                        let below = format!("driver=file,node-name=below,filename={card}");
                        let mut error = json!({ "event": "none", "errno": 5, "once": false,
                            "immediately": false, "iotype": "write" });
                        if let CardFault::Unreadable(sector) = fault {
                            error["iotype"] = "read".into();
                            error["sector"] = sector.into();
                        }
                        let faulty = json!({ "driver": "blkdebug", "node-name": "card",
                            "image": "below", "inject-error": [error] });
                        more(&["-blockdev", &below, "-blockdev", &faulty.to_string()]);
                    }
                    start => {
                        let locked = start == Start::PowerOnWith(CardFault::Locked);
                        let locked = if locked { ",readonly=on" } else { "" };
                        more(&[
                            "-drive",
                            &format!("if=none,id=card,format={format},file={card}{locked}"),
                        ]);
                    }
                },
                Some(recording) => {
                    fs::write(&recording.writes, "").map_err(io_error("making the record"))?;
                    let (packets, writes) = (text(&recording.packets), text(&recording.writes));
                    for node in [
                        format!("driver=file,node-name=below,filename={card}"),
                        format!("driver=file,node-name=writes,filename={writes}"),
                        "driver=blklogwrites,node-name=logged,file=below,log=writes".to_owned(),
                        format!("driver={format},node-name=card,file=logged"),
                    ] {
                        more(&["-blockdev", &node]);
                    }
                    let dump = format!("filter-dump,id=packets,netdev=net,file={packets}");
                    more(&["-object", &dump]);
                }
            }
            if setup.start == Start::Saved {
                more(&["-loadvm", snapshot::NAME]);
            }
            more(&["-device", "virtio-blk-pci,drive=card"]);
            if let Some(stick) = &setup.stick {
                let drive = format!("if=none,id=stick,format=raw,file={}", text(stick));
                more(&["-device", "qemu-xhci", "-drive", &drive]);
                more(&["-device", "usb-storage,drive=stick,removable=on"]);
            }
            // Debian's kernel has the driver of this machine's clock built in;
            // a Pi has no clock that runs without power.
            more(&["-rtc", "base=1970-01-01"]);
        }
        Board::Rpi3 => {
            for name in ["u-boot.bin", "bcm2837-rpi-3-b.dtb"] {
                fs::write(
                    directory.join(name),
                    card_image::read_file(&setup.card, name)?,
                )
                .map_err(io_error("copying a file from the card"))?;
            }
            // Four cores are the board's; one thread for all is three times faster.
            more(&["-M", "raspi3b", "-accel", "tcg,thread=single"]);
            more(&["-kernel", &text(&directory.join("u-boot.bin"))]);
            more(&["-dtb", &text(&directory.join("bcm2837-rpi-3-b.dtb"))]);
            more(&["-drive", &format!("if=sd,format=raw,file={card}")]);
            more(&usb_cable::DEVICE);
            more(&["-serial", "null", "-serial", "chardev:console"]);
        }
    }
    Ok(words)
}

/// Four ports that nobody listens on at this moment.
fn free_ports() -> io::Result<Ports> {
    let hold = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (console, console_tls, smtp, imaps) = (hold()?, hold()?, hold()?, hold()?);
    Ok(Ports {
        console: console.local_addr()?.port(),
        console_tls: console_tls.local_addr()?.port(),
        smtp: smtp.local_addr()?.port(),
        imaps: imaps.local_addr()?.port(),
    })
}

/// Whether the page answers. QEMU accepts connections before the box does, so
/// only an answer counts.
fn page_answers(port: u16) -> bool {
    let ask = || -> io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(&start == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// Sends commands to QEMU, each once the one before has been answered, and
/// returns the last answer.
pub fn qmp(socket: &Path, commands: &[Value]) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    // Keeping a moment writes the guest's whole memory.
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut greeting = String::new();
    lines.read_line(&mut greeting)?;
    let capabilities = json!({ "execute": "qmp_capabilities" });
    let mut answer = Value::Null;
    for command in [&capabilities].into_iter().chain(commands) {
        writeln!(stream, "{command}")?;
        answer = wait_for_return(&mut lines)?;
    }
    Ok(answer)
}

/// Reads QMP lines until the answer to the last command; events are passed over.
fn wait_for_return(lines: &mut impl BufRead) -> io::Result<Value> {
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            // `quit` may close the socket before its answer is out.
            return Ok(Value::Null);
        }
        let value: Value = serde_json::from_str(&line)?;
        if let Some(answer) = value.get("return") {
            return Ok(answer.clone());
        }
        if let Some(error) = value.get("error") {
            return Err(io::Error::other(error.to_string()));
        }
    }
}

fn io_error(what: &str) -> impl FnOnce(io::Error) -> QemuError + '_ {
    move |source| QemuError::Io {
        what: what.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(board: Board) -> String {
        let directory = tempfile::tempdir().unwrap();
        let setup = Setup {
            board,
            card: "card.img".into(),
            start: Start::PowerOn,
            memory: 1024,
            serial: "serial.log".into(),
            virt_u_boot: "u-boot.bin".into(),
            network: Network::Ports,
            recording: None,
            stick: None,
        };
        let ports = Ports {
            console: 1,
            console_tls: 2,
            smtp: 3,
            imaps: 4,
        };
        arguments(&setup, ports, directory.path())
            .unwrap()
            .join(" ")
    }

    #[test]
    fn the_guest_is_cut_off_and_its_ports_are_local_only() {
        let words = words(Board::Virt);
        assert!(words.contains("user,id=net,restrict=on,"), "{words}");
        assert_eq!(words.matches("hostfwd=").count(), 4);
        assert_eq!(words.matches("hostfwd=tcp:127.0.0.1:").count(), 4);
    }

    #[test]
    fn a_guest_that_is_no_box_has_the_same_machine_and_network() {
        let guest = Guest {
            kernel: "Image.gz".into(),
            initramfs: "initrd".into(),
            command_line: "quiet".into(),
            disks: vec!["a.img".into(), "b.img".into()],
            memory: 1024,
            serial: "serial.log".into(),
            network: Network::Ports,
        };
        let ports = Ports {
            console: 1,
            console_tls: 2,
            smtp: 3,
            imaps: 4,
        };
        // Of both, the control sockets lie in a folder of their own.
        let directory = Path::new("/folder");
        let words = guest_arguments(&guest, ports, directory).join(" ");
        let machine = virt(1024, Network::Ports, directory).join(" ");
        assert!(words.contains(&machine), "{words}");
        assert!(words.contains("restrict=on"), "{words}");
        assert!(words.contains("-append quiet -no-reboot -drive if=none,id=disk0,"));
    }

    #[test]
    fn an_expired_watchdog_resets_the_machine() {
        assert!(words(Board::Virt).contains("-device i6300esb -action watchdog=reset"));
    }

    #[test]
    fn events_before_an_answer_are_passed_over_and_an_error_is_told() {
        let mut good = &b"{\"event\":\"RESUME\"}\n{\"return\":{}}\n"[..];
        wait_for_return(&mut good).unwrap();
        let mut bad = &b"{\"error\":{\"desc\":\"no such command\"}}\n"[..];
        let error = wait_for_return(&mut bad).unwrap_err().to_string();
        assert!(error.contains("no such command"), "{error}");
    }
}
