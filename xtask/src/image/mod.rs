//! `cargo xtask image`: from Debian packages, overlays and our programs to the
//! files that users flash. No root is ever "installed": packages are unpacked,
//! no maintainer script and no arm64 code runs, nothing is mounted, and root
//! rights are needed only to install missing host packages.
//!
//! Each stage is a module, makes one thing, and does nothing when its inputs
//! have not changed (see [`step`]).

mod app;
mod architecture;
mod assemble;
mod board;
mod card;
mod elf;
mod glob;
mod img;
mod initramfs;
mod kernel;
pub mod native;
mod programs;
pub mod rival;
mod root;
mod rootfs;
pub mod rules;
mod setup;
pub mod sign;
mod squashfs;
mod step;
mod sums;
mod system;
mod toolchain;
mod tree;
mod yaml;
mod zip;

pub use initramfs::write_newc;
pub use tree::{Node, Tree};

use crate::workspace;
use anyhow::{Context, Result};
use architecture::Architecture;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

/// What `cargo xtask image` takes.
#[derive(Debug, clap::Args)]
pub struct ImageArguments {
    /// The board: a folder in boards/
    #[arg(long, default_value = "rpi3")]
    board: String,
    /// Where the results go [default: target/image/BOARD]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only name missing host packages, install nothing
    #[arg(long)]
    no_install: bool,
    /// A Debian mirror to use instead of the default one
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Take our programs and libraries from this folder, already built for arm64
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Sign apps with the key in this file, 64 hexadecimal digits [default: target/image/app-key, made at first]
    #[arg(long, value_name = "FILE")]
    app_key: Option<PathBuf>,
}

/// The apps on the card: folders in apps/.
const APPS: [&str; 1] = ["email"];

/// Makes every result of one board.
pub fn run(arguments: &ImageArguments) -> Result<()> {
    step::clean_up_when_interrupted()?;
    let source = workspace::root();
    let board = board::Board::read(source, &arguments.board)?;
    let host = root::Root::read(source, "host")?;
    let apps = APPS.map(|name| app::Source::read(source, name));
    let apps = apps.into_iter().collect::<Result<Vec<_>>>()?;
    let app_key = match &arguments.app_key {
        Some(path) => sign::AppKey::read(path)?,
        None => sign::AppKey::for_development(&workspace::target().join("image/app-key"))?,
    };
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| workspace::target().join("image").join(&board.name));
    std::fs::create_dir_all(&out).with_context(|| format!("{}: cannot be made", out.display()))?;
    let steps = step::Steps::new(&workspace::cache())?;

    setup::host_packages(arguments.no_install, arguments.programs.is_some())?;
    let mirror = arguments.mirror.as_deref();
    let roots: Vec<&root::Root> = apps.iter().flat_map(|app| &app.roots).collect();
    let wanted = ours(roots.iter().copied().chain([&host]));
    // Downloads and the compiler want different things of the machine.
    let (programs, tars) = std::thread::scope(|scope| {
        let downloads = scope.spawn(|| -> Result<_> {
            let board = rootfs::extract(&steps, "board packages", &board.packages, mirror)?;
            let host = rootfs::of_root(&steps, &host, mirror)?;
            let apps = roots
                .iter()
                .map(|root| rootfs::of_root(&steps, root, mirror));
            Ok((board, host, apps.collect::<Result<Vec<_>>>()?))
        });
        let programs = match &arguments.programs {
            Some(folder) => programs::Programs::from_folder(folder, &wanted),
            None => toolchain::find(&steps, arguments.no_install)
                .and_then(|toolchain| programs::build(&steps, &toolchain, &wanted)),
        };
        let tars = downloads
            .join()
            .expect("the download thread does not panic")?;
        Ok::<_, anyhow::Error>((programs?, tars))
    })?;
    let (board_tar, host_tar, mut app_tars) = tars;

    let kernel = kernel::make(&steps, &board, &board_tar)?;
    let system = system::make(
        &steps,
        &host,
        &board,
        host_tar.as_deref(),
        &kernel,
        &programs,
        &app_key,
    )?;
    let mut images = Vec::new();
    for app in &apps {
        let tars: Vec<_> = app_tars.drain(..app.roots.len()).collect();
        images.push(app::make(&steps, app, &tars, &programs, &app_key)?);
    }
    let initramfs = initramfs::make(&steps, &board, &kernel, &system, &programs)?;
    let slot = card::Slot {
        kernel: &kernel,
        initramfs: &initramfs,
        system: &system,
        apps: &images,
    };
    let files = card::files(&steps, source, &board, &board_tar, &slot)?;
    let names = [
        format!("projectx-{}.zip", board.name),
        format!("projectx-{}.img.zip", board.name),
    ];
    zip::make(&steps, &files, &out.join(&names[0]))?;
    img::make(&steps, &files, &board, &out.join(&names[1]))?;
    sums::make(&out, &names)?;
    steps.done(&out, &names);
    Ok(())
}

/// Every program and library of ours that the roots and the initramfs hold.
fn ours<'a>(roots: impl Iterator<Item = &'a root::Root>) -> Vec<root::Program> {
    let in_roots = roots.flat_map(|root| root.programs.iter().chain(&root.libraries));
    in_roots.cloned().chain(initramfs::programs()).collect()
}

/// Compiles one of our packages for the box and returns the folder with its
/// programs. The boot tests' agent is made so; no image holds it.
pub fn compile(package: &str) -> Result<PathBuf> {
    let steps = step::Steps::new(&workspace::cache())?;
    let toolchain = toolchain::find(&steps, false)?;
    programs::compile(&steps, &toolchain, &[package])
}

/// Programs of Debian for the box, with the libraries that they need. Boot
/// tests bring some along; no image holds them. `name` is for the cache.
pub fn debian_programs(name: &str, packages: &[&str], keep: &[&str]) -> Result<Tree> {
    let words = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let steps = step::Steps::new(&workspace::cache())?;
    let wanted = root::Packages {
        suite: "trixie".into(),
        components: vec!["main".into()],
        with_dependencies: words(packages),
        alone: Vec::new(),
        architecture: Architecture::Arm64,
    };
    let tar = rootfs::extract(&steps, name, &wanted, None)?;
    let file = File::open(&tar).with_context(|| format!("{}: cannot be read", tar.display()))?;
    let debian = Tree::from_tar(BufReader::new(file), |_| true)?;
    assemble::choose(name, &words(keep), &[], &debian)
}

/// Makes sure that the host packages for making a card and starting a box are there.
pub fn host_packages_for_boots() -> Result<()> {
    setup::install(&setup::BOOTING, false)?;
    setup::host_packages(false, false)
}

/// Makes sure that the programs are there which judge the box from outside.
pub fn install_judges() -> Result<()> {
    setup::install(&setup::JUDGES, false)
}

/// Makes sure that the programs are there which sandboxes are measured beside.
pub fn install_other_sandboxes() -> Result<()> {
    setup::install(&setup::SANDBOXES, false)
}
