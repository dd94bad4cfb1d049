//! `cargo xtask boot`: a card from the ZIP, and a box in QEMU on it.

use crate::card_image;
use crate::qemu::{self, Board, Machine, Network, QemuError, Setup, Start};
use crate::workspace;
use crate::{guest, image};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What `cargo xtask boot` takes.
#[derive(Debug, clap::Args)]
pub struct BootArguments {
    /// The machine that QEMU plays
    #[arg(long, value_enum, default_value = "virt")]
    board: Board,
    /// Boot this card again; made first when there is none
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// The ZIP to make the card from
    #[arg(long, value_name = "FILE")]
    zip: Option<PathBuf>,
    /// Main memory in MB (rpi3 always has 1024)
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    memory: u32,
    /// Where the serial console goes
    #[arg(long, value_name = "FILE")]
    serial: Option<PathBuf>,
    /// Print one JSON line once the page answers
    #[arg(long)]
    json: bool,
}

/// Boots, says how to reach the box, and stays until Ctrl-C or power-off.
pub fn run(arguments: &BootArguments) -> Result<()> {
    ensure!(
        arguments.board == Board::Virt || arguments.memory == 1024,
        "--memory: rpi3 always has 1024 MB; leave it out, or take --board virt"
    );
    image::host_packages_for_boots()?;
    let folder = workspace::target().join("boot");
    let card = match &arguments.card {
        Some(card) if card.exists() => card.clone(),
        asked_for => {
            let card = asked_for.clone().unwrap_or_else(|| folder.join("card.img"));
            make_card(arguments, &card)?;
            card
        }
    };
    let serial = arguments
        .serial
        .clone()
        .unwrap_or_else(|| folder.join("serial.log"));
    if serial.exists() {
        std::fs::remove_file(&serial).with_context(|| serial.display().to_string())?;
    }
    let mut machine = Machine::start(&Setup {
        board: arguments.board,
        card: card.clone(),
        start: Start::PowerOn,
        memory: arguments.memory,
        serial: serial.clone(),
        virt_u_boot: qemu::virt_u_boot(&workspace::cache())?,
        network: Network::Ports,
        recording: None,
        stick: None,
    })?;
    if !arguments.json {
        eprintln!(
            "Booting {}; the serial console goes to {}",
            card.display(),
            serial.display()
        );
    }
    match machine.wait_for_page() {
        Ok(()) => announce(arguments.json, &machine, &serial, &card),
        Err(QemuError::Interrupted) => return Ok(machine.quit()?),
        Err(error) => return Err(error.into()),
    }
    loop {
        if machine.exited()?.is_some() {
            eprintln!("The box has switched itself off.");
            return Ok(());
        }
        if qemu::interrupted() {
            machine.quit()?;
            eprintln!("Ended. The card is {}", card.display());
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A card exactly as a user would make it. On `rpi3` one builders' file more,
/// without which QEMU resets for ever (see [`qemu`]).
fn make_card(arguments: &BootArguments, card: &Path) -> Result<()> {
    let zip = match &arguments.zip {
        Some(zip) => zip.clone(),
        None => {
            let zip = workspace::zip();
            if !zip.exists() {
                guest::build_zip()?;
            }
            zip
        }
    };
    let extra: &[(&str, &[u8])] = match arguments.board {
        Board::Rpi3 => &[("debug.env", qemu::RPI3_DEBUG_ENV)],
        Board::Virt => &[],
    };
    card_image::make(&zip, card, card_image::DEFAULT_SIZE, extra)?;
    Ok(())
}

/// Says that the page answers, and where.
fn announce(as_json: bool, machine: &Machine, serial: &Path, card: &Path) {
    let ports = machine.ports();
    if as_json {
        let line = json!({
            "ready": true,
            "console": ports.console,
            "console_tls": ports.console_tls,
            "smtp": ports.smtp,
            "imaps": ports.imaps,
            "serial": serial,
            "card": card,
        });
        println!("{line}");
        return;
    }
    println!("The page:  {}/", machine.page());
    println!("By TLS:    {}/", machine.page_over_tls());
    println!("SMTP:      127.0.0.1:{}", ports.smtp);
    println!("IMAPS:     127.0.0.1:{}", ports.imaps);
    println!(
        "Ctrl-C pulls the plug; `--card {}` boots this card again.",
        card.display()
    );
}
