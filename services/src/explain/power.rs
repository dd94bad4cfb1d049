//! Who it is and what that lets it do.

use super::words::{count, list};
use super::{Finding, Given, finding};
use sandbox::{Capability, Dumpable, User, WriteExecute};

/// What runs. It costs nothing: what counts is what it may do.
pub(super) fn program(
    name: &str,
    argv: &[String],
    env: &[(String, String)],
    given: &Given,
) -> Finding {
    let mut words = vec![
        format!("It runs `{}`; its host's name is {name}.", argv.join(" ")),
        given.lives.clone(),
    ];
    if !env.is_empty() {
        let all = list(env.iter().map(|(key, value)| format!("{key}={value}")));
        words.push(format!("Its whole environment: {all}."));
    }
    finding("Program", 0, 0, words)
}

/// The ids that exist inside.
pub(super) fn user(user: User) -> Finding {
    let (badness, words) = match user {
        User::One { inside, outside } => (
            0,
            format!(
                "It is the one user {inside}, never root; for the host that is {outside}, \
                 as whom nothing else runs."
            ),
        ),
        User::Range {
            outside,
            count: ids,
            run_as,
        } => {
            let who = match run_as {
                0 => "It is root of".to_owned(),
                other => format!("It is user {other} among"),
            };
            let ids_of_its_own = count(ids, "id");
            (
                40 + 30 * u64::from(run_as == 0) + u64::from(ids).min(1 << 16) * 30 / (1 << 16),
                format!(
                    "{who} {ids_of_its_own} of its own; for the host they are {outside} and up, \
                     and nobody: outside it, root's power is none of its."
                ),
            )
        }
    };
    finding("User", 6, badness, vec![words])
}

/// What that user may do as root inside.
pub(super) fn capabilities(capabilities: &[Capability], given: &Given) -> Finding {
    let mut words = vec![match capabilities {
        [] => "It has no capability; nobody in it can get one.".to_owned(),
        _ => "It has capabilities, over its own ids, files and namespaces only:".to_owned(),
    }];
    words.extend(capabilities.iter().map(|capability| {
        let (name, _, may) = about(*capability);
        let reason = given.reasons.iter().find(|(of, _)| of == capability);
        let reason = reason.map_or("no reason is given", |(_, reason)| reason);
        format!("- {name}: it may {may} ({reason})")
    }));
    let mut each: Vec<(u8, u64)> = capabilities
        .iter()
        .map(|capability| (*capability as u8, about(*capability).1))
        .collect();
    each.sort_unstable();
    each.dedup();
    let badness = each.iter().map(|(_, badness)| badness).sum();
    finding("Capabilities", 10, badness, words)
}

/// The name, the badness, and what it lets do: capabilities(7). They add up to 100.
fn about(capability: Capability) -> (&'static str, u64, &'static str) {
    match capability {
        Capability::Chown => ("CAP_CHOWN", 12, "give its files to other users of its own"),
        Capability::DacOverride => (
            "CAP_DAC_OVERRIDE",
            24,
            "open files of all its users, whatever their mode",
        ),
        Capability::Kill => ("CAP_KILL", 10, "signal processes of all its users"),
        Capability::SetGid => ("CAP_SETGID", 14, "become any group of its own"),
        Capability::SetUid => ("CAP_SETUID", 16, "become any user of its own"),
        Capability::NetBindService => (
            "CAP_NET_BIND_SERVICE",
            8,
            "bind ports below 1024 that Landlock allows",
        ),
        Capability::SysChroot => ("CAP_SYS_CHROOT", 16, "change its root folder"),
    }
}

/// Whether what it wrote may run.
pub(super) fn write_execute(allowed: WriteExecute) -> Finding {
    let (badness, words) = match allowed {
        WriteExecute::Refused => (
            0,
            "Memory that was writable can never become executable in it.",
        ),
        WriteExecute::Allowed => (
            100,
            "It may execute memory that it has written: an intruder can bring code along.",
        ),
    };
    finding("Written code", 5, badness, vec![words.to_owned()])
}

/// Whether others may look into its memory.
pub(super) fn dumpable(allowed: Dumpable) -> Finding {
    let (badness, words) = match allowed {
        Dumpable::Refused => (
            0,
            "Its memory is never written down, and nobody inside can trace it.",
        ),
        Dumpable::Allowed => (
            100,
            "Its own user may trace it, and read its memory, where the calls for that are allowed.",
        ),
    };
    finding("Dumps", 2, badness, vec![words.to_owned()])
}
