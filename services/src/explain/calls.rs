//! The system calls that the policy allows, in groups of what they are good for.
//!
//! A call that only one kind of machine has (`open`) counts as what the other
//! has instead (`openat`), so that a score is the same on a builder's PC and on
//! the box. What is in no group is not forgotten: it has one of its own.

use super::words::list;
use super::{ChildOfMessage, Finding, finding};
use sandbox::Policy;
use sandbox::policy::Allowed;
use std::collections::{BTreeMap, BTreeSet};

/// Calls that are good for one thing.
struct Group {
    topic: &'static str,
    /// What they let it do, after "It may " or "It can't ".
    may: &'static str,
    weight: u32,
    /// The badness of the first call; all of them together make 100.
    base: u64,
    calls: &'static [&'static str],
    /// Whether a line of the policy, with its conditions, lets it do that.
    lets: fn(&Allowed) -> bool,
}

const ANY: fn(&Allowed) -> bool = |_| true;
/// CLONE_NEWNS and the six other namespaces of clone(2).
const NAMESPACES: u32 = 0x7e02_0000;
/// The flags of pthread_create(3), and of fork(2): SIGCHLD and two of glibc's.
const THREAD: u32 = 0x003d_0f00;
const FORK: u32 = 0x0120_0011;
/// PROT_EXEC of mmap(2).
const EXECUTE: u32 = 0x4;

