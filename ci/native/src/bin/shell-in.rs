//! `shell-in --image DIR --service NAME --volumes DIR [--without A,B] -- COMMAND`:
//! runs a command of `sh` in a copy of a service's sandbox, with the host's
//! programs in it, to look around from there.
//!
//! What is as in the service's own: ids, namespaces, volumes, scratch, devices,
//! `/proc`, capabilities, limits, Landlock, the policy. What is otherwise: the
//! root holds the host's `/usr`, and all of that may be executed; the policy lets
//! three calls more through, which a shell makes; the shell can be read, so it is
//! dumpable; there are no channels and no cgroup.
//!
//! With the feature `weak` it takes protections away: `--without all`, or names.

use anyhow::{Context, Result, bail};
use sandbox::{Access, Dumpable, Entry, Exit, PathRule, Root, policy};
use services::Place;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

/// Folders of the host's in which its programs are.
const HOST: [&str; 5] = ["/usr", "/bin", "/sbin", "/lib", "/lib64"];
/// What a shell asks for and no service does.
const SHELL: &str = "
getppid             # a shell's $PPID
sysinfo             # a shell's start
x86_64: getrlimit   # as prlimit64
";
/// As the first service of a box has them.
const FIRST_ID: u32 = 1_000_000;

fn main() -> ExitCode {
    match run() {
        Ok(Exit::Code(code)) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Ok(Exit::Signal(signal)) => {
            eprintln!("shell-in: signal {signal}");
            ExitCode::from(128_u8.saturating_add(u8::try_from(signal).unwrap_or(127)))
        }
        Err(error) => {
            eprintln!("shell-in: {error:#}");
            ExitCode::from(125)
        }
    }
}

fn run() -> Result<Exit> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let end = words.iter().position(|word| word == "--");
    let end = end.context("no -- before the command")?;
    let value = |name: &str| {
        let at = words[..end].iter().position(|word| word == name)?;
        words.get(at + 1).filter(|_| at + 1 < end)
    };
    let image = PathBuf::from(value("--image").context("no --image")?);
    let volumes = PathBuf::from(value("--volumes").context("no --volumes")?);
    let service = value("--service").context("no --service")?;
    if let Some(names) = value("--without") {
        native::remove_protections(names)?;
    }
    let command = words[end + 1..].join(" ");
    let mut spec = spec(&image, &volumes, service)?;
    spec.argv = vec!["/bin/sh".into(), "-c".into(), command];
    let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned();
    let standard: Vec<(OwnedFd, RawFd)> = vec![
        (own(io::stdin().as_fd())?, 0),
        (own(io::stdout().as_fd())?, 1),
        (own(io::stderr().as_fd())?, 2),
    ];
    Ok(sandbox::spawn(&spec, standard)?.wait()?)
}

fn spec(image: &Path, volumes: &Path, name: &str) -> Result<sandbox::Spec> {
    let text = fs::read_to_string(image.join("app.yaml")).context("app.yaml")?;
    let app = match manifest::read("app.yaml", &text) {
        Ok(app) => app,
        Err(error) => bail!("{error}"),
    };
    let service = app
        .service(name)
        .with_context(|| format!("{name}: no service"))?;
    let policy = image.join("policies").join(&service.policy);
    let text = fs::read_to_string(&policy).with_context(|| policy.display().to_string())?;
    let policy = policy::load_str(&service.policy, &(text + SHELL))?;
    let place = Place {
        image: image.to_owned(),
        volumes: volumes.to_owned(),
        hostname: "projectx.local".into(),
        first_id: FIRST_ID,
        cgroups: None,
        instance: String::new(),
    };
    let mut spec = services::spec_with(&app, service, &place, policy);
    for volume in &spec.volumes {
        fs::create_dir_all(&volume.host)?;
        let owner = spec.user.on_host(spec.user.run_as());
        chown(&volume.host, owner, owner)?;
    }
    let there = HOST.iter().filter(|folder| fs::metadata(folder).is_ok());
    let there: Vec<PathBuf> = there.map(PathBuf::from).collect();
    let entry = |path: &PathBuf| Entry {
        host: path.clone(),
        path: path.clone(),
        access: Access::Execute,
    };
    spec.root = Root::Entries(there.iter().map(entry).collect());
    let rule = |path: &PathBuf| PathRule {
        path: path.clone(),
        access: Access::Execute,
    };
    let read = PathRule {
        path: "/".into(),
        access: Access::Read,
    };
    spec.paths = there.iter().map(rule).chain([read]).collect();
    spec.env = vec![("PATH".into(), "/usr/bin:/bin:/usr/sbin:/sbin".into())];
    spec.dumpable = Dumpable::Allowed;
    Ok(spec)
}
