//! The same sandbox as crun and runc are told it: `config.json` of the OCI's
//! runtime specification, 1.0.

use crate::ours::Ours;
use anyhow::{Context, Result, bail};
use sandbox::Policy;
use sandbox::policy::Allowed;
use serde_json::{Value, json};

/// The names that the specification has for this machine.
const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") {
    "SCMP_ARCH_X86_64"
} else {
    "SCMP_ARCH_AARCH64"
};

/// What a runtime takes less of than the spec says, because it puts a part of
/// itself under the limits.
#[derive(Clone, Copy)]
pub enum Runtime {
    /// Writes files after it has limited their size: RLIMIT_FSIZE is left out.
    Crun,
    /// Makes these calls ([`RUNC`]) after it has loaded the filter: allowed.
    Runc,
}

/// To wait for its parent, and to close descriptors; of a program in Go.
const RUNC: [&str; 8] = [
    "epoll_ctl",
    "epoll_pwait",
    "fstat",
    "fstatfs",
    "getdents64",
    "nanosleep",
    "newfstatat",
    "openat",
];

/// All of `config.json`.
pub fn config(ours: &Ours, runtime: Runtime) -> Result<Value> {
    let spec = &ours.spec;
    let env: Vec<String> = spec.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let limit = |name: &str, most: u64| json!({ "type": name, "hard": most, "soft": most });
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "user", "cgroup"];
    let namespaces = namespaces.map(|name| json!({ "type": name }));
    let ids = json!([{ "containerID": 0, "hostID": 1_000_000, "size": 65536 }]);
    let none: [&str; 0] = [];
    let mut limits = vec![
        limit("RLIMIT_NOFILE", spec.rlimits.open_files),
        limit("RLIMIT_CORE", 0),
    ];
    let more: &[&str] = match runtime {
        Runtime::Crun => &[],
        Runtime::Runc => {
            limits.push(limit("RLIMIT_FSIZE", spec.rlimits.file_size));
            &RUNC
        }
    };
    Ok(json!({
        "ociVersion": "1.0.0",
        "hostname": spec.name,
        "root": { "path": ours.root, "readonly": true },
        "process": {
            "terminal": false,
            "user": { "uid": 1000, "gid": 1000 },
            "cwd": "/",
            "args": spec.argv,
            "env": env,
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": none, "effective": none, "inheritable": none,
                "permitted": none, "ambient": none,
            },
            "rlimits": limits,
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            {
                "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "noexec", "mode=755", "size=64k"],
            },
        ],
        "linux": {
            "uidMappings": ids,
            "gidMappings": ids,
            "namespaces": namespaces,
            "seccomp": seccomp(&spec.policy, more)?,
        },
    }))
}

/// The policy, and `more` calls allowed.
fn seccomp(policy: &Policy, more: &[&str]) -> Result<Value> {
    let mut rules = vec![];
    if !more.is_empty() {
        rules.push(json!({ "names": more, "action": "SCMP_ACT_ALLOW" }));
    }
    let other = |allowed: &Allowed| !more.contains(&allowed.call.as_str());
    for allowed in policy.allowed().filter(|allowed| other(allowed)) {
        rules.push(rule(allowed, json!({ "action": "SCMP_ACT_ALLOW" }))?);
    }
    for (refused, error) in policy.refused().filter(|(allowed, _)| other(allowed)) {
        let number = match error.as_str() {
            "EPERM" => libc::EPERM,
            "ENOENT" => libc::ENOENT,
            "EACCES" => libc::EACCES,
            "ENOTTY" => libc::ENOTTY,
            "ENOSYS" => libc::ENOSYS,
            other => bail!("no number is known here for the error {other}"),
        };
        let action = json!({ "action": "SCMP_ACT_ERRNO", "errnoRet": number });
        rules.push(rule(refused, action)?);
    }
    Ok(json!({
        "defaultAction": "SCMP_ACT_KILL_PROCESS",
        "architectures": [ARCHITECTURE],
        "syscalls": rules,
    }))
}

fn rule(allowed: &Allowed, mut rule: Value) -> Result<Value> {
    rule["names"] = json!([allowed.call]);
    if let Some(condition) = allowed.condition() {
        let parts = condition.split(" and ").map(argument);
        rule["args"] = parts.collect::<Result<_>>()?;
    }
    Ok(rule)
}

/// `arg2 & 0x4 == 0x0`, as [`Allowed::condition`] writes it.
fn argument(text: &str) -> Result<Value> {
    let parts = || {
        let (left, value) = text.strip_prefix("arg")?.split_once(" == 0x")?;
        let (index, mask) = left.split_once(" & 0x").unwrap_or((left, "ffffffff"));
        Some(json!({
            "op": "SCMP_CMP_MASKED_EQ",
            "index": index.parse::<u32>().ok()?,
            "value": u32::from_str_radix(mask, 16).ok()?,
            "valueTwo": u32::from_str_radix(value, 16).ok()?,
        }))
    };
    parts().with_context(|| format!("{text:?} is no condition of a policy"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_says_the_same_in_the_other_words() {
        let text = "read # a\nmmap if arg2 & 0x4 == 0 and arg0 == 16 # b\nioctl = ENOTTY # c\n";
        let policy = sandbox::policy::load_str("test", text).unwrap();
        let masked = |index: u32, mask: u32, value: u32| json!({ "op": "SCMP_CMP_MASKED_EQ", "index": index, "value": mask, "valueTwo": value });
        let expected = json!([
            { "names": ["read"], "action": "SCMP_ACT_ALLOW" },
            {
                "names": ["mmap"],
                "action": "SCMP_ACT_ALLOW",
                "args": [masked(2, 4, 0), masked(0, u32::MAX, 16)],
            },
            { "names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 25 },
        ]);
        assert_eq!(seccomp(&policy, &[]).unwrap()["syscalls"], expected);
        let more = json!([
            { "names": ["ioctl"], "action": "SCMP_ACT_ALLOW" },
            expected[0],
            expected[1],
        ]);
        assert_eq!(seccomp(&policy, &["ioctl"]).unwrap()["syscalls"], more);
    }
}