const GROUPS: [Group; 14] = [
    Group {
        topic: "Calls: the kernel's own",
        may: "change the kernel, its keys, its clock or load programs into it",
        weight: 12,
        base: 60,
        calls: &[
            "acct",
            "add_key",
            "adjtimex",
            "bpf",
            "clock_adjtime",
            "clock_settime",
            "delete_module",
            "fanotify_init",
            "finit_module",
            "init_module",
            "io_uring_enter",
            "io_uring_register",
            "io_uring_setup",
            "ioperm",
            "iopl",
            "kexec_file_load",
            "kexec_load",
            "keyctl",
            "open_by_handle_at",
            "quotactl",
            "reboot",
            "request_key",
            "setdomainname",
            "sethostname",
            "settimeofday",
            "swapoff",
            "swapon",
            "syslog",
            "userfaultfd",
        ],
        lets: ANY,
    },
    Group {
        topic: "Calls: other processes' memory",
        may: "look into other processes",
        weight: 10,
        base: 60,
        calls: &[
            "kcmp",
            "perf_event_open",
            "pidfd_getfd",
            "process_madvise",
            "process_vm_readv",
            "process_vm_writev",
            "ptrace",
        ],
        lets: ANY,
    },
    Group {
        topic: "Calls: mounts",
        may: "ask for mounts, which Landlock then refuses",
        weight: 6,
        base: 60,
        calls: &[
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "pivot_root",
            "umount2",
        ],
        lets: ANY,
    },
    Group {
        topic: "Calls: namespaces",
        may: "make namespaces of its own",
        weight: 8,
        base: 60,
        calls: &["clone", "clone3", "setns", "unshare"],
        lets: |line| match line.call.as_str() {
            "clone" => line.lets_any_bit(0, NAMESPACES),
            "fork" | "vfork" => false,
            _ => true,
        },
    },
    Group {
        topic: "Calls: processes",
        may: "start processes",
        weight: 4,
        base: 40,
        calls: &["clone", "clone3", "execveat"],
        lets: |line| line.call != "clone" || line.lets(0, FORK),
    },
    Group {
        topic: "Calls: threads",
        may: "start threads",
        weight: 1,
        base: 40,
        calls: &["clone", "clone3"],
        lets: |line| match line.call.as_str() {
            "clone" => line.lets(0, THREAD),
            "fork" | "vfork" => false,
            _ => true,
        },
    },
    Group {
        topic: "Calls: signals",
        may: "signal other processes, of its own sandbox only",
        weight: 2,
        base: 40,
        calls: &[
            "kill",
            "pidfd_send_signal",
            "rt_sigqueueinfo",
            "rt_tgsigqueueinfo",
            "tkill",
        ],
        lets: ANY,
    },
    Group {
        topic: "Calls: connections",
        may: "listen, connect and make pairs of sockets",
        weight: 4,
        base: 10,
        calls: &[
            "accept",
            "accept4",
            "bind",
            "connect",
            "listen",
            "socketpair",
        ],
        lets: ANY,
    },
    Group {
        topic: "Calls: looking at files",
        may: "ask for files by their path",
        weight: 3,
        base: 20,
        calls: &[
            "chdir",
            "faccessat",
            "faccessat2",
            "fchdir",
            "getdents64",
            "getxattr",
            "inotify_add_watch",
            "lgetxattr",
            "listxattr",
            "newfstatat",
            "openat",
            "openat2",
            "readlinkat",
            "statfs",
            "statx",
        ],
        lets: ANY,
    },
    Group {
        topic: "Calls: changing files",
        may: "make, rename, change and remove files, where it may write",
        weight: 4,
        base: 20,
        calls: &[
            "fallocate",
            "fchmod",
            "fchmodat",
            "fchown",
            "fchownat",
            "fsetxattr",
            "ftruncate",
            "linkat",
            "mkdirat",
            "mknodat",
            "renameat",
            "renameat2",
            "setxattr",
            "symlinkat",
            "truncate",
            "unlinkat",
            "utimensat",
        ],
        lets: ANY,
    },
    Group {
        topic: "Calls: identity",
        may: "ask for other ids, fewer capabilities or another root folder",
        weight: 4,
        base: 30,
        calls: &[
            "capset",
            "chroot",
            "setfsgid",
            "setfsuid",
            "setgid",
            "setgroups",
            "setregid",
            "setresgid",
            "setresuid",
            "setreuid",
            "setuid",
        ],
        lets: ANY,
    },
    Group {
        topic: "Calls: code in memory",
        may: "map memory that is executable, as libraries are",
        weight: 4,
        base: 40,
        calls: &[
            "mmap",
            "mprotect",
            "pkey_mprotect",
            "remap_file_pages",
            "shmat",
        ],
        lets: |line| {
            !["mmap", "mprotect", "pkey_mprotect"].contains(&line.call.as_str())
                || line.lets_any_bit(2, EXECUTE)
        },
    },
    Group {
        topic: "Calls: devices",
        may: "give orders to what a descriptor stands for",
        weight: 3,
        base: 20,
        calls: &["ioctl"],
        lets: ANY,
    },
    Group {
        topic: "Calls: settings",
        may: "change what it is limited to, mostly to less",
        weight: 2,
        base: 20,
        calls: &[
            "landlock_add_rule",
            "landlock_create_ruleset",
            "landlock_restrict_self",
            "personality",
            "prctl",
            "prlimit64",
            "sched_setaffinity",
            "sched_setscheduler",
            "seccomp",
            "setpriority",
            "setrlimit",
        ],
        lets: ANY,
    },
];

/// What a program can hardly do without, on descriptors and memory that it has.
const ORDINARY: &[&str] = &[
    "brk",
    "capget",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "clone",
    "close",
    "close_range",
    "dup",
    "dup3",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "eventfd2",
    "execve",
    "exit",
    "exit_group",
    "fadvise64",
    "fcntl",
    "fdatasync",
    "flock",
    "fstat",
    "fstatfs",
    "fsync",
    "futex",
    "getcwd",
    "getegid",
    "geteuid",
    "getgid",
    "getgroups",
    "getpeername",
    "getpgid",
    "getpid",
    "getppid",
    "getrandom",
    "getrusage",
    "getsockname",
    "getsockopt",
    "gettid",
    "gettimeofday",
    "getuid",
    "inotify_init1",
    "inotify_rm_watch",
    "lseek",
    "madvise",
    "membarrier",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "pipe2",
    "ppoll",
    "pread64",
    "preadv",
    "pselect6",
    "pwrite64",
    "pwritev",
    "read",
    "readv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "sendfile",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "set_robust_list",
    "set_tid_address",
    "setitimer",
    "setpgid",
    "setsid",
    "setsockopt",
    "shutdown",
    "sigaltstack",
    "sync_file_range",
    "tgkill",
    "timerfd_create",
    "timerfd_settime",
    "times",
    "umask",
    "uname",
    "wait4",
    "waitid",
    "write",
    "writev",
];

