//! Inputs for a short run: the seeds, then seeds and pieces put together, with
//! some of their bytes changed. The same on every machine.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A generator that is the same everywhere (Knuth's MMIX).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

/// Gives every file in `seeds` to `check`, then `times` inputs made of them and of
/// `pieces`.
///
/// # Panics
/// When a seed can't be read, or `check` panics; the input is named then.
pub fn run(seeds: &Path, pieces: &[&str], times: usize, check: impl Fn(&[u8])) {
    let seeds = read(seeds);
    for seed in &seeds {
        named(seed, &check);
    }
    let mut dice = Dice(2026);
    for _ in 0..times {
        named(&input(&mut dice, &seeds, pieces), &check);
    }
}

fn read(seeds: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = fs::read_dir(seeds)
        .expect("the folder of seeds")
        .map(|entry| entry.expect("a seed").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}: no seed", seeds.display());
    files
        .iter()
        .map(|file| fs::read(file).expect("a seed"))
        .collect()
}

/// The same for `time`, with inputs made of the seeds and of their own parts.
///
/// # Panics
/// As [`run`].
pub fn run_for(seeds: &Path, time: Duration, check: impl Fn(&[u8])) {
    let seeds = read(seeds);
    let end = Instant::now() + time;
    for seed in &seeds {
        named(seed, &check);
    }
    let mut dice = Dice(2026);
    while Instant::now() < end {
        let mut bytes = input(
            &mut dice,
            &seeds,
            &["\0", "\r\n", "\n", "\u{ff}", " ", "\"", "0"],
        );
        let other = &seeds[dice.below(seeds.len())];
        let from = dice.below(other.len() + 1);
        let to = from + dice.below(other.len() - from + 1);
        let at = dice.below(bytes.len() + 1);
        bytes.splice(at..at, other[from..to].iter().copied());
        named(&bytes, &check);
    }
}

fn named(input: &[u8], check: &impl Fn(&[u8])) {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(input)));
    assert!(
        done.is_ok(),
        "input: {:?}",
        input.escape_ascii().to_string()
    );
}

fn input(dice: &mut Dice, seeds: &[Vec<u8>], pieces: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if dice.below(3) > 0 {
        bytes.extend_from_slice(&seeds[dice.below(seeds.len())]);
    }
    for _ in 0..dice.below(12) {
        let piece = pieces[dice.below(pieces.len())].as_bytes();
        let at = match dice.below(2) {
            0 => bytes.len(),
            _ => dice.below(bytes.len() + 1),
        };
        bytes.splice(at..at, piece.iter().copied());
    }
    for _ in 0..dice.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = dice.below(bytes.len());
        match dice.below(4) {
            0 => bytes[at] = dice.below(256) as u8,
            1 => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            _ => {
                let end = (at + 1 + dice.below(64)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
    bytes
}
