//! Stands in a sandbox in the place of its program, tries one attack and says
//! what came of it: `in`, or the kernel's error. Where the policy kills, it says
//! nothing and its end does.
//!
//! `in` means that the attack got what it wanted, or as far as anyone gets (a
//! module that is none is refused for that alone). Whatever succeeds does no
//! harm: nothing is written but in the sandbox's own folders, memory and tasks
//! are bounded by what the caller says.
//!
//! It is made for the narrowest policy: no call but those of C's start, the
//! attack's own, `write` and `exit_group`. So it has C's `main` (in `sys`), since
//! Rust's runtime makes more.
#![no_main]

mod files;
mod kernel;
mod limits;
mod network;
mod processes;
mod sys;

use nix::errno::Errno;

/// `Ok` is `in`.
type Outcome = Result<(), Errno>;

/// Where the host's `/` is for a sandbox that lost its own root: `sandbox::weak::HOST`.
const HOST: &str = "/host";

/// Where the answer goes, and in SpamAssassin's child also where the words come from.
const OUTPUT: i32 = 1;
const CHILD_SOCKET: i32 = 3;

/// The exit code of a program that was executed and should not have been.
const EXECUTED: i32 = 42;

fn run() -> i32 {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["victim"] => processes::victim(),
        ["program"] => EXECUTED,
        ["as-root"] => match sys::became_root() {
            true => EXECUTED,
            false => 1,
        },
        ["zygote"] => {
            // Comes back in a child only.
            sys::zygote_serve();
            let text = sys::read_line(CHILD_SOCKET);
            let words: Vec<&str> = text.split_whitespace().collect();
            answer(CHILD_SOCKET, &words)
        }
        words => answer(OUTPUT, words),
    }
}

fn answer(output: i32, words: &[&str]) -> i32 {
    let said = match words {
        // Of several users inside: the one that another service's has the number of.
        ["as", id, rest @ ..] => {
            sys::become_user(id.parse().unwrap_or(0));
            attack(rest)
        }
        words => attack(words),
    };
    let line = match said {
        Some(Ok(())) => "in\n".to_owned(),
        Some(Err(errno)) => format!("{errno:?}\n"),
        None => format!("unknown: {words:?}\n"),
    };
    match sys::write_all(output, line.as_bytes()) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

/// One attack; `None` when there is none of this name with so many words.
fn attack(words: &[&str]) -> Option<Outcome> {
    let number = |text: &str| text.parse::<u64>().ok();
    let pid = |text: &str| text.parse::<i32>().ok();
    Some(match words {
        ["file-of-another", path] => files::read_of_another(path),
        ["descriptor-left-open", fd] => files::read_left_open(pid(fd)?),
        ["write-root", path] | ["write-read-only-volume", path] => files::make(path),
        ["device-file", path] => files::make_device(path),
        ["file-handle"] => files::open_by_handle(),
        ["run-from-volume", path] => files::execute(path, "program"),
        ["set-user-id-program", path] => files::execute(path, "as-root"),
        ["run-from-scratch", path] => files::execute_written(path),
        ["run-from-memory"] => files::execute_memory(),

        ["signal-another", victim] => processes::signal(pid(victim)?),
        ["see-another", victim] => processes::see(pid(victim)?),
        ["trace-another", victim] => processes::trace(pid(victim)?),
        ["memory-of-another", victim, at] => processes::read_memory(pid(victim)?, number(at)?),
        ["memory-file-of-another", victim, at] => {
            processes::read_memory_file(pid(victim)?, number(at)?)
        }
        ["descriptor-of-another", victim] => processes::take_descriptor(pid(victim)?),
        ["new-process"] => processes::fork(),
        ["message-queue", key] => processes::message_queue(pid(key)?),

        ["tcp-4", address] | ["tcp-6", address] => network::tcp(address),
        ["udp-4", address] | ["udp-6", address] => network::udp(address),
        ["unix-abstract", name] => network::unix_abstract(name),
        ["unix-path", path] => network::unix_path(path),
        ["raw-socket"] => network::raw(),
        ["packet-socket"] => network::packet(),
        ["netlink-socket"] => network::netlink(),
        ["crypto-socket"] => network::crypto(),
        ["vsock"] => network::vsock(),

        ["mount"] => kernel::mount(),
        ["mount-new-calls"] => kernel::mount_new(),
        ["remount-writable"] => kernel::remount(),
        ["unshare-user"] => kernel::unshare_user(),
        ["clone-user"] => kernel::clone_user(),
        ["clone3-user"] => kernel::clone3_user(),
        ["namespace-then-mount"] => kernel::namespace_then_mount(),
        ["namespace-then-raw-socket"] => kernel::namespace_then_raw(),
        ["load-module"] => kernel::module(),
        ["keyctl"] => kernel::keyring(),
        ["io-uring"] => kernel::io_uring(),
        ["bpf"] => kernel::bpf(),
        ["userfaultfd"] => kernel::userfaultfd(),
        ["perf"] => kernel::perf(),
        ["int-0x80"] => kernel::int_0x80(),
        ["x32-call"] => kernel::x32(),
        ["write-then-execute"] => kernel::write_then_execute(),
        ["write-and-execute"] => kernel::write_and_execute(),

        ["descriptors", most] => limits::descriptors(number(most)?),
        ["file-size", most, path] => limits::file_size(number(most)?, path),
        ["scratch-size", most, path] => limits::scratch(number(most)?, path),
        ["address-space", most] => limits::address_space(number(most)?),
        ["memory", most] => limits::memory(number(most)?),
        ["tasks", most] => limits::tasks(number(most)?),
        _ => return None,
    })
}
