//! The attacks, what each tries, and what it has to be told.

/// One attack of the program `attack`.
pub struct Attack {
    /// Its first word.
    pub name: &'static str,
    /// In plain words.
    pub tries: &'static str,
    /// The words after the first.
    pub needs: Needs,
}

/// What an attack aims at. Where a sandbox has no such thing, it is not tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// The file of another service.
    OtherFile,
    /// A file that the parent has open.
    OpenFile,
    /// A new file in the root.
    RootFile,
    /// A new file in a volume that is read-only.
    ReadOnlyFile,
    /// A new file where files may be kept.
    WritableFile,
    /// A program that lies in a volume of a service that is not root inside.
    SetUserId,
    /// A program that lies in a volume.
    VolumeProgram,
    /// A new file in a folder in memory.
    ScratchFile,
    /// The process of another service.
    Victim,
    /// And where its secret is.
    VictimMemory,
    /// A message queue of the host's.
    Queue,
    /// Somebody who listens on the host.
    Listener(Listener),
    /// On descriptors.
    Descriptors,
    /// On a file.
    FileSize,
    /// On files in memory.
    ScratchSize,
    /// On addresses, which SpamAssassin's child has.
    AddressSpace,
    /// Of the cgroup, on memory.
    Memory,
    /// Of the cgroup, on processes and threads.
    Tasks,
}

/// One who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// TCP, IPv4.
    Tcp4,
    /// TCP, IPv6.
    Tcp6,
    /// UDP, IPv4.
    Udp4,
    /// UDP, IPv6.
    Udp6,
    /// A Unix socket without a path.
    Abstract,
    /// A Unix socket with one.
    Path,
}

const fn attack(name: &'static str, needs: Needs, tries: &'static str) -> Attack {
    Attack { name, tries, needs }
}

