//! Every attack from every sandbox, on this machine; needs root and Linux 6.12 or
//! later. What a line of `expected/` names is taken away one by one, and each of
//! those protections is tried alone as well: with all others of the line gone.
//!
//! `ATTACKS_BLESS=1` finds the protections anew, the fewest that have to go, and
//! writes the files; read the difference.

use attacks::{ATTACKS, Ground, IN, Layer, World, holding, layers_of, line, on_purpose};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn expected_file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("expected");
    folder.join(format!("{name}.txt"))
}

/// The lines of a file by their attack.
fn expected(name: &str) -> BTreeMap<String, String> {
    let path = expected_file(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = |line: &str| {
        let (attack, rest) = line.split_once(": ").expect(line);
        (attack.to_owned(), rest.to_owned())
    };
    lines.map(split).collect()
}

/// `attack`, built static for this machine.
fn program() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("static");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--bins", "--target", &triple])
        .args(["--package", "attacks", "--features", "weak"])
        .arg("--target-dir")
        .arg(&target)
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            "-Ctarget-feature=+crt-static\x1f-Cstrip=symbols",
        )
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success(), "the program is not built");
    target.join(triple).join("debug/attack")
}

fn bless(world: &World) {
    let mut text = format!(
        "# What each attack comes to in the sandbox {}: see src/lib.rs.\n\
         # Written by ATTACKS_BLESS=1.\n",
        world.name()
    );
    for attack in ATTACKS.iter().filter(|attack| world.has(attack)) {
        let layers = match on_purpose(world.name(), attack) {
            Some(_) => vec![],
            None => holding(world, attack),
        };
        let line = line(world, attack, &layers);
        text += &format!("\n# {}\n{}: {line}\n", attack.tries, attack.name);
    }
    fs::write(expected_file(world.name()), text).unwrap();
}

/// All attacks in one sandbox.
fn attack_from(name: &str) {
    let ground = Ground {
        program: program(),
        // Limits on memory and tasks are the boot test's.
        cgroups: None,
    };
    let world = World::new(name, &ground);
    if std::env::var_os("ATTACKS_BLESS").is_some() {
        bless(&world);
    }
    let mut expected = expected(name);
    let mut wrong = Vec::new();
    for attack in ATTACKS.iter().filter(|attack| world.has(attack)) {
        let Some(expected) = expected.remove(attack.name) else {
            wrong.push(format!("{}: no line says what is expected", attack.name));
            continue;
        };
        let layers = layers_of(&expected);
        let found = line(&world, attack, &layers);
        if found != expected {
            let name = attack.name;
            wrong.push(format!("{name}: {found}\n    expected {expected}"));
        }
        if on_purpose(name, attack).is_some() {
            continue;
        }
        if found.starts_with(IN) || !found.ends_with(": in") {
            let name = attack.name;
            wrong.push(format!("{name}: {found}\n    is not held, or always is"));
        }
        for kept in &layers {
            let others: Vec<Layer> = layers.iter().copied().filter(|l| l != kept).collect();
            if world.run(attack, &others) == IN {
                wrong.push(format!("{}: {kept} alone does not hold it", attack.name));
            }
        }
    }
    let left = expected.keys();
    wrong.extend(left.map(|attack| format!("{attack}: is expected and not tried")));
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
}

#[test]
fn attacks_from_smtp_in() {
    attack_from("smtp-in");
}

#[test]
fn attacks_from_the_gate() {
    attack_from("gate");
}

#[test]
fn attacks_from_the_reader_of_reports() {
    attack_from("report");
}

#[test]
fn attacks_from_the_signer() {
    attack_from("signer");
}

#[test]
fn attacks_from_the_maker_of_the_imap_certificate() {
    attack_from("imap-certificate");
}

#[test]
fn attacks_from_spamassassins_zygote() {
    attack_from("spamassassin");
}

#[test]
fn attacks_from_spamassassins_child() {
    attack_from("spamassassin-child");
}

#[test]
fn attacks_from_dovecot_as_root_in_it() {
    attack_from("dovecot");
}

#[test]
fn attacks_from_unbound() {
    attack_from("unbound");
}

#[test]
fn attacks_from_postfix_as_root_in_it() {
    attack_from("postfix");
}

#[test]
fn attacks_from_tls_policy() {
    attack_from("tls-policy");
}

#[test]
fn attacks_from_submission_with_tls_from_the_first_byte() {
    attack_from("submissions");
}

#[test]
fn attacks_from_submission_with_starttls() {
    attack_from("submission");
}

#[test]
fn attacks_from_what_takes_dovecot_s_own_mail() {
    attack_from("forward");
}

#[test]
fn attacks_from_the_private_signer() {
    attack_from("private-signer");
}

#[test]
fn attacks_from_dkim() {
    attack_from("dkim");
}

#[test]
fn attacks_from_static_web() {
    attack_from("static-web");
}

#[test]
fn attacks_from_the_web_signer() {
    attack_from("web-signer");
}

#[test]
fn attacks_from_records() {
    attack_from("records");
}

#[test]
fn attacks_from_the_console() {
    attack_from("console");
}

#[test]
fn no_service_of_the_app_is_left_out() {
    let tests = include_str!("sandboxes.rs");
    let services = attacks::services();
    let all = services.iter().map(String::as_str);
    for name in all.chain(attacks::SANDBOXES.iter().copied()) {
        assert!(
            tests.contains(&format!("attack_from(\"{name}\")")),
            "{name}"
        );
        assert!(attacks::SANDBOXES.contains(&name), "{name}");
    }
}
