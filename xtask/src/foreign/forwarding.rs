//! What the box sends by itself: mail that an alias, or a person's script, passes on, and
//! replies of a person who is away. It arrives as it was signed, from an envelope sender
//! of the box's; what comes back, comes to Anna; a stranger who never wrote to anybody
//! hears nothing.

use super::outbound::{comes_back, logged};
use super::{LIMIT, Meeting, STEP, inbox, letter, sieve};
use anyhow::{Context, Result, ensure};
use internet::{Domain, HOME, Received};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};

/// Whom Exim has: it judges signatures itself.
const FRIEND: &str = "ada@exim.example";
/// Whom its server refuses.
const NOBODY: &str = "unknown@postfix.example";
/// What every filter takes for junk.
const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
/// How long nothing must come for nothing to have come: a message takes a second.
const QUIET: Duration = Duration::from_secs(5);

/// Which domains take part.
pub fn domains() -> impl Iterator<Item = Domain> {
    [Domain::Postfix, Domain::Exim, Domain::Strict].into_iter()
}

/// Does it all.
///
/// # Errors
/// When mail becomes something else than it should, with what both sides said.
pub fn run(meeting: &Meeting) -> Result<()> {
    aliases(meeting)?;
    an_alias_to_outside(meeting).context("an alias to outside")?;
    a_script_passes_on(meeting).context("a script that passes on")?;
    junk_stays(meeting).context("junk")?;
    what_is_refused_comes_to_anna(meeting).context("a target that refuses")?;
    a_loop_ends(meeting).context("a loop")?;
    away(meeting).context("a reply")?;
    ensure!(
        !sieve::offers_login_in_clear(meeting)?,
        "ManageSieve takes a password in clear"
    );
    for word in ["reject", "enotify", "vnd.dovecot.environment"] {
        let said = sieve::refused(meeting, &format!("require \"{word}\";"))?;
        ensure!(said.contains(word), "{said}");
    }
    Ok(())
}

/// Aliases as the supervisor writes them (`people/src/aliases.rs`, whose tests have
/// such a line).
fn aliases(meeting: &Meeting) -> Result<()> {
    let path = meeting.options.volumes.join("people/aliases");
    let home = meeting.native.home(&meeting.anna)?;
    let uid = home.file_name().context("a home")?.to_string_lossy();
    let mut file = OpenOptions::new().append(true).open(&path)?;
    for (name, to) in [
        ("sales", FRIEND),
        ("lost", NOBODY),
        ("loop", "back@postfix.example"),
    ] {
        writeln!(
            file,
            "{name}@{HOME}::{uid}:{uid}:outside:/mail/{uid}::userdb_sieve_user_email={} userdb_sieve_environment/outside1={to}",
            meeting.anna
        )?;
    }
    // Dovecot looks at the file's time, in seconds.
    std::thread::sleep(Duration::from_secs(2));
    Ok(())
}

fn an_alias_to_outside(meeting: &Meeting) -> Result<()> {
    let sentence = "The heron goes by another's door.";
    send(meeting, Domain::Strict, "sales", 301, sentence)?;
    passed_on(meeting, sentence)?;
    // It was passed on, and is nowhere else.
    let kept = inbox(meeting.native.home(&meeting.anna)?)?;
    ensure!(!kept.iter().any(|text| text.contains(sentence)), "{kept:?}");
    Ok(())
}

fn a_script_passes_on(meeting: &Meeting) -> Result<()> {
    let script = format!("require \"copy\"; redirect :copy \"{FRIEND}\";");
    sieve::set(meeting, &script)?;
    let sentence = "The heron is copied by a script.";
    send(meeting, Domain::Strict, "anna", 302, sentence)?;
    passed_on(meeting, sentence)?;
    in_inbox(meeting, sentence)?;
    sieve::set(meeting, "keep;")
}

