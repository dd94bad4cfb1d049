//! The box's own records in the DNS: the box says which it needs, the internet publishes
//! exactly those lines, and the box looks whether they are there. That the keys in them
//! are the right ones is a foreign Postfix's word, which reaches the box by DANE alone,
//! also after port 25's next key has become the present one.

use super::{LIMIT, Meeting, STEP};
use anyhow::{Context, Result, bail, ensure};
use internet::{Domain, HOME};
use records::{Found, Kind, Purpose, State, Tlsa, Wanted, roll, sources, told};
use std::path::PathBuf;
use std::time::Instant;

/// What the box can't know: where it is.
const ADDRESS: &str = "box A 128.66.0.25\n";

/// Does all of it.
///
/// # Errors
/// When the box finds something else than there is, or a sender does not believe it.
pub fn run(meeting: &Meeting) -> Result<()> {
    let wanted = wait_for(|| {
        let wanted = Wanted::read(&folder(meeting, "records-wanted"))?;
        let count = |kind| {
            let records = wanted.records.iter();
            records.filter(|one| one.kind() == kind).count()
        };
        // Both keys of port 25, and both DKIM keys of two numbers.
        ensure!(
            (count(Kind::Tlsa), count(Kind::Txt)) == (2, 8),
            "{wanted:?}"
        );
        Ok(wanted)
    })?;
    meeting.internet.publish(ADDRESS)?;
    expect(meeting, "before", |purpose| match purpose {
        Purpose::Address => State::There,
        _ => State::Missing,
    })?;

    let printed = printed(&wanted);
    meeting.internet.publish(&printed)?;
    expect(meeting, "published", |_| State::There)?;
    by_dane(meeting)?;

    // Two days later, on a box.
    let keys = folder(meeting, "keys");
    let before = sources::tlsa(&keys).context("both keys")?;
    roll::wish(&keys, &before.next)?;
    by_dane(meeting)?;
    let Tlsa { present, next } = sources::tlsa(&keys).context("both keys")?;
    ensure!(
        present == before.next && next != present,
        "the next key is not used"
    );
    by_dane(meeting)?;
    expect(meeting, "another key", |purpose| match purpose {
        // What was published for the old key is there still.
        Purpose::TlsaNext => State::Different,
        _ => State::There,
    })?;

    let weaker = printed.replace("p=reject", "p=none");
    meeting.internet.publish(&weaker)?;
    let found = expect(meeting, "changed", |purpose| match purpose {
        Purpose::TlsaNext | Purpose::Dmarc => State::Different,
        _ => State::There,
    })?;
    let mut all = found.records.into_iter();
    let dmarc = all.find(|one| one.record.purpose == Purpose::Dmarc);
    let told = dmarc.context("DMARC")?.found;
    let there = format!("v=DMARC1; p=none; rua=mailto:postmaster@{HOME}");
    ensure!(told == [there], "told: {told:?}");
    Ok(())
}

/// What `projectx records` prints, with a time to live that a test can wait for; and the
/// address, which the owner adds.
fn printed(wanted: &Wanted) -> String {
    let text = told::zone(wanted, None, None, "");
    let lines = text.lines().filter(|line| !line.starts_with(';'));
    let lines: Vec<String> = lines
        .map(|line| line.replace(" 3600 IN ", " 1 IN "))
        .collect();
    format!("{ADDRESS}{}\n", lines.join("\n"))
}

/// Asks the box to look again until it has found each record so.
fn expect(meeting: &Meeting, when: &str, state: impl Fn(Purpose) -> State) -> Result<Found> {
    let folder_of_wanted = folder(meeting, "records-wanted");
    wait_for(|| {
        Wanted::read(&folder_of_wanted)?.ask_again(&folder_of_wanted)?;
        let asked = Wanted::read(&folder_of_wanted)?.asked;
        let found = wait_for(|| {
            let found =
                Found::read(&folder(meeting, "records-found")).map_err(anyhow::Error::msg)?;
            let found = found.context("nothing was looked up")?;
            ensure!(found.asked == asked, "it does not look again");
            Ok(found)
        })?;
        let all = Wanted::read(&folder_of_wanted)?.records.len();
        ensure!(found.records.len() == all, "{when}: of other records");
        for one in &found.records {
            let wanted = state(one.record.purpose);
            if one.state != wanted {
                bail!("{when}: not {wanted:?}: {one:?}");
            }
        }
        Ok(found)
    })
}

/// As a sender's Postfix judges the box when it may trust nothing but the TLSA records.
fn by_dane(meeting: &Meeting) -> Result<()> {
    let words = [
        "posttls-finger",
        "-c",
        "-l",
        "dane-only",
        "-L",
        "summary",
        HOME,
    ];
    wait_for(|| {
        let said = meeting.internet.host(Domain::Postfix).run(&words)?;
        let said = String::from_utf8_lossy(&said);
        ensure!(
            said.contains("Verified TLS connection established to box."),
            "{said}"
        );
        Ok(())
    })
}

fn folder(meeting: &Meeting, volume: &str) -> PathBuf {
    meeting.options.volumes.join(volume)
}

fn wait_for<T>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + LIMIT;
    loop {
        match look() {
            Err(_) if Instant::now() < end => std::thread::sleep(STEP),
            done => return done,
        }
    }
}
