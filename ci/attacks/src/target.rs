//! A sandbox of the product's, with `attack` for its program.

use crate::world::Ground;
use manifest::{App, Lifetime};
use sandbox::policy::{Arch, COMPILED, compile};
use sandbox::{Root, Spec};
use services::{Place, spec};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The first id outside of the service that is attacked from.
pub const FIRST_ID: u32 = 1_000_000 + 7 * 65_536;
/// And of another's.
pub const FIRST_ID_OF_ANOTHER: u32 = FIRST_ID + 65_536;

/// Each sandbox: the services, SpamAssassin's child, the console.
pub const SANDBOXES: &[&str] = &[
    "smtp-in",
    "gate",
    "report",
    "signer",
    "imap-certificate",
    "spamassassin",
    "spamassassin-child",
    "dovecot",
    "unbound",
    "postfix",
    "tls-policy",
    "submissions",
    "submission",
    "forward",
    "private-signer",
    "dkim",
    "static-web",
    "web-signer",
    "records",
    "console",
];

const POLICIES: [(&str, &str); 14] = [
    (
        "dkim.seccomp",
        include_str!("../../../apps/email/policies/dkim.seccomp"),
    ),
    (
        "dovecot.seccomp",
        include_str!("../../../apps/email/policies/dovecot.seccomp"),
    ),
    (
        "forward.seccomp",
        include_str!("../../../apps/email/policies/forward.seccomp"),
    ),
    (
        "gate.seccomp",
        include_str!("../../../apps/email/policies/gate.seccomp"),
    ),
    (
        "postfix.seccomp",
        include_str!("../../../apps/email/policies/postfix.seccomp"),
    ),
    (
        "records.seccomp",
        include_str!("../../../apps/email/policies/records.seccomp"),
    ),
    (
        "report.seccomp",
        include_str!("../../../apps/email/policies/report.seccomp"),
    ),
    (
        "signer.seccomp",
        include_str!("../../../apps/email/policies/signer.seccomp"),
    ),
    (
        "smtp-in.seccomp",
        include_str!("../../../apps/email/policies/smtp-in.seccomp"),
    ),
    (
        "spamassassin.seccomp",
        include_str!("../../../apps/email/policies/spamassassin.seccomp"),
    ),
    (
        "static-web.seccomp",
        include_str!("../../../apps/email/policies/static-web.seccomp"),
    ),
    (
        "submission.seccomp",
        include_str!("../../../apps/email/policies/submission.seccomp"),
    ),
    (
        "tls-policy.seccomp",
        include_str!("../../../apps/email/policies/tls-policy.seccomp"),
    ),
    (
        "unbound.seccomp",
        include_str!("../../../apps/email/policies/unbound.seccomp"),
    ),
];

fn app() -> App {
    let text = include_str!("../../../apps/email/app.yaml");
    manifest::read("app.yaml", text).unwrap()
}

/// The names of the app's services.
pub fn services() -> Vec<String> {
    let services = app().services;
    services.iter().map(|s| s.name.to_string()).collect()
}

/// Whether the service gets a sandbox for each connection.
pub fn per_connection(name: &str) -> bool {
    let lifetime = app().service(name).map(|service| service.lifetime);
    matches!(lifetime, Some(Lifetime::PerConnection { .. }))
}

/// Copies `attack`. Nothing else is started meanwhile, so nobody has it open for
/// writing when it is executed.
fn install(program: &Path, mode: u32, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(program, to).unwrap();
    fs::set_permissions(to, Permissions::from_mode(mode)).unwrap();
}

/// A folder below `/`, with what leads to it.
fn make_folder(root: &Path, path: &Path) {
    fs::create_dir_all(root.join(path.strip_prefix("/").unwrap())).unwrap();
}

/// The spec that the product enforces for `name`, with a root, volumes and the
/// program in `folder`.
pub fn make(name: &str, ground: &Ground, folder: &Path) -> Spec {
    let spec = match name {
        "console" => console(ground, folder),
        name => service(name, FIRST_ID, ground, folder),
    };
    for volume in &spec.volumes {
        fs::create_dir_all(&volume.host).unwrap();
        install(&ground.program, 0o755, &volume.host.join("program"));
        install(&ground.program, 0o4755, &volume.host.join("set-user-id"));
    }
    spec
}

fn console(ground: &Ground, folder: &Path) -> Spec {
    let mut spec = init::console_sandbox::spec().unwrap();
    let program = folder.join("console");
    install(&ground.program, 0o711, &program);
    let script = folder.join("script.js");
    fs::write(&script, "").unwrap();
    let Root::Entries(entries) = &mut spec.root else {
        panic!("{:?}", spec.root);
    };
    for entry in entries {
        entry.host = match entry.path.as_path() == Path::new("/console") {
            true => program.clone(),
            false => script.clone(),
        };
    }
    match &mut spec.cgroup {
        // On the box there is the real one as well.
        Some(cgroup) if ground.cgroups.is_some() => cgroup.path = "services/attacked".into(),
        cgroup => *cgroup = None,
    }
    spec
}

/// A service of the app, as the supervisor's spec has it.
pub fn service(name: &str, first_id: u32, ground: &Ground, folder: &Path) -> Spec {
    let app = app();
    let service = app.service(name).unwrap();
    let image = folder.join("image");
    let root = image.join("roots").join(service.root.as_str());
    let policies = image.join("policies");
    fs::create_dir_all(&policies).unwrap();
    for (name, text) in POLICIES {
        let compiled = compile(name, text, Arch::HERE).unwrap().to_bytes();
        let path = policies.join(name);
        fs::write(path.with_extension(COMPILED), compiled).unwrap();
        fs::write(path, text).unwrap();
    }
    let place = Place {
        image,
        volumes: folder.join("volumes"),
        hostname: "mx.example".into(),
        first_id,
        cgroups: ground.cgroups.clone(),
        instance: String::new(),
    };
    let spec = spec(&app, service, &place).unwrap();

    for path in ["/dev", "/proc", "/empty"] {
        make_folder(&root, Path::new(path));
    }
    for device in ["null", "zero", "random"] {
        File::create(root.join("dev").join(device)).unwrap();
    }
    let places = spec.volumes.iter().map(|volume| &volume.path);
    for path in places.chain(spec.scratch.iter().map(|scratch| &scratch.path)) {
        make_folder(&root, path);
    }
    for path in &service.programs {
        match path.starts_with("/usr/bin") {
            true => {
                let to = root.join(path.strip_prefix("/").unwrap());
                install(&ground.program, 0o755, &to);
            }
            false => make_folder(&root, path),
        }
    }
    let program = Path::new(&spec.argv[0]).strip_prefix("/").unwrap();
    install(&ground.program, 0o711, &root.join(program));
    let open = Permissions::from_mode(0o755);
    fs::set_permissions(&root, open).unwrap();
    spec
}
