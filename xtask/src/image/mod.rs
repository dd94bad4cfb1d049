//! `cargo xtask image`: from Debian packages, overlays and our programs to the
//! files that users flash. No root is ever "installed": packages are unpacked,
//! no maintainer script and no arm64 code runs, nothing is mounted, and root
//! rights are needed only to install missing host packages.
//!
//! Each stage is a module, makes one thing, and does nothing when its inputs
//! have not changed (see [`step`]).

mod board;
mod card;
mod elf;
mod glob;
mod img;
mod initramfs;
mod kernel;
mod programs;
mod root;
mod rootfs;
mod setup;
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
    /// Take init, early, supervisor, net-hook and console from this folder, already built for arm64
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// Makes every result of one board.
pub fn run(arguments: &ImageArguments) -> Result<()> {
    step::clean_up_when_interrupted()?;
    let source = workspace::root();
    let board = board::Board::read(source, &arguments.board)?;
    let host = root::Root::read(source, "host")?;
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| workspace::target().join("image").join(&board.name));
    std::fs::create_dir_all(&out).with_context(|| format!("{}: cannot be made", out.display()))?;
    let steps = step::Steps::new(&workspace::cache())?;

    setup::host_packages(arguments.no_install, arguments.programs.is_some())?;
    let mirror = arguments.mirror.as_deref();
    // Downloads and the compiler want different things of the machine.
    let (programs, host_tar, board_tar) = std::thread::scope(|scope| {
        let downloads = scope.spawn(|| -> Result<_> {
            Ok((
                rootfs::extract(&steps, "host root", &host.packages, mirror)?,
                rootfs::extract(&steps, "board packages", &board.packages, mirror)?,
            ))
        });
        let programs = match &arguments.programs {
            Some(folder) => programs::Programs::from_folder(folder),
            None => toolchain::find(&steps, arguments.no_install)
                .and_then(|toolchain| programs::build(&steps, &toolchain)),
        };
        let (host_tar, board_tar) = downloads
            .join()
            .expect("the download thread does not panic")?;
        Ok::<_, anyhow::Error>((programs?, host_tar, board_tar))
    })?;

    let kernel = kernel::make(&steps, &board, &board_tar)?;
    let system = system::make(&steps, &host, &board, &host_tar, &kernel, &programs)?;
    let initramfs = initramfs::make(&steps, &board, &kernel, &system, &programs)?;
    let files = card::files(
        &steps, source, &board, &board_tar, &kernel, &initramfs, &system,
    )?;
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
    };
    let tar = rootfs::extract(&steps, name, &wanted, None)?;
    let file = File::open(&tar).with_context(|| format!("{}: cannot be read", tar.display()))?;
    let debian = Tree::from_tar(BufReader::new(file), |_| true)?;
    system::choose(name, &words(keep), &[], &debian)
}

/// Makes sure that the host packages for making a card and starting a box are there.
pub fn host_packages_for_boots() -> Result<()> {
    setup::install(&setup::BOOTING, false)?;
    setup::host_packages(false, false)
}
