//! bubblewrap, crun and runc, told to isolate as much of the same as they can.
//!
//! All have the same root, read-only, the same namespaces, no capability, no new
//! privileges, and the policy of smtp-in: bubblewrap as the very same filter,
//! the other two as their configuration has it ([`crate::oci`]). What differs:
//!
//! - None has Landlock, memory-deny-write-execute or a program that can't be read.
//! - bubblewrap maps its user to the one who starts it, root here, and sets no
//!   limits of setrlimit(2).
//! - crun and runc map 65536 ids, and mount a `/proc` and a `/dev`; the rest is in
//!   [`oci::Runtime`]. runc makes itself a cgroup; crun is told not to where ours
//!   has none, on a machine without cgroup v2's controllers.

use crate::clock::{self, Start};
use crate::complain;
use crate::oci::{self, Runtime};
use crate::ours::Ours;
use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program that makes sandboxes.
pub struct Rival {
    kind: Kind,
    /// Where it puts what it says of its failures.
    said: PathBuf,
    number: usize,
}

enum Kind {
    Bubblewrap {
        arguments: Vec<String>,
        filter: PathBuf,
        program: Vec<String>,
    },
    Oci {
        name: &'static str,
        options: Vec<String>,
        bundle: PathBuf,
    },
}

/// All of them; whether they work is seen later.
pub fn all(ours: &Ours, folder: &Path) -> Result<Vec<Rival>> {
    let oci = |name: &'static str, runtime, option: Option<&str>| -> Result<Kind> {
        let bundle = folder.join(format!("{name}-bundle"));
        fs::create_dir(&bundle)?;
        let config = oci::config(ours, runtime)?.to_string();
        fs::write(bundle.join("config.json"), config)?;
        let state = folder.join(format!("{name}-state"));
        let options = ["--root".to_owned(), state.display().to_string()];
        let options = options.into_iter().chain(option.map(String::from));
        Ok(Kind::Oci {
            name,
            options: options.collect(),
            bundle,
        })
    };
    let no_cgroup = ours.spec.cgroup.is_none();
    let kinds = [
        bubblewrap(ours, folder)?,
        oci(
            "crun",
            Runtime::Crun,
            no_cgroup.then_some("--cgroup-manager=disabled"),
        )?,
        oci("runc", Runtime::Runc, None)?,
    ];
    let rival = |kind: Kind| Rival {
        said: folder.join(format!("{}.txt", kind.name())),
        kind,
        number: 0,
    };
    Ok(kinds.into_iter().map(rival).collect())
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Bubblewrap { .. } => "bubblewrap",
            Kind::Oci { name, .. } => name,
        }
    }
}

impl Rival {
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Starts one, and says how long it took until the program ran. Returns
    /// when the rival has ended.
    pub fn start(&mut self) -> Result<f64> {
        self.number += 1;
        let name = self.name();
        let (mut command, inherited) = self.command()?;
        let (output, written) = clock::pipe()?;
        command
            .stdin(Stdio::null())
            .stdout(written)
            .stderr(File::create(&self.said)?);
        let start = Start::now();
        let child = command.spawn().with_context(|| name.to_owned());
        // This process's end of the pipe, and the filter.
        drop((command, inherited));
        let took = start.until_written_to(&output);
        let ended = child?.wait()?;
        let said = fs::read_to_string(&self.said)?;
        match took {
            Ok(took) if ended.success() => Ok(took),
            _ => complain(name, &said),
        }
    }

    /// The command, and a descriptor that it inherits.
    fn command(&self) -> Result<(Command, Option<OwnedFd>)> {
        match &self.kind {
            Kind::Bubblewrap {
                arguments,
                filter,
                program,
            } => {
                let mut command = Command::new("bwrap");
                command.args(arguments);
                // Without O_CLOEXEC: it is read by the program that is started.
                let filter = open(filter, OFlag::O_RDONLY, Mode::empty())?;
                let number = filter.as_raw_fd().to_string();
                command.args(["--seccomp", &number]);
                command.arg("--").args(program);
                Ok((command, Some(filter)))
            }
            Kind::Oci {
                name,
                options,
                bundle,
            } => {
                let mut command = Command::new(name);
                let id = format!("fresh-{}-{}", std::process::id(), self.number);
                command
                    .args(options)
                    .args(["run", "--bundle"])
                    .arg(bundle)
                    .arg(id);
                Ok((command, None))
            }
        }
    }
}

fn bubblewrap(ours: &Ours, folder: &Path) -> Result<Kind> {
    let mut arguments: Vec<String> = "--unshare-user --uid 1000 --gid 1000 --unshare-ipc \
        --unshare-pid --unshare-net --unshare-uts --unshare-cgroup --cap-drop ALL --clearenv \
        --new-session --die-with-parent --as-pid-1"
        .split_whitespace()
        .map(String::from)
        .collect();
    arguments.extend(["--hostname".into(), ours.spec.name.clone()]);
    let root = ours.root.display().to_string();
    arguments.extend(["--ro-bind".into(), root, "/".into()]);
    for device in &ours.spec.devices {
        let path = device.path().to_owned();
        arguments.extend(["--dev-bind".into(), path.clone(), path]);
    }
    for (name, value) in &ours.spec.env {
        arguments.extend(["--setenv".into(), name.clone(), value.clone()]);
    }
    let filter = folder.join("filter");
    fs::write(&filter, ours.compiled.filter_bytes())?;
    Ok(Kind::Bubblewrap {
        arguments,
        filter,
        program: ours.spec.argv.clone(),
    })
}
