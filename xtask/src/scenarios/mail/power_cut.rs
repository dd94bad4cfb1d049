//! The power goes: right after the box has said `250` to one message, and in
//! the middle of another. After the next unlock the first is there, once; of
//! the second there is nothing, and its sender still has it. That the first blocks of the
//! file system were written in part changes nothing.
//!
//! The second comes from Postfix over a line that goes bad after some bytes
//! (a quota of nftables), so the power is sure to go in the middle of it.

use super::internet::{BOX, MAIL, POSTFIX};
use super::letter::{added_header, find, letter};
use super::readers::curl;
use super::senders::{Postfix, swaks_until_taken};
use super::world::{World, page, wait_for_mail};
use super::{ANNA, BEN, InsideArguments, PASSPHRASE};
use crate::agent::Agent;
use crate::qemu::{PAGE_LIMIT, Start};
use crate::tool::tool;
use anyhow::{Context, Result, ensure};
use console::client;
use std::thread::sleep;
use std::time::Duration;

const FROM: &str = "ada@sender.example";
/// After so many bytes nothing of Postfix's reaches the box.
const BAD_AFTER: u32 = 200_000;
/// The rest of the message: some times as many.
const LONG: usize = 1_000_000;
/// For the message that was kept, at last.
const TRIES: usize = 8;
const ONE_TRY: Duration = Duration::from_secs(20);
/// The encrypted disk.
const DISK: &str = "/dev/vda2";
/// Where its file system has the first group descriptors, in bytes, and how many: behind
/// the 16 MiB of LUKS's header the second block. Written there, decrypted it is noise.
const DESCRIPTORS: (u64, usize) = ((16 << 20) + 4096, 4096);
const FROM_BACKUPS: &str = "projectx: disk: e2fsck begins with the backups of its first blocks";
const TABLE: &str = "bad-line";
const QUOTA: &str = "let-through";

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let mut machine = world.go_on(arguments, None)?;
    let mut agent = Agent::connect(&mut machine)?;
    let card = arguments.folder.join("kept.qcow2");

    let mut second = letter(POSTFIX, FROM, BEN.address, "In the middle");
    second
        .bytes
        .extend("A line of it.\r\n".repeat(LONG / 15).into_bytes());
    let postfix = Postfix::start(&world.postfix, &world.folder)?;
    postfix.queue(FROM, BEN.address, &second.bytes)?;
    make_the_line_bad()?;
    postfix.run_queue()?;
    wait_until_it_is_bad().with_context(|| postfix.log().unwrap_or_default())?;

    let first = letter(MAIL, FROM, ANNA.address, "Just taken");
    let reply = swaks_until_taken(&world.internet, MAIL, FROM, ANNA.address, &first.bytes)?;
    let half = "torn".repeat(DESCRIPTORS.1 / 4);
    agent.ask(&["write-at", DISK, &DESCRIPTORS.0.to_string(), &half])?;
    machine.cut_power()?;
    ensure!(reply == "250 2.0.0 Delivered", "{reply}");

    let mut machine = world.start_box(Start::PowerOnToSave, &card, None)?;
    machine.wait_for_serial("projectx: page ready", 1, PAGE_LIMIT)?;
    let answer = machine.wait_until("an answer to the passphrase", PAGE_LIMIT, |_| {
        Ok(client::unlock(&page(), PASSPHRASE).ok())
    })?;
    ensure!(answer.ok, "unlocking after the cut: {answer:?}");
    machine.wait_for_serial(FROM_BACKUPS, 1, PAGE_LIMIT)?;
    wait_for_mail(&mut machine)?;
    let messages = curl(&world.internet, &world.folder, ANNA, "INBOX")?;
    ensure!(messages.len() == 1, "Anna has {}", messages.len());
    added_header(find(&messages, &first.sentence)?, &first.bytes)
        .context("what the box said 250 to")?;
    for folder in ["INBOX", "Junk"] {
        let messages = curl(&world.internet, &world.folder, BEN, folder)?;
        ensure!(
            messages.is_empty(),
            "Ben has {} in {folder}",
            messages.len()
        );
    }
    ensure!(
        postfix.waiting()? == 1,
        "Postfix has given its message away:\n{}",
        postfix.log()?
    );
    make_the_line_good()?;
    // The client that the cut interrupted may hold the message for a while yet.
    let mut run = postfix.run_queue().and_then(|()| postfix.wait(ONE_TRY))?;
    for _ in 1..TRIES {
        if run.waiting == 0 {
            break;
        }
        run = postfix.run_queue().and_then(|()| postfix.wait(ONE_TRY))?;
    }
    ensure!(run.waiting == 0, "{run}:\n{}", postfix.log()?);
    let messages = curl(&world.internet, &world.folder, BEN, "INBOX")?;
    ensure!(messages.len() == 1, "Ben has {} at the end", messages.len());
    find(&messages, &second.sentence)?;
    Ok(())
}

fn make_the_line_good() -> Result<()> {
    let words = ["delete", "table", "ip", TABLE];
    Ok(tool("nft", "nftables").args(words).run()?)
}

fn make_the_line_bad() -> Result<()> {
    let rules = format!(
        "table ip {TABLE} {{
           quota {QUOTA} {{ over {BAD_AFTER} bytes; }}
           chain out {{
             type filter hook output priority 0;
             ip saddr {} ip daddr {BOX} tcp dport 25 quota name {QUOTA} drop;
           }}
         }}",
        POSTFIX.address
    );
    tool("nft", "nftables").arg(rules).run()?;
    Ok(())
}

/// Until more has been sent than gets through. The kernel shows no more as used
/// than the quota has.
fn wait_until_it_is_bad() -> Result<()> {
    for _ in 0..600 {
        let said = tool("nft", "nftables")
            .args(["list", "quota", "ip", TABLE, QUOTA])
            .output()?;
        if used(&String::from_utf8_lossy(&said)).is_some_and(|bytes| bytes >= u64::from(BAD_AFTER))
        {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    anyhow::bail!("Postfix does not get to the middle of its message")
}

/// The bytes in `over 200000 bytes used 1234 bytes`, whatever the unit.
fn used(said: &str) -> Option<u64> {
    let mut words = said.split_whitespace().skip_while(|word| *word != "used");
    let mut words = words.by_ref().skip(1);
    let number: u64 = words.next()?.parse().ok()?;
    let unit = match words.next()? {
        "bytes" => 1,
        "kbytes" => 1 << 10,
        "mbytes" => 1 << 20,
        _ => return None,
    };
    Some(number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_used_of_a_quota_is_read() {
        let said = "table ip bad-line {\n\tquota let-through {\n\t\tover 200000 bytes used 3 kbytes\n\t}\n}\n";
        assert_eq!(used(said), Some(3072));
        assert_eq!(used("quota let-through { over 200000 bytes }"), None);
    }
}