/// Calls of x86-64 that aarch64 has only in a newer shape.
const OLD: &[(&str, &str)] = &[
    ("access", "faccessat"),
    ("alarm", "setitimer"),
    ("arch_prctl", "set_tid_address"),
    ("chmod", "fchmodat"),
    ("chown", "fchownat"),
    ("creat", "openat"),
    ("dup2", "dup3"),
    ("epoll_create", "epoll_create1"),
    ("epoll_wait", "epoll_pwait"),
    ("eventfd", "eventfd2"),
    ("fork", "clone"),
    ("getdents", "getdents64"),
    ("getpgrp", "getpgid"),
    ("inotify_init", "inotify_init1"),
    ("lchown", "fchownat"),
    ("link", "linkat"),
    ("lstat", "newfstatat"),
    ("mkdir", "mkdirat"),
    ("mknod", "mknodat"),
    ("open", "openat"),
    ("pause", "ppoll"),
    ("pipe", "pipe2"),
    ("poll", "ppoll"),
    ("readlink", "readlinkat"),
    ("rename", "renameat"),
    ("rmdir", "unlinkat"),
    ("select", "pselect6"),
    ("stat", "newfstatat"),
    ("symlink", "symlinkat"),
    ("time", "clock_gettime"),
    ("unlink", "unlinkat"),
    ("utime", "utimensat"),
    ("utimes", "utimensat"),
    ("vfork", "clone"),
];

/// The name of today, and whether it is another.
fn modern(call: &str) -> (&str, bool) {
    match OLD.iter().find(|(old, _)| *old == call) {
        Some((_, new)) => (new, true),
        None => (call, false),
    }
}

/// Every call that is in a group.
#[cfg(test)]
pub(super) fn known() -> impl Iterator<Item = &'static str> {
    let grouped = GROUPS.iter().flat_map(|group| group.calls);
    grouped.chain(ORDINARY).copied()
}

/// One finding for each group, for sockets, for the rest, and for the ordinary.
pub(super) fn calls(policy: &Policy) -> Vec<Finding> {
    let lines: Vec<&Allowed> = policy.allowed().collect();
    let mut findings: Vec<Finding> = GROUPS.iter().map(|group| grouped(group, &lines)).collect();
    findings.insert(7, sockets(&lines));
    let known = |line: &Allowed| {
        let (call, _) = modern(&line.call);
        let grouped = GROUPS.iter().any(|group| group.calls.contains(&call));
        grouped || call == "socket" || ORDINARY.contains(&call)
    };
    let other: Vec<&Allowed> = lines.iter().copied().filter(|line| !known(line)).collect();
    let mut words = vec![match other.len() {
        0 => "No call that is not named here.".to_owned(),
        _ => "Calls that nobody has put into a group yet:".to_owned(),
    }];
    words.extend(other.iter().map(|line| item(line)));
    let badness = 40 * u64::from(!other.is_empty()) + 10 * strength(&other);
    findings.push(finding("Calls: others", 6, badness, words));
    findings.push(ordinary(&lines, policy));
    findings
}

fn grouped(group: &Group, lines: &[&Allowed]) -> Finding {
    let these: Vec<&Allowed> = lines
        .iter()
        .copied()
        .filter(|line| group.calls.contains(&modern(&line.call).0) && (group.lets)(line))
        .collect();
    let may = group.may;
    let mut words = vec![match these.len() {
        0 => format!("It can't {may}."),
        _ => format!("It may {may}:"),
    }];
    words.extend(these.iter().map(|line| item(line)));
    let most = 2 * group.calls.len() as u64;
    let badness = match strength(&these) {
        0 => 0,
        strong => group.base + (100 - group.base) * strong / most,
    };
    finding(group.topic, group.weight, badness, words)
}