/// It arrived at Exim from Anna in the envelope, sealed, unchanged in what Strict signed,
/// and not signed by the box, whose it is not.
fn passed_on(meeting: &Meeting, sentence: &str) -> Result<()> {
    let received = arrives(meeting, Domain::Exim, sentence)?;
    ensure!(received.from == meeting.anna, "{received:?}");
    ensure!(received.to == FRIEND, "{received:?}");
    ensure!(received.tls.is_some(), "it came in the clear");
    logged(
        meeting,
        &[&format!(
            "Verified TLS connection established to {}",
            Domain::Exim.mx()
        )],
    )?;
    let text = String::from_utf8_lossy(&received.message).into_owned();
    ensure!(
        text.contains("From: Ada Archer <ada@strict.example>"),
        "{text}"
    );
    ensure!(text.matches("DKIM-Signature:").count() == 1, "{text}");
    ensure!(!text.contains("X-ProjectX-"), "{text}");
    let id = received.trace.split(" id ").nth(1).unwrap_or_default();
    let id = id.split([';', ' ']).next().unwrap_or_default().to_owned();
    let host = meeting.internet.host(Domain::Exim);
    let words = [
        id.as_str(),
        "DKIM: ",
        "d=strict.example",
        "[verification succeeded]",
    ];
    host.wait_for_log(&words, LIMIT).map(drop)
}

fn junk_stays(meeting: &Meeting) -> Result<()> {
    send(meeting, Domain::Postfix, "sales", 303, GTUBE)?;
    let junk = meeting
        .native
        .home(&meeting.anna)?
        .join("Maildir/.Junk/new");
    until(meeting, "Junk", || {
        let entries = fs::read_dir(&junk).into_iter().flatten().flatten();
        let mut texts = entries.filter_map(|entry| fs::read(entry.path()).ok());
        texts.any(|text| String::from_utf8_lossy(&text).contains(GTUBE))
    })?;
    std::thread::sleep(QUIET);
    ensure!(
        of_sentence(meeting, Domain::Exim, GTUBE)?.is_empty(),
        "junk was passed on"
    );
    Ok(())
}

/// Anna gets the report; she who wrote gets none.
fn what_is_refused_comes_to_anna(meeting: &Meeting) -> Result<()> {
    let before = meeting.internet.host(Domain::Exim).received()?.len();
    send(
        meeting,
        Domain::Exim,
        "lost",
        304,
        "To nobody, by a way around.",
    )?;
    comes_back(meeting, NOBODY, "User unknown")?;
    std::thread::sleep(QUIET);
    let after = meeting.internet.host(Domain::Exim).received()?;
    ensure!(after.len() == before, "backscatter: {:?}", after.last());
    // With a script that passes all on, reports of the box's own stay as well.
    sieve::set(meeting, &format!("redirect \"{NOBODY}\";"))?;
    send(
        meeting,
        Domain::Exim,
        "anna",
        305,
        "To nobody, by a script.",
    )?;
    let home = meeting.native.home(&meeting.anna)?.to_owned();
    until(meeting, "a second report", || {
        let found = inbox(&home).unwrap_or_default();
        let reports = found.iter().filter(|text| text.contains(NOBODY));
        reports.count() >= 2
    })?;
    sieve::set(meeting, "keep;")
}

/// Postfix sends it back to where it came from: it ends in Anna's inbox.
fn a_loop_ends(meeting: &Meeting) -> Result<()> {
    let host = meeting.internet.host(Domain::Postfix);
    let back = format!("virtual_alias_maps=inline:{{back@postfix.example=loop@{HOME}}}");
    host.run(&["postconf", "-e", &back])?;
    host.down()?;
    host.up()?;
    let sentence = "The heron flies in a circle.";
    send(meeting, Domain::Strict, "loop", 306, sentence)?;
    in_inbox(meeting, sentence)?;
    std::thread::sleep(QUIET);
    let home = meeting.native.home(&meeting.anna)?;
    let kept = inbox(home)?;
    let kept: Vec<_> = kept.iter().filter(|text| text.contains(sentence)).collect();
    ensure!(kept.len() == 1, "{} times", kept.len());
    // It has been there and back.
    ensure!(
        kept[0].contains("by mx.postfix.example") || kept[0].contains("postfix.example (Postfix)"),
        "{}",
        kept[0]
    );
    host.run(&["postconf", "-e", "virtual_alias_maps="])?;
    host.down()?;
    host.up()
}

