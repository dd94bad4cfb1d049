//! What counts leftovers sees each kind of them. It has a process of its own.

use services::leftovers::{Leftovers, adopt_orphans};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

fn left(before: &Leftovers, folder: &Path) -> Vec<String> {
    let after = Leftovers::look(&[folder], Some(folder)).unwrap();
    after.since(before)
}

#[test]
fn a_process_a_descriptor_a_thread_a_file_and_a_cgroup_are_seen_until_they_are_gone() {
    adopt_orphans().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let before = Leftovers::look(&[folder], Some(folder)).unwrap();
    assert_eq!(left(&before, folder), [""; 0]);

    // An orphan in a network namespace of its own.
    let script = "unshare --net sleep 60 & echo $!";
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", script]).stdout(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    let mut text = String::new();
    let mut said = io::BufReader::new(shell.stdout.take().unwrap());
    io::BufRead::read_line(&mut said, &mut text).unwrap();
    drop(said);
    shell.wait().unwrap();
    let orphan = text.trim().parse().unwrap();
    let is_asleep = || {
        let found = left(&before, folder);
        let process = format!("process {orphan} (sleep)");
        let network = |thing: &String| thing.starts_with("network namespace ");
        found.contains(&process) && found.len() == 2 && found.iter().any(network)
    };
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !is_asleep() {
        assert!(
            std::time::Instant::now() < end,
            "{:?}",
            left(&before, folder)
        );
    }
    let orphan = nix::unistd::Pid::from_raw(orphan);
    nix::sys::signal::kill(orphan, nix::sys::signal::Signal::SIGKILL).unwrap();
    nix::sys::wait::waitpid(orphan, None).unwrap();
    assert_eq!(left(&before, folder), [""; 0]);

    let (reader, writer) = io::pipe().unwrap();
    assert_eq!(left(&before, folder).len(), 2);
    let two = Leftovers::look(&[], None).unwrap().count("descriptor");
    assert_eq!(two, before.count("descriptor") + 2);
    let thread = std::thread::spawn(move || io::read_to_string(reader));
    let both = left(&before, folder);
    let thread_seen = both.iter().any(|thing| thing.starts_with("thread "));
    assert!(both.len() == 3 && thread_seen, "{both:?}");
    drop(writer);
    thread.join().unwrap().unwrap();

    fs::create_dir(folder.join("group")).unwrap();
    fs::write(folder.join("group/file"), "").unwrap();
    let at = folder.display();
    assert_eq!(
        left(&before, folder),
        [
            format!("cgroup {at}/group"),
            format!("file {at}/group/file"),
            format!("folder {at}/group"),
        ]
    );
    fs::remove_dir_all(folder.join("group")).unwrap();
    // A joined thread may take a moment to leave /proc.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !left(&before, folder).is_empty() {
        assert!(
            std::time::Instant::now() < end,
            "{:?}",
            left(&before, folder)
        );
    }
}
