//! Attacks from one sandbox, on the box's kernel and in its cgroups; the test agent
//! starts it. `attacks-in-box SANDBOX` tries everything with all protections, and
//! prints a line an attack. `attacks-in-box SANDBOX ATTACK PROTECTION…` tries one
//! attack while these protections go one by one.
//!
//! It works where the supervisor does, in PID 1's mount namespace, but in a copy,
//! so that the box does not see the folder that it makes.

use anyhow::{Context, Result, bail};
use attacks::{ATTACKS, Ground, LIMITS, Layer, World, line};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::{self, File};
use std::path::PathBuf;

/// The program, beside this one.
const ATTACK: &str = "/attack";
/// Roots and volumes are here, where every program of the box looks for such a place.
const FOLDER: &str = "/tmp";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let program = fs::read(ATTACK).context(ATTACK)?;
    enter().context("entering the box's mount namespace")?;
    let path = PathBuf::from(FOLDER).join("attack");
    fs::write(&path, program).with_context(|| path.display().to_string())?;
    let ground = Ground {
        program: path,
        cgroups: Some("/sys/fs/cgroup".into()),
    };
    match words.as_slice() {
        [name] => {
            let world = World::new(name, &ground);
            for attack in ATTACKS.iter().filter(|attack| world.has(attack)) {
                println!("{}: {}", attack.name, world.run(attack, &[]));
            }
        }
        [name, attack, layers @ ..] => {
            let world = World::new(name, &ground);
            let mut all = ATTACKS.iter().chain(LIMITS);
            let attack = all.find(|known| known.name == *attack);
            let attack = attack.context("no such attack")?;
            let layers: Vec<Layer> = layers.iter().map(|name| Layer::named(name)).collect();
            println!("{}: {}", attack.name, line(&world, attack, &layers));
        }
        [] => bail!("attacks-in-box SANDBOX [ATTACK PROTECTION…]"),
    }
    Ok(())
}

/// Goes where PID 1 is, in a copy, with an empty folder that may hold programs.
fn enter() -> Result<()> {
    let none = None::<&str>;
    setns(File::open("/proc/1/ns/mnt")?, CloneFlags::CLONE_NEWNS)?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none)?;
    let options = Some("mode=755");
    mount(
        Some("attacks"),
        FOLDER,
        Some("tmpfs"),
        MsFlags::empty(),
        options,
    )?;
    Ok(())
}