/// Whoever writes to Anna gets one reply, signed; lists and reports get none.
fn away(meeting: &Meeting) -> Result<()> {
    let words = "The tide is out until Monday.";
    sieve::set(
        meeting,
        &format!("require \"vacation\"; vacation :days 1 \"{words}\";"),
    )?;
    let exim = meeting.internet.host(Domain::Exim);
    let list = letter("list@exim.example", &meeting.anna, 310, "For all.");
    let list = format!("List-Id: <herons.exim.example>\r\n{list}");
    exim.send("list@exim.example", &meeting.anna, list.as_bytes())?;
    in_inbox(meeting, "For all.")?;
    let report = letter("daemon@exim.example", &meeting.anna, 311, "A report.");
    exim.send("<>", &meeting.anna, report.as_bytes())?;
    in_inbox(meeting, "A report.")?;
    for number in [312, 313] {
        let sentence = format!("Are you there, {number}?");
        let message = letter(FRIEND, &meeting.anna, number, &sentence);
        exim.send(FRIEND, &meeting.anna, message.as_bytes())?;
        in_inbox(meeting, &sentence)?;
    }
    let reply = arrives(meeting, Domain::Exim, words)?;
    std::thread::sleep(QUIET);
    let replies = of_sentence(meeting, Domain::Exim, words)?;
    ensure!(replies.len() == 1, "{} replies: {replies:?}", replies.len());
    ensure!(reply.from.is_empty() && reply.to == FRIEND, "{reply:?}");
    ensure!(reply.tls.is_some(), "it came in the clear");
    let text = String::from_utf8_lossy(&reply.message).into_owned();
    for field in [
        format!("From: <{}>", meeting.anna),
        "Auto-Submitted: auto-replied (vacation)".to_owned(),
    ] {
        ensure!(text.contains(&field), "no {field}: {text}");
    }
    ensure!(text.matches("DKIM-Signature:").count() == 2, "{text}");
    // As Ben, by the script: it is not sent, as he did not write it.
    sieve::set(
        meeting,
        &format!("require \"vacation\"; vacation :from \"ben@{HOME}\" \"As Ben.\";"),
    )?;
    let other = "bob@exim.example";
    let message = letter(other, &meeting.anna, 314, "And who are you?");
    exim.send(other, &meeting.anna, message.as_bytes())?;
    logged(meeting, &["forward", "550 5.7.1 The field From"])?;
    ensure!(
        of_sentence(meeting, Domain::Exim, "As Ben.")?.is_empty(),
        "Anna wrote as Ben"
    );
    sieve::set(meeting, "keep;")
}

/// Ada of this domain writes to NAME at home.
fn send(
    meeting: &Meeting,
    domain: Domain,
    name: &str,
    number: usize,
    sentence: &str,
) -> Result<()> {
    let (from, to) = (format!("ada@{domain}"), format!("{name}@{HOME}"));
    let message = letter(&from, &to, number, sentence);
    let host = meeting.internet.host(domain);
    host.send(&from, &to, message.as_bytes())
}

/// What arrived there with this sentence.
pub(super) fn of_sentence(
    meeting: &Meeting,
    domain: Domain,
    sentence: &str,
) -> Result<Vec<Received>> {
    let mut received = meeting.internet.host(domain).received()?;
    received.retain(|one| String::from_utf8_lossy(&one.message).contains(sentence));
    Ok(received)
}

/// Waits for the one message with this sentence.
pub(super) fn arrives(meeting: &Meeting, domain: Domain, sentence: &str) -> Result<Received> {
    until(meeting, sentence, || {
        of_sentence(meeting, domain, sentence).is_ok_and(|found| !found.is_empty())
    })?;
    let mut found = of_sentence(meeting, domain, sentence)?;
    ensure!(found.len() == 1, "{} times: {found:?}", found.len());
    Ok(found.remove(0))
}

fn in_inbox(meeting: &Meeting, sentence: &str) -> Result<()> {
    let home = meeting.native.home(&meeting.anna)?.to_owned();
    until(meeting, sentence, || {
        let found = inbox(&home).unwrap_or_default();
        found.iter().any(|text| text.contains(sentence))
    })
}

fn until(meeting: &Meeting, what: &str, mut there: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + LIMIT;
    while !there() {
        ensure!(
            Instant::now() < end,
            "{what}: it did not come:\n{}",
            meeting.journal()
        );
        std::thread::sleep(STEP);
    }
    Ok(())
}
