//! What can be done with the files of a volume or a scratch.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::mkfifo;

use crate::{io, say, say_list};

/// Everything with files that a mail store does, and what none may.
pub fn files_in(folder: &str) {
    let path = |name: &str| format!("{folder}/{name}");
    say_list("before", folder);
    say("read", io(fs::read(path("given"))));
    say("write", io(fs::write(path("file"), "text")));
    let truncated = File::options().write(true).open(path("file"));
    say("truncate", io(truncated.and_then(|f| f.set_len(1))));
    say("mkdir", io(fs::create_dir_all(path("a/b"))));
    say(
        "rename across",
        io(fs::rename(path("file"), path("a/b/file"))),
    );
    say(
        "link across",
        io(fs::hard_link(path("a/b/file"), path("link"))),
    );
    say("symlink", io(symlink("a", path("symlink"))));
    say("fifo", mkfifo(path("fifo").as_str(), Mode::S_IRWXU));
    say("socket", io(UnixListener::bind(path("socket"))));
    say("remove file", io(fs::remove_file(path("link"))));
    say(
        "remove directory",
        io(fs::create_dir(path("d")).and_then(|()| fs::remove_dir(path("d")))),
    );
    let device = makedev(1, 3);
    let made = mknod(path("null").as_str(), SFlag::S_IFCHR, Mode::S_IRUSR, device);
    say("device", made);
    say("execute", execute(&path("program")));
    match fs::metadata(folder) {
        Ok(of) => println!(
            "owner={}:{} mode={:o}",
            of.uid(),
            of.gid(),
            of.mode() & 0o7777
        ),
        Err(e) => say("owner", io::<()>(Err(e))),
    }
    say_list("after", folder);
}

/// Fills `/scratch` until it is full, by bytes and by files.
pub fn fill() {
    let kibibyte = [b'x'; 1024];
    let mut written = 0;
    let full = loop {
        let name = "/scratch/big";
        let file = File::options().append(true).create(true).open(name);
        match file.and_then(|mut f| std::io::Write::write_all(&mut f, &kibibyte)) {
            Ok(()) if written < 4096 => written += 1,
            result => break result,
        }
    };
    println!("written={written}");
    say("bytes", io(full));
    say("remove", io(fs::remove_file("/scratch/big")));
    let made = (0..4096).try_for_each(|i| File::create(format!("/scratch/{i}")).map(drop));
    say("files", io(made));
}

/// A success would replace the probe and end its report.
fn execute(path: &str) -> Result<(), Errno> {
    if !Path::new(path).exists() {
        return Err(Errno::ENOENT);
    }
    let path = std::ffi::CString::new(path).map_err(|_| Errno::EINVAL)?;
    let none: [&std::ffi::CStr; 0] = [];
    nix::unistd::execve(&path, &[&path], &none).map(drop)
}
