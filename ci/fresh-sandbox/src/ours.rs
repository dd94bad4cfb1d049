//! Our sandbox with what `apps/email` says of smtp-in, the program that reads
//! what strangers send, and with the smallest program in its place.

use crate::clock::{self, Start};
use anyhow::{Context, Result};
use manifest::{App, Service};
use sandbox::policy::{Arch, Compiled, compile};
use sandbox::{Child, ReadyRoot, Spec};
use services::{FIRST, Place, descriptors};
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

const SERVICE: &str = "smtp-in";
/// `services::spec` gives every sandbox these.
const DEVICES: [&str; 3] = ["null", "zero", "random"];

/// What is started.
pub struct Ours {
    pub spec: Spec,
    descriptors: usize,
    /// The root folder, for the others as well.
    pub root: PathBuf,
    /// What its policy is compiled to.
    pub compiled: Compiled,
}

impl Ours {
    /// Lays an image out in `folder`, whose one program is `probe`.
    pub fn new(repository: &Path, probe: &Path, folder: &Path) -> Result<Self> {
        let email = repository.join("apps/email");
        let read = |path: &Path| {
            fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))
        };
        let app = manifest::read("app.yaml", &read(&email.join("app.yaml"))?)
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let service = app.service(SERVICE).context("no smtp-in in app.yaml")?;
        let image = folder.join("image");
        let root = image.join("roots").join(service.root.as_str());
        fs::create_dir_all(root.join("dev"))?;
        for device in DEVICES {
            File::create(root.join("dev").join(device))?;
        }
        // For what others mount there.
        fs::create_dir(root.join("proc"))?;
        install(probe, &root.join(SERVICE))?;
        let policies = image.join("policies");
        fs::create_dir(&policies)?;
        let text = read(&email.join("policies").join(&service.policy))?;
        let compiled = compile(&service.policy, &text, Arch::HERE)?;
        fs::write(policies.join(&service.policy), text)?;
        let file = policies.join(&service.policy).with_extension("bpf");
        fs::write(file, compiled.to_bytes())?;
        Ok(Self {
            spec: spec(&app, service, &image, folder)?,
            descriptors: descriptors(&app, service).len(),
            root,
            compiled,
        })
    }

    /// The numbers of its descriptors: its own, and where the probe writes.
    pub fn targets(&self) -> Vec<i32> {
        (FIRST..).take(self.descriptors).chain([1]).collect()
    }

    /// As many streams as smtp-in has, and the probe's pipe.
    pub fn fds(&self, output: OwnedFd) -> Result<Vec<(OwnedFd, i32)>> {
        let mut fds = vec![(output, 1)];
        for number in (FIRST..).take(self.descriptors) {
            fds.push((UnixStream::pair()?.0.into(), number));
        }
        Ok(fds)
    }

    /// Starts one of this spec and says how long it took. The descriptors are there before:
    /// they come with the connection.
    pub fn spawn(&self, spec: &Spec) -> Result<f64> {
        let (output, written) = clock::pipe()?;
        let fds = self.fds(written)?;
        let start = Start::now();
        let child = sandbox::spawn(spec, fds)?;
        finish(start, &output, child)
    }

    /// The same in a root that lies ready.
    pub fn spawn_in(&self, root: &ReadyRoot) -> Result<f64> {
        let (output, written) = clock::pipe()?;
        let fds = self.fds(written)?;
        let start = Start::now();
        let child = root.spawn(&self.spec, fds)?;
        finish(start, &output, child)
    }

    /// The same with one that is sealed before.
    pub fn start_sealed(&self) -> Result<f64> {
        let sealed = sandbox::seal(&self.spec, &self.targets())?;
        let (output, written) = clock::pipe()?;
        let fds = self.fds(written)?;
        let start = Start::now();
        let child = sealed.start(fds)?;
        finish(start, &output, child)
    }
}

fn finish(start: Start, output: &OwnedFd, mut child: Child) -> Result<f64> {
    let took = start.until_written_to(output)?;
    child.wait()?;
    child.destroy()?;
    Ok(took)
}

fn spec(app: &App, service: &Service, image: &Path, folder: &Path) -> Result<Spec> {
    let place = Place {
        image: image.to_owned(),
        volumes: folder.join("volumes"),
        hostname: "mail.example.org".into(),
        first_id: 1_000_000,
        cgroups: cgroups()?,
        instance: "1".into(),
    };
    Ok(services::spec(app, service, &place)?)
}

/// Where cgroup v2 is mounted, if it has the controllers that limits take.
pub fn cgroups() -> Result<Option<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    // The last one, which lies on top.
    let mut lines = mounts.lines().rev();
    let line = lines.find(|line| line.contains(" - cgroup2 "));
    let Some(path) = line.and_then(|line| line.split(' ').nth(4)) else {
        return Ok(None);
    };
    let path = PathBuf::from(path);
    let controllers = fs::read_to_string(path.join("cgroup.controllers"))?;
    let has = |name| controllers.split_whitespace().any(|have| have == name);
    Ok((has("memory") && has("pids")).then_some(path))
}

/// Mode 0711: what could be read is not started.
fn install(program: &Path, to: &Path) -> Result<()> {
    let mut file = File::create(to)?;
    file.write_all(&fs::read(program)?)?;
    file.set_permissions(Permissions::from_mode(0o711))?;
    Ok(())
}
