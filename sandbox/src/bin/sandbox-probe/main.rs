//! Runs inside a sandbox in this crate's tests and reports what it can do,
//! one `name=value` a line on standard output. Errors are errno's names. It
//! is never installed.

mod keeping;
mod powers;
mod reaching;
mod sys;

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::kill;
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{
    Pid, Uid, getgid, getgroups, gethostname, getpid, getppid, getsid, setgroups, setresuid, setuid,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        None | Some("report") => report(),
        Some("host") => {
            say("read host", io(fs::read("/host/etc/passwd")));
            let path = "/host/tmp/sandbox-weak-wrote-this";
            match fs::metadata("/host/tmp") {
                // Not in a folder that is everybody's.
                Ok(_) if !Uid::current().is_root() => {
                    say("write host", io(fs::write("/host/etc/written", "x")));
                }
                _ => say("write host", io(fs::write(path, "x"))),
            }
        }
        // PR_GET_DUMPABLE.
        Some("dumpable") => println!(
            "dumpable={}",
            nix::sys::prctl::get_dumpable().map_or(-1, i32::from)
        ),
        Some("keyring") => println!("keyring={}", sys::session_keyring()),
        Some("sleep") => {
            println!("asleep");
            std::thread::sleep(std::time::Duration::from_secs(600));
        }
        Some("forbidden") => {
            println!("before");
            let who = nix::sys::resource::UsageWho::RUSAGE_SELF;
            if let Err(refused) = nix::sys::resource::getrusage(who) {
                println!("{refused:?}");
            }
            println!("after");
        }
        Some("loopback up") => say("loopback up", sys::loopback_up()),
        #[cfg(target_arch = "x86_64")]
        Some("32-bit call") => println!("32-bit call={}", sys::getpid_by_int80() > 0),
        #[cfg(target_arch = "x86_64")]
        Some("x32 call") => say("x32 call", sys::getpid_of_x32()),
        Some("deeds") => powers::deeds(),
        Some("again") => powers::again(),
        Some("become another") => powers::become_another(),
        Some("after") => powers::after(),
        Some("volume") => keeping::files_in("/data"),
        Some("scratch") => keeping::files_in("/scratch"),
        Some("fill") => keeping::fill(),
        Some("ports") => reaching::ports(),
        Some("serve") => reaching::serve(),
        Some("dial") => reaching::dial(),
        Some("exit") => std::process::exit(7),
        Some("write-execute") => say("write-execute", sys::write_then_execute()),
        Some("proc") => {
            say_list("proc", "/proc");
            say("other pid", io(fs::read("/proc/2/status")));
            say("kernel command line", io(fs::read("/proc/cmdline")));
        }
        Some("devices") => {
            say("null", io(fs::write("/dev/null", "x")));
            say("zero", io(fs::File::open("/dev/zero")));
            say("random", io(fs::File::open("/dev/random")));
            say("urandom", io(fs::File::open("/dev/urandom")));
            say_list("dev", "/dev");
        }
        Some(other) => println!("unknown {other}"),
    }
}

fn report() {
    println!("pid={} parent={}", getpid(), getppid());
    println!("session={}", getsid(None).map_or(-1, Pid::as_raw));
    println!("uid={} gid={}", Uid::current(), getgid());
    println!("groups={:?}", getgroups().map(|g| g.len()));
    println!(
        "host={}",
        gethostname().unwrap_or_default().to_string_lossy()
    );
    println!(
        "cwd={}",
        std::env::current_dir().unwrap_or_default().display()
    );
    let env: Vec<String> = std::env::vars().map(|(k, v)| format!("{k}:{v}")).collect();
    println!("env={}", env.join(","));
    let open: Vec<String> = (0..256)
        .filter(|fd| sys::is_open(*fd))
        .map(|fd| fd.to_string())
        .collect();
    println!("fds={}", open.join(","));
    say_list("root", "/");
    for limit in [
        ("nofile", Resource::RLIMIT_NOFILE),
        ("fsize", Resource::RLIMIT_FSIZE),
        ("core", Resource::RLIMIT_CORE),
    ] {
        println!("{}={:?}", limit.0, getrlimit(limit.1));
    }
    for pid in [-1, 2, 100] {
        say(&format!("kill {pid}"), kill(Pid::from_raw(pid), None));
    }
    say("open /etc/passwd", io(fs::File::open("/etc/passwd")));
    say("open unlisted", io(fs::File::open("/unlisted")));
    say("list proc", io(fs::read_dir("/proc")));
    let local = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    say("connect", io(TcpStream::connect(local(80))));
    say("bind", io(TcpListener::bind(local(8080))));
    let datagram = UdpSocket::bind("0.0.0.0:0").and_then(|s| s.send_to(b"x", local(53)));
    say("datagram", io(datagram));
    let none = None::<&Path>;
    say(
        "mount",
        mount(Some("t"), "/", Some("tmpfs"), MsFlags::empty(), none),
    );
    let writable = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    say("remount", mount(none, "/", none, writable, none));
    say("unshare net", unshare(CloneFlags::CLONE_NEWNET));
    say("ptrace", sys::ptrace_attach(1));
    say("write root", io(fs::write("/file", "x")));
    say("mkdir root", io(fs::create_dir("/directory")));
    say("write program folder", io(fs::write("/usr/file", "x")));
    let block = SFlag::S_IFBLK;
    say(
        "mknod",
        mknod(
            "/block",
            block,
            Mode::S_IRUSR,
            nix::sys::stat::makedev(8, 0),
        ),
    );
    say("setuid 0", setuid(Uid::from_raw(0)));
    let other = Uid::from_raw(1001);
    say("setresuid 1001", setresuid(other, other, other));
    say("setgroups", setgroups(&[]));
    say(
        "execute data",
        io(std::fs::metadata("/data")).and_then(|()| execute_data()),
    );
    say_capabilities();
}

/// Landlock and noexec are asked by replacing this process in a way that must
/// fail; a success would end the report and the test with it.
fn execute_data() -> Result<(), Errno> {
    let (path, none): (_, [&std::ffi::CStr; 0]) = (c"/data/program", []);
    nix::unistd::execve(path, &[path, c"exit"], &none).map(drop)
}

fn say_capabilities() {
    match sys::capabilities() {
        Ok(sets) => println!("capabilities={sets:?}"),
        Err(errno) => println!("capabilities={errno:?}"),
    }
    println!("securebits={:?}", sys::securebits());
}

fn say(what: &str, result: Result<(), Errno>) {
    match result {
        Ok(()) => println!("{what}=ok"),
        Err(errno) => println!("{what}={errno:?}"),
    }
}

fn io<T>(result: std::io::Result<T>) -> Result<(), Errno> {
    let errno = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(0));
    result.map(drop).map_err(errno)
}

fn say_list(what: &str, path: &str) {
    match fs::read_dir(path) {
        Ok(entries) => {
            let name = |e: std::io::Result<fs::DirEntry>| e.ok()?.file_name().into_string().ok();
            let mut names: Vec<String> = entries.filter_map(name).collect();
            names.sort();
            println!("{what}={}", names.join(","));
        }
        Err(e) => say(what, io::<()>(Err(e))),
    }
}