/// Each of them.
pub const ATTACKS: &[Attack] = &[
    attack(
        "file-of-another",
        Needs::OtherFile,
        "Reads a file in another service's volume.",
    ),
    attack(
        "descriptor-left-open",
        Needs::OpenFile,
        "Reads a file through a descriptor that the supervisor holds and did not give.",
    ),
    attack(
        "write-root",
        Needs::RootFile,
        "Makes a file in the root, outside of all volumes.",
    ),
    attack(
        "write-read-only-volume",
        Needs::ReadOnlyFile,
        "Makes a file in a volume that is given read-only (and belongs to it here).",
    ),
    attack(
        "device-file",
        Needs::WritableFile,
        "Makes a device file where it may keep files.",
    ),
    attack(
        "file-handle",
        Needs::Nothing,
        "Opens a file by its handle, past all paths.",
    ),
    attack(
        "run-from-volume",
        Needs::VolumeProgram,
        "Executes a program that lies in a volume.",
    ),
    attack(
        "set-user-id-program",
        Needs::SetUserId,
        "Becomes the host's root by a set-user-ID program in a volume.",
    ),
    attack(
        "run-from-scratch",
        Needs::ScratchFile,
        "Writes a program to a folder in memory and executes it.",
    ),
    attack(
        "run-from-memory",
        Needs::Nothing,
        "Executes a program that has no path (memfd_create, execveat).",
    ),
    attack(
        "signal-another",
        Needs::Victim,
        "Sends a signal to another service.",
    ),
    attack(
        "see-another",
        Needs::Victim,
        "Finds another service in /proc.",
    ),
    attack(
        "trace-another",
        Needs::Victim,
        "Attaches to another service (ptrace).",
    ),
    attack(
        "memory-of-another",
        Needs::VictimMemory,
        "Reads another service's memory (process_vm_readv).",
    ),
    attack(
        "memory-file-of-another",
        Needs::VictimMemory,
        "Reads another service's memory through /proc/PID/mem.",
    ),
    attack(
        "descriptor-of-another",
        Needs::Victim,
        "Takes a descriptor of another service (pidfd_getfd).",
    ),
    attack("new-process", Needs::Nothing, "Makes a process (fork)."),
    attack(
        "message-queue",
        Needs::Queue,
        "Takes a message from a System V queue of the host's that is open to all.",
    ),
    attack(
        "tcp-4",
        Needs::Listener(Listener::Tcp4),
        "Connects to the host over TCP and IPv4.",
    ),
    attack(
        "tcp-6",
        Needs::Listener(Listener::Tcp6),
        "Connects to the host over TCP and IPv6.",
    ),
    attack(
        "udp-4",
        Needs::Listener(Listener::Udp4),
        "Asks the host over UDP and IPv4.",
    ),
    attack(
        "udp-6",
        Needs::Listener(Listener::Udp6),
        "Asks the host over UDP and IPv6.",
    ),
    attack(
        "unix-abstract",
        Needs::Listener(Listener::Abstract),
        "Connects to an abstract Unix socket of the host's.",
    ),
    attack(
        "unix-path",
        Needs::Listener(Listener::Path),
        "Connects to a Unix socket of the host's that is open to all.",
    ),
    attack("raw-socket", Needs::Nothing, "Opens a raw IP socket."),
    attack("packet-socket", Needs::Nothing, "Opens a packet socket."),
    attack(
        "netlink-socket",
        Needs::Nothing,
        "Opens a netlink socket for the kernel's news about devices.",
    ),
    attack(
        "crypto-socket",
        Needs::Nothing,
        "Opens a socket of the kernel's ciphers (AF_ALG).",
    ),
    attack(
        "vsock",
        Needs::Nothing,
        "Opens a socket to the machine that this one may be a guest of.",
    ),
    attack("mount", Needs::Nothing, "Mounts something (mount)."),
    attack(
        "mount-new-calls",
        Needs::Nothing,
        "Mounts something (fsopen, fsmount, move_mount).",
    ),
    attack(
        "remount-writable",
        Needs::Nothing,
        "Makes the root's mount writable.",
    ),
    attack(
        "unshare-user",
        Needs::Nothing,
        "Makes a user namespace (unshare).",
    ),
    attack(
        "clone-user",
        Needs::Nothing,
        "Makes a process in a user namespace (clone).",
    ),
    attack(
        "clone3-user",
        Needs::Nothing,
        "Makes a process in a user namespace (clone3).",
    ),
    attack(
        "namespace-then-mount",
        Needs::Nothing,
        "Mounts something in namespaces that it makes (clone3).",
    ),
    attack(
        "namespace-then-raw-socket",
        Needs::Nothing,
        "Opens a raw socket in namespaces that it makes (clone3).",
    ),
    attack(
        "load-module",
        Needs::Nothing,
        "Loads a module into the kernel (one that is none).",
    ),
    attack(
        "keyctl",
        Needs::Nothing,
        "Finds a key in the supervisor's session keyring.",
    ),
    attack("io-uring", Needs::Nothing, "Makes a ring (io_uring_setup)."),
    attack("bpf", Needs::Nothing, "Makes a map (bpf)."),
    attack(
        "userfaultfd",
        Needs::Nothing,
        "Handles its own page faults (userfaultfd).",
    ),
    attack(
        "perf",
        Needs::Nothing,
        "Counts its own events (perf_event_open).",
    ),
    #[cfg(target_arch = "x86_64")]
    attack("int-0x80", Needs::Nothing, "Makes a 32-bit call."),
    #[cfg(target_arch = "x86_64")]
    attack(
        "x32-call",
        Needs::Nothing,
        "Makes a call with an x32 number.",
    ),
    attack(
        "write-then-execute",
        Needs::Nothing,
        "Makes memory executable that it wrote before (mprotect).",
    ),
    attack(
        "write-and-execute",
        Needs::Nothing,
        "Maps memory writable and executable at once (mmap).",
    ),
    attack(
        "descriptors",
        Needs::Descriptors,
        "Raises its limit on descriptors and opens more.",
    ),
    attack(
        "file-size",
        Needs::FileSize,
        "Writes a file beyond its limit.",
    ),
    attack(
        "scratch-size",
        Needs::ScratchSize,
        "Writes more to a folder in memory than fits.",
    ),
    attack(
        "address-space",
        Needs::AddressSpace,
        "Reserves more addresses than its limit.",
    ),
];

/// Those that cgroups hold.
pub const LIMITS: &[Attack] = &[
    attack(
        "memory",
        Needs::Memory,
        "Writes to more memory than its limit.",
    ),
    attack(
        "tasks",
        Needs::Tasks,
        "Makes more processes or threads than its limit.",
    ),
];

/// What is no attack where a service needs it: sandbox, attack, why.
pub const ON_PURPOSE: &[(&str, &str, &str)] = &[
    (
        "dovecot",
        "new-process",
        "its master makes a process a task, 64 at most",
    ),
    (
        "postfix",
        "new-process",
        "its master makes a process a task, 40 at most",
    ),
    (
        "spamassassin",
        "clone3-user",
        "each message's child is made so",
    ),
];
