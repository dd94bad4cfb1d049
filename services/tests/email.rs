//! The app Email, as the sandbox gets it.

use manifest::App;
use sandbox::policy::{Arch, compile};
use sandbox::{Capability, Connect, Proc, Spec, User};
use services::{Place, descriptors, spec};
use std::path::Path;

fn app() -> App {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apps/email/app.yaml");
    manifest::read("app.yaml", &std::fs::read_to_string(file).unwrap()).unwrap()
}

/// An image that holds the policy of every service; what a policy allows is
/// not looked at here.
fn image(app: &App) -> tempfile::TempDir {
    let image = tempfile::tempdir().unwrap();
    let policies = image.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let compiled = compile("console", sandbox::CONSOLE, Arch::HERE).unwrap();
    for service in &app.services {
        let text = policies.join(&service.policy);
        std::fs::write(text.with_extension("bpf"), compiled.to_bytes()).unwrap();
        std::fs::write(text, sandbox::CONSOLE).unwrap();
    }
    image
}

fn place(image: &Path, instance: &str) -> Place {
    Place {
        image: image.to_owned(),
        volumes: "/data/apps/email".into(),
        hostname: "mail.example.org".into(),
        first_id: 1_000_000,
        cgroups: Some("/sys/fs/cgroup".into()),
        instance: instance.to_owned(),
    }
}

fn spec_of(name: &str, instance: &str) -> Spec {
    let app = app();
    let image = image(&app);
    spec(
        &app,
        app.service(name).unwrap(),
        &place(image.path(), instance),
    )
    .unwrap()
}

#[test]
fn a_message_that_takes_too_much_memory_takes_no_other_along() {
    for (name, all_of_it) in [
        ("spamassassin", false),
        ("smtp-in", true),
        ("dovecot", true),
    ] {
        let cgroup = spec_of(name, "7").cgroup.unwrap();
        assert_eq!(cgroup.oom_group, all_of_it, "{name}");
    }
}

#[test]
fn what_reads_a_stranger_s_message_has_no_network_no_file_and_no_power() {
    for name in [
        "smtp-in",
        "gate",
        "report",
        "spamassassin",
        "submission",
        "submissions",
        "forward",
        "static-web",
    ] {
        let spec = spec_of(name, "7");
        assert!(spec.scratch.is_empty(), "{name}");
        let seen: Vec<_> = (spec.volumes.iter())
            .map(|volume| (&*volume.path, volume.writable))
            .collect();
        let expected: &[_] = match name {
            // Numbers that it looks words' hashes up in.
            "gate" => &[(Path::new("/learned"), false), (Path::new("/door"), false)],
            // Of the zygote's rules a message's child sees nothing (zygote/tests).
            "spamassassin" => &[(Path::new("/rules"), false)],
            // What strangers may see.
            "static-web" => &[(Path::new("/web"), false)],
            // Which domains are the box's own.
            "forward" => &[(Path::new("/outbound"), false)],
            _ => &[],
        };
        assert_eq!(seen, expected, "{name}");
        assert!(spec.capabilities.is_empty(), "{name}");
        assert_eq!(spec.network, sandbox::Network::default(), "{name}");
        assert_eq!(spec.proc, Proc::Absent, "{name}");
        assert_eq!(spec.rlimits.file_size, 0, "{name}");
        let user = User::One {
            inside: 1000,
            outside: 1_001_000,
        };
        assert_eq!(spec.user, user, "{name}");
        let group = spec.cgroup.unwrap().path;
        assert_eq!(group, Path::new("services/email").join(format!("{name}-7")));
    }
}

