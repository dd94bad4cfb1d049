//! Kernel settings that take away what nothing here needs
//! (Documentation/admin-guide/sysctl/ and networking/ip-sysctl.rst).

use crate::log;

/// Setting, value, and why.
const SETTINGS: [(&str, &str, &str); 15] = [
    (
        "kernel/kptr_restrict",
        "2",
        "kernel addresses help an exploit",
    ),
    ("kernel/dmesg_restrict", "1", "so does the kernel's log"),
    (
        "kernel/unprivileged_bpf_disabled",
        "2",
        "no program here uses bpf",
    ),
    (
        "net/core/bpf_jit_harden",
        "2",
        "for the kernel's own filters",
    ),
    (
        "kernel/kexec_load_disabled",
        "1",
        "another kernel would outlive a restart",
    ),
    (
        "kernel/yama/ptrace_scope",
        "3",
        "nobody debugs on the box, not even root",
    ),
    (
        "kernel/sysrq",
        "0",
        "a keyboard must not sync, kill or dump",
    ),
    (
        "kernel/io_uring_disabled",
        "2",
        "no program here uses it, many exploits did",
    ),
    (
        "kernel/panic_on_oops",
        "1",
        "a kernel that stumbled restarts and locks the disk",
    ),
    ("vm/unprivileged_userfaultfd", "0", "widens races"),
    (
        "fs/protected_fifos",
        "2",
        "files in shared folders are their owner's",
    ),
    ("fs/protected_regular", "2", "the same"),
    (
        "net/ipv4/conf/all/accept_redirects",
        "0",
        "nobody else chooses our routes",
    ),
    ("net/ipv6/conf/all/accept_redirects", "0", "the same"),
    ("net/ipv4/conf/all/accept_source_route", "0", "nor a sender"),
];

/// Applies them; one that the kernel does not know is named and left.
pub fn apply() {
    for (setting, value, _why) in SETTINGS {
        let path = format!("/proc/sys/{setting}");
        if let Err(error) = std::fs::write(&path, value) {
            log::line(&format!("{path}: not set to {value}: {error}"));
        }
    }
}
