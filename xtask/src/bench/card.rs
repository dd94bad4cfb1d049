//! `cargo xtask bench card`: what an owner waits for. From the power to the page, on a
//! fresh card and on one that has a passphrase; from the passphrase to the open disk,
//! when it is set and when it is asked for; on both boards, with the ZIP that users get. And what each
//! cipher that the disk could have does in the box's kernel.
//!
//! Limits: QEMU emulates the processors, so only what is beside each other here can be
//! compared. Its `raspi3b` starts at U-Boot: the GPU's firmware, some seconds on a Pi,
//! does not count. NEON costs an emulator more than a Cortex-A53.

use super::with_place;
use crate::agent::Agent;
use crate::image::Tree;
use crate::qemu::Board;
use crate::scenarios::Lab;
use crate::{guest, image, workspace};
use anyhow::{Context, Result, ensure};
use console::client;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const PASSPHRASE: &str = "a passphrase to measure with";
/// On a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
/// Seconds for each cipher and direction.
const EACH_CIPHER: &str = "3";

/// What `cargo xtask bench card` takes.
#[derive(Debug, clap::Args)]
pub struct CardArguments {
    /// Print one JSON line
    #[arg(long)]
    json: bool,
    /// How many fresh cards for each board
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// What is timed, in the order in which an owner waits for it.
const WAITS: [&str; 4] = [
    "fresh card, power to page",
    "set passphrase to open disk",
    "claimed card, power to page",
    "passphrase to open disk",
];

/// Measures, and prints.
pub fn run(arguments: &CardArguments) -> Result<()> {
    ensure!(arguments.rounds > 0, "--rounds: at least one");
    image::host_packages_for_boots()?;
    guest::build_zip()?;
    let program = image::compile("ciphers")?.join("ciphers");
    let mut brought = Tree::default();
    let program = fs::read(&program).with_context(|| program.display().to_string())?;
    brought.put_program("ciphers", program);
    let lab = Lab::new(false)?;
    let folder = workspace::target().join("bench/card");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder)?;
    let mut boards = Map::new();
    for (name, board) in [("virt", Board::Virt), ("rpi3", Board::Rpi3)] {
        let mut rounds = Vec::new();
        for round in 1..=arguments.rounds {
            eprintln!("{name}: round {round} of {}", arguments.rounds);
            rounds.push(waits(&lab, board, &folder).with_context(|| name.to_owned())?);
        }
        boards.insert(name.to_owned(), medians(&rounds));
    }
    eprintln!("ciphers");
    let ciphers = ciphers(&lab, &brought, &folder).context("ciphers")?;
    fs::remove_dir_all(&folder)?;
    let result = with_place(json!({
        "bench": "card",
        "rounds": arguments.rounds,
        "seconds": boards,
        "cipher_megabytes_a_second": ciphers,
    }));
    match arguments.json {
        true => println!("{result}"),
        false => print!("{}", table(&result)),
    }
    Ok(())
}

/// One card from its first power-on to its second unlocking, in seconds.
fn waits(lab: &Lab, board: Board, folder: &Path) -> Result<[f64; 4]> {
    // Opening the watchdog resets raspi3b in QEMU.
    let words = match board {
        Board::Virt => "",
        Board::Rpi3 => "projectx.watchdog=off",
    };
    let card = lab.card(folder, words)?;
    let mut seconds = [0.0; 4];
    for (day, seconds) in seconds.chunks_mut(2).enumerate() {
        let power = Instant::now();
        let mut machine = lab.start(board, &card, folder)?;
        machine.wait_for_page()?;
        seconds[0] = power.elapsed().as_secs_f64();
        let asked = Instant::now();
        let answer = match day {
            0 => client::claim(&machine.page(), PASSPHRASE, None)?,
            _ => client::unlock(&machine.page(), PASSPHRASE)?,
        };
        ensure!(answer.ok, "day {}: {answer:?}", day + 1);
        machine.wait_for_serial("projectx: unlocked", 1, PATIENCE)?;
        seconds[1] = asked.elapsed().as_secs_f64();
        let answer = client::power(&machine.page(), "off")?;
        ensure!(answer.ok, "power-off: {answer:?}");
        machine.wait_for_power_off(PATIENCE)?;
    }
    Ok(seconds)
}

/// Of each wait the middle one, in tenths of a second.
fn medians(rounds: &[[f64; 4]]) -> Value {
    let of = |number: usize| {
        let mut all: Vec<f64> = rounds.iter().map(|round| round[number]).collect();
        all.sort_by(f64::total_cmp);
        (all[all.len() / 2] * 10.0).round() / 10.0
    };
    let each = WAITS.iter().enumerate();
    Value::Object(
        each.map(|(at, name)| ((*name).to_owned(), json!(of(at))))
            .collect(),
    )
}

fn ciphers(lab: &Lab, brought: &Tree, folder: &Path) -> Result<Value> {
    let card = lab.card_with_agent_and(folder, "", brought, &[])?;
    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine.wait_for_page()?;
    let mut agent = Agent::connect(&mut machine)?;
    let said = agent.run("run", &["/ciphers", EACH_CIPHER])?;
    machine.quit()?;
    serde_json::from_str(said.trim()).context("what ciphers prints")
}

fn table(result: &Value) -> String {
    let mut text = format!("{:<44}{:>10}{:>10}\n", "seconds", "virt", "rpi3");
    let seconds = &result["seconds"];
    for name in WAITS {
        let [virt, rpi3] = ["virt", "rpi3"].map(|board| seconds[board][name].to_string());
        text += &format!("{name:<44}{virt:>10}{rpi3:>10}\n");
    }
    text += &format!(
        "\n{:<44}{:>10}{:>10}\n",
        "MB a second", "encrypt", "decrypt"
    );
    let ciphers = result["cipher_megabytes_a_second"].as_object();
    for (name, speed) in ciphers.into_iter().flatten() {
        text += &match speed["error"].as_str() {
            Some(error) => format!("{name:<44}does not work here: {error}\n"),
            None => {
                let [to, from] = ["encrypt", "decrypt"].map(|way| speed[way].to_string());
                format!("{name:<44}{to:>10}{from:>10}\n")
            }
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_has_its_median_and_the_table_shows_all_of_them() {
        let rounds = [
            [3.0, 40.0, 2.0, 1.0],
            [9.0, 10.0, 2.06, 1.0],
            [6.0, 20.0, 2.0, 1.0],
        ];
        let virt = medians(&rounds);
        assert_eq!(virt[WAITS[0]], json!(6.0));
        assert_eq!(virt[WAITS[1]], json!(20.0));
        let text = table(&json!({
            "seconds": { "virt": virt, "rpi3": medians(&[[1.0, 2.0, 3.0, 4.26]]) },
            "cipher_megabytes_a_second": {
                "one": { "encrypt": 1.5, "decrypt": 2.5 },
                "another": { "error": "none: ENOENT" },
            },
        }));
        for expected in ["4.3", "one ", "1.5", "does not work here: none: ENOENT"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }
}