#[test]
fn descriptors_come_in_the_order_in_which_they_are_named() {
    let app = app();
    let names = |name| descriptors(&app, app.service(name).unwrap());
    assert_eq!(
        names("smtp-in"),
        [
            "connection",
            "dns",
            "tls-sign",
            "recipient-check",
            "spam-check",
            "deliver"
        ]
    );
    assert_eq!(
        names("gate"),
        ["lmtp", "report", "recipient-check", "deliver", "tokens"]
    );
    assert_eq!(names("report"), ["report"]);
    for name in ["submission", "submissions"] {
        let expected = [
            "connection",
            "private-tls-sign",
            "sasl",
            "dkim-sign",
            "queue",
        ];
        assert_eq!(names(name), expected);
    }
    assert_eq!(names("static-web"), ["connection", "web-tls-sign"]);
    assert_eq!(names("web-signer"), ["web-tls-sign"]);
    assert_eq!(names("tls-policy"), ["tls-policy"]);
    assert!(names("postfix").is_empty());
    assert_eq!(names("signer"), ["tls-sign"]);
    assert_eq!(names("spamassassin"), ["control"]);
    // LMTP and DNS are dialled at ports, so their servers are passed nothing.
    assert_eq!(names("dovecot"), ["imaps", "sieve"]);
    // Its own connection comes last, by a channel that it provides.
    assert_eq!(names("forward"), ["dkim-sign", "queue", "forward"]);
    assert!(names("unbound").is_empty());

    let spec = spec_of("gate", "7");
    let variable = |key: &str| {
        let found = spec.env.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(variable("LISTEN_PID"), Some("1"));
    assert_eq!(variable("LISTEN_FDS"), Some("5"));
    assert_eq!(
        variable("LISTEN_FDNAMES"),
        Some("lmtp:report:recipient-check:deliver:tokens")
    );
    assert!(spec_of("unbound", "").env.is_empty());
}

#[test]
fn dovecot_is_root_of_its_own_ids_with_the_capabilities_that_have_a_reason() {
    let spec = spec_of("dovecot", "");
    let User::Range {
        outside,
        count,
        run_as,
    } = spec.user
    else {
        panic!("{:?}", spec.user);
    };
    assert_eq!((outside, count, run_as), (1_000_000, 65_536, 0));
    let mut capabilities = spec.capabilities.clone();
    capabilities.sort_by_key(|capability| *capability as u8);
    assert_eq!(
        capabilities,
        [
            Capability::Chown,
            Capability::SetGid,
            Capability::SetUid,
            Capability::SysChroot
        ]
    );
    let volume = |path: &str| {
        let volume = spec
            .volumes
            .iter()
            .find(|volume| volume.path == Path::new(path));
        let volume = volume.unwrap();
        (volume.host.to_str().unwrap(), volume.writable)
    };
    assert_eq!(volume("/mail"), ("/data/apps/email/mail", true));
    assert_eq!(volume("/people"), ("/data/apps/email/people", false));
    assert_eq!(volume("/tls"), ("/data/apps/email/tls", false));
    assert_eq!(spec.network.tcp.bind, [24, 2500]);
    // Its only way out, to forward.
    assert_eq!(spec.network.tcp.connect, Connect::Ports(vec![2526]));
    assert!(spec.network.loopback && spec.network.unprivileged_ports);
}

#[test]
fn three_services_dial_the_internet_each_at_its_own_ports() {
    let app = app();
    for service in &app.services {
        let expected = match service.name.as_str() {
            "unbound" => Connect::Ports(vec![53]),
            // Mail servers and the smarthost's; and by channels Dovecot, Unbound and
            // tls-policy.
            "postfix" => Connect::Ports(vec![24, 25, 53, 465, 587, 8461]),
            // The web; and Unbound.
            "tls-policy" => Connect::Ports(vec![53, 443]),
            // Unbound, by a channel: it has no way to the internet itself.
            "records" => Connect::Ports(vec![53]),
            // The service forward, inside itself.
            "dovecot" => Connect::Ports(vec![2526]),
            _ => Connect::None,
        };
        let spec = spec_of(service.name.as_str(), "");
        assert_eq!(spec.network.tcp.connect, expected, "{}", service.name);
    }
}

#[test]
fn the_name_of_the_box_is_an_argument_and_nothing_else_is_filled_in() {
    let argv = spec_of("smtp-in", "7").argv;
    assert_eq!(argv[..3], ["/smtp-in", "mail.example.org", "smtp-in-7"]);
    // When it was made: 2026-11-24T17:00:25.007Z.
    let digits: String = argv[3]
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!((argv.len(), &*digits), (4, "0000-00-00T00:00:00.000Z"));
    assert_eq!(spec_of("smtp-in", "7").name, "smtp-in-7");
}

#[test]
fn each_exit_code_of_smtp_in_has_its_word() {
    // The numbers are those of `Came` in smtp-in/src/session.rs.
    let app = app();
    let outcomes = &app.service("smtp-in").unwrap().outcomes;
    let words: Vec<(u8, &str)> = outcomes
        .iter()
        .map(|(code, word)| (*code, word.as_str()))
        .collect();
    assert_eq!(
        words,
        [
            (0, "nothing"),
            (1, "failed"),
            (10, "delivered"),
            (11, "junk"),
            (12, "refused"),
            (13, "later"),
            (14, "broken"),
            (15, "no-tls")
        ]
    );
}

#[test]
fn a_service_without_its_policy_does_not_start() {
    let app = app();
    let image = image(&app);
    let service = app.service("gate").unwrap();
    let policy = image.path().join("policies").join(&service.policy);
    let compiled = policy.with_extension("bpf");
    let place = place(image.path(), "");
    let error = || spec(&app, service, &place).unwrap_err().to_string();
    let (file, text) = (compiled.display(), policy.display());

    // Another text, for the same compiled policy.
    std::fs::write(&policy, format!("{}ptrace # more\n", sandbox::CONSOLE)).unwrap();
    let expected =
        format!("{file}: was not compiled from gate.seccomp as that is now; make the image anew");
    assert_eq!(error(), expected);
    std::fs::write(&policy, sandbox::CONSOLE).unwrap();
    spec(&app, service, &place).unwrap();

    // The other machine's.
    let [other, name] = match Arch::HERE {
        Arch::X86_64 => [Arch::Aarch64, Arch::X86_64],
        Arch::Aarch64 => [Arch::X86_64, Arch::Aarch64],
    };
    let bytes = compile("gate.seccomp", sandbox::CONSOLE, other).unwrap();
    std::fs::write(&compiled, bytes.to_bytes()).unwrap();
    let expected = format!(
        "{file}: is for {}, and this machine is {}; make the image anew",
        other.name(),
        name.name()
    );
    assert_eq!(error(), expected);

    // Half of one.
    let bytes = compile("gate.seccomp", sandbox::CONSOLE, Arch::HERE).unwrap();
    std::fs::write(&compiled, &bytes.to_bytes()[..100]).unwrap();
    let expected = format!("{file}: has 100 bytes, and needs ");
    assert!(error().starts_with(&expected), "{}", error());

    std::fs::remove_file(&compiled).unwrap();
    assert!(
        error().starts_with(&format!("{file}: not read")),
        "{}",
        error()
    );
    std::fs::remove_file(&policy).unwrap();
    assert!(
        error().starts_with(&format!("{text}: not read")),
        "{}",
        error()
    );
}
