//! A running app explains its sandboxes from what it starts them with.

use services::runtime::{Journal, Lives, Running, Setting};
use std::fs;
use std::sync::Arc;

const MANIFEST: &str = "
app: test
services:
  small:
    run: [/not-there]
    lifetime: daemon
    volumes: [{ name: kept, path: /kept, mode: rw }]
    limits: { memory: 16M, tasks: 2, files: 16, file-size: 0 }
";

#[derive(Debug)]
struct Silent;

impl Journal for Silent {
    fn event(&self, _words: &str) {}
    fn line(&self, _service: &str, _words: &str) {}
}

#[test]
fn a_running_app_says_what_it_enforces_and_an_ended_one_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("image/policies")).unwrap();
    fs::create_dir_all(at("image/roots/small")).unwrap();
    let policy = "execve # start\nwrite # log\nexit_group # end\n";
    fs::write(at("image/policies/small.seccomp"), policy).unwrap();
    let compiled = sandbox::policy::compile("small", policy, sandbox::policy::Arch::HERE);
    let compiled = compiled.unwrap().to_bytes();
    fs::write(at("image/policies/small.bpf"), compiled).unwrap();
    let setting = Setting {
        image: at("image"),
        volumes: at("volumes"),
        sockets: at("sockets"),
        hostname: "projectx.local".into(),
        shared_ports: Vec::new(),
        cgroups: None,
        relay: None,
        lives: Lives::default(),
    };
    let app = manifest::read("app.yaml", MANIFEST).unwrap();
    let running = Running::start(app, setting, Arc::new(Silent)).unwrap();
    let sandboxes = running.sandboxes();
    assert_eq!(sandboxes.names(), ["small"]);
    let words = sandboxes.explain("small").unwrap().unwrap().to_string();
    // From the image's policy, the setting's folders, and the ids given here.
    for expected in [
        "- write: log".to_owned(),
        format!(
            "- /kept: the folder {} of the encrypted",
            at("volumes/kept").display()
        ),
        "for the host that is 1001000".to_owned(),
        "the host offers no cgroup".to_owned(),
    ] {
        assert!(words.contains(&expected), "{expected:?} is not in\n{words}");
    }
    assert!(sandboxes.explain("large").is_none());
    running.stop();
    assert!(sandboxes.explain("small").is_none() && sandboxes.names().is_empty());
}