/// Families of sockets, by number, and how bad each is: address_families(7).
fn sockets(lines: &[&Allowed]) -> Finding {
    const FAMILIES: [(u32, &str, u64); 4] = [
        (1, "Unix", 10),
        (2, "IPv4", 25),
        (10, "IPv6", 15),
        (16, "netlink", 20),
    ];
    let these: Vec<&Allowed> = lines
        .iter()
        .copied()
        .filter(|line| line.call == "socket")
        .collect();
    let lets = |family| these.iter().any(|line| line.lets(0, family));
    let named = FAMILIES.iter().filter(|(family, ..)| lets(*family));
    // The kernel knows 45 families.
    let odd = (0..=45).filter(|family| FAMILIES.iter().all(|(known, ..)| known != family));
    let odd = odd.filter(|family| lets(*family)).count();
    let mut names: Vec<&str> = named.clone().map(|(_, name, _)| *name).collect();
    if odd > 0 {
        names.push("others");
    }
    let mut words = vec![match these.len() {
        0 => "It can make no socket.".to_owned(),
        _ => format!("It may make sockets, of the families {}:", list(names)),
    }];
    words.extend(these.iter().map(|line| item(line)));
    let badness = named.map(|(.., badness)| badness).sum::<u64>() + 30 * u64::from(odd > 0);
    finding("Calls: sockets", 6, badness, words)
}

fn ordinary(lines: &[&Allowed], policy: &Policy) -> Finding {
    let these: Vec<&Allowed> = lines
        .iter()
        .copied()
        .filter(|line| ORDINARY.contains(&modern(&line.call).0))
        .collect();
    let mut words = vec!["What a program can hardly do without:".to_owned()];
    words.extend(these.iter().map(|line| item(line)));
    let refused = policy.refused().map(|(line, error)| {
        let condition = line.condition();
        let condition = condition.map_or_else(String::new, |text| format!(" if {text}"));
        format!("{}{condition} ({error})", line.call)
    });
    let refused = list(refused);
    words.push(match refused.as_str() {
        "" => "Every other call kills it.".to_owned(),
        some => format!("It is told an error for: {some}. Every other call kills it."),
    });
    let most = 2 * ORDINARY.len() as u64;
    finding(
        "Calls: ordinary",
        3,
        (100 * strength(&these)).div_ceil(most),
        words,
    )
}

/// 2 for a call with any arguments, 1 for one with conditions, or of an old shape.
fn strength(lines: &[&Allowed]) -> u64 {
    let mut each: BTreeMap<&str, u64> = BTreeMap::new();
    for line in lines {
        let (call, old) = modern(&line.call);
        let strong = if old || line.condition().is_some() {
            1
        } else {
            2
        };
        let known = each.entry(call).or_default();
        *known = strong.max(*known);
    }
    each.values().sum()
}

/// The line of the policy, with its reason.
fn item(line: &Allowed) -> String {
    let condition = line.condition();
    let condition = condition.map_or_else(String::new, |text| format!(" if {text}"));
    format!("- {}{condition}: {}", line.call, line.reason)
}

/// What a zygote's child may do. Both lists hold for it, so what either lacks it
/// can't do.
pub(super) fn child(zygote: &Policy, child: &ChildOfMessage) -> Finding {
    let ChildOfMessage { channels, policy } = child;
    let names = |policy: &Policy| -> BTreeSet<String> {
        policy.allowed().map(|line| line.call.clone()).collect()
    };
    let (of_zygote, of_child) = (names(zygote), names(policy));
    let both: Vec<&String> = of_child.intersection(&of_zygote).collect();
    let gone: Vec<&String> = of_zygote.difference(&of_child).collect();
    let mut words = vec![
        "A message is seen by a child only: a process in namespaces of its own, without a path, \
         a network, a capability or another process. It holds:"
            .to_owned(),
    ];
    words.extend(channels.iter().map(|channel| format!("- {channel}")));
    words.push(format!(
        "Of the calls above it has {}: {}.",
        both.len(),
        list(&both)
    ));
    words.push(format!("It has lost {}: {}.", gone.len(), list(&gone)));
    finding("Each message's child", 0, 0, words)
}
