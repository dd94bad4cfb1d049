//! Answers the console: the rules of claiming, unlocking, waiting.

mod certificate;
mod keys;
mod power;
mod reset;
mod usb_key;

use self::certificate::OneCertificate;
use crate::attempts::{self, Attempts};
use crate::disk::{Disk, DiskError};
use crate::people::PeopleStore;
use crate::pid1::Power;
use crate::wifi::Card;
use crate::{clock, hostname, log};
use control::{Damage, Refusal, Reply, Request, Secret, Status, wire};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use wifi_txt::SetupCodeLine;

/// How long after power-on a box may be claimed without a setup code, seconds.
const CLAIM_WINDOW: u64 = 15 * 60;
/// Shortest and longest passphrase, in bytes of UTF-8.
const PASSPHRASE: std::ops::RangeInclusive<usize> = 8..=512;

/// What all consoles (there may be one after another) share.
pub struct Office {
    disk: Disk,
    setup_code: SetupCodeLine,
    /// What the card's `factory-reset.txt` says, if there is one.
    reset: reset::Wish,
    /// Whether the owner has a recovery key; `None` is not known yet.
    recovery_key: Mutex<Option<bool>>,
    attempts: Mutex<Attempts>,
    people: PeopleStore,
    power: power::Wish,
    /// What the console that runs has told of its certificate.
    certificate: Mutex<OneCertificate>,
    /// What is known of the card's damage.
    damage: Mutex<Vec<Damage>>,
    /// Held while a passphrase is tried: a console that died meanwhile is
    /// followed by another, whose requests come on another thread.
    at_work: Mutex<()>,
}

impl Office {
    /// Looks at the disk; takes the setup code from the card's `wifi.txt`.
    pub fn new(card: &Card) -> Self {
        Self {
            disk: Disk::find(),
            setup_code: card.setup_code(),
            reset: reset::Wish::read(),
            recovery_key: Mutex::default(),
            attempts: Mutex::new(Attempts::kept_in(attempts::FILE.into(), attempts::now())),
            people: PeopleStore::default(),
            power: power::Wish::default(),
            certificate: Mutex::default(),
            damage: Mutex::default(),
            at_work: Mutex::default(),
        }
    }

    /// The encrypted disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Who has mail here.
    pub fn people(&self) -> &PeopleStore {
        &self.people
    }

    /// What the page is to show of the card's damage from now on.
    pub fn show_damage(&self, damage: Vec<Damage>) {
        *lock(&self.damage) = damage;
    }

    /// What the owner asked for on the page since the last call, when its answer has had
    /// its time.
    pub fn take_power_request(&self) -> Option<Power> {
        self.power.take_answered(Instant::now())
    }

    /// Answers requests until the console closes its end or says something
    /// outside the protocol; then the link is closed, which ends the console.
    pub fn serve(self: &Arc<Self>, stream: UnixStream) {
        let Ok(reading) = stream.try_clone() else {
            return;
        };
        let (mut reading, mut writing) = (reading, stream);
        *lock(&self.certificate) = OneCertificate::default();
        loop {
            let reply = match wire::read::<Request>(&mut reading) {
                Ok(request) => self.answer(request),
                Err(wire::WireError::Closed) => return,
                Err(error) => return log::line(&format!("console: {error}")),
            };
            if let Err(error) = wire::write(&mut writing, &reply) {
                return log::line(&format!("console: {error}"));
            }
        }
    }

    fn answer(&self, request: Request) -> Reply {
        let passphrase_given = !matches!(
            request,
            Request::Status
                | Request::People { .. }
                | Request::Addresses { .. }
                | Request::Inbound { .. }
                | Request::Records { .. }
                | Request::Outbound { .. }
                | Request::PageCertificate { .. }
                | Request::Restart
                | Request::PowerOff
        );
        let at_work = self.at_work.try_lock();
        if passphrase_given && at_work.is_err() {
            let words = "A passphrase is being tried already. Wait a moment.";
            return refused(Refusal::WrongState, words, 5);
        }
        match request {
            Request::Status => Reply::Status(self.status(at_work.is_err())),
            Request::Claim {
                passphrase,
                setup_code,
            } => self.claim(&passphrase, setup_code),
            Request::Unlock { passphrase } => self.unlock(&passphrase),
            Request::Recover {
                recovery_key,
                passphrase,
            } => self.recover(&recovery_key, &passphrase),
            Request::ChangePassphrase { old, new } => self.change_passphrase(&old, &new),
            Request::NewRecoveryKey { passphrase } => self.new_recovery_key(&passphrase),
            Request::ConfirmRecoveryKey { recovery_key } => {
                self.confirm_recovery_key(&recovery_key)
            }
            Request::FactoryReset => self.factory_reset(),
            Request::UsbKey => self.usb_key(),
            Request::TurnUsbKeyOn { passphrase } => self.turn_usb_key_on(&passphrase),
            Request::TurnUsbKeyOff { passphrase } => self.turn_usb_key_off(&passphrase),
            Request::Prove {
                passphrase,
                session,
            } => self.prove(&passphrase, session),
            Request::People { session, what } => self.people.answer(&session, what),
            Request::Addresses { session, what } => self.people.answer_addresses(&session, what),
            Request::Records { session, what } => self.people.answer_records(&session, what),
            Request::Inbound { session, what } => self.people.answer_inbound(&session, what),
            Request::Outbound { session, what } => self.people.answer_outbound(&session, what),
            Request::PageCertificate { sha256 } => lock(&self.certificate).told(&sha256),
            Request::Restart => self.restart(),
            Request::PowerOff => self.power(Power::Off),
        }
    }

    fn status(&self, at_work: bool) -> Status {
        use control::Disk::{Damaged, Locked, Missing, Open, Unclaimed, Working};
        let disk = if at_work {
            Working
        } else if self.disk.is_open() {
            Open
        } else {
            match self.disk.is_claimed() {
                Ok(true) if self.disk.is_damaged() => Damaged,
                Ok(true) => Locked,
                Ok(false) => Unclaimed,
                Err(_) => Missing,
            }
        };
        let reset_code = (disk == Locked).then(|| self.disk.reset_code()).flatten();
        Status {
            disk,
            recovery_key: disk == Open && self.has_recovery_key(),
            reset_asked: reset_code
                .as_deref()
                .is_some_and(|code| self.reset.is_for(code)),
            reset_code: reset_code.map(|code| reset::line(&code)),
            setup_code_needed: self.setup_code != SetupCodeLine::Absent,
            claimable: disk == Unclaimed && self.window_is_open(),
            retry_after: lock(&self.attempts).wait(attempts::now()),
            name: hostname::in_force(),
            damage: lock(&self.damage).clone(),
        }
    }

    fn claim(&self, passphrase: &Secret, setup_code: Option<Secret>) -> Reply {
        match self.disk.is_claimed() {
            Ok(false) => {}
            Ok(true) => {
                let words = "This box already has a passphrase.";
                return refused(Refusal::WrongState, words, 0);
            }
            Err(error) => return unreadable(&error),
        }
        if !self.window_is_open() {
            let words = "This box was switched on more than 15 minutes ago. Unplug it, plug it \
                         in again and set the passphrase within 15 minutes.";
            return refused(Refusal::TooLate, words, 0);
        }
        if let Some(reply) = self.too_soon() {
            return reply;
        }
        match check_code(&self.setup_code, setup_code.as_ref()) {
            Code::Right => {}
            Code::Wrong => {
                let words = "This is not the setup code in wifi.txt on the card.";
                return self.wrong(Refusal::WrongSetupCode, words);
            }
            Code::Unusable => {
                let words = "The setup-code line in wifi.txt on the card gives no code. Mend it \
                             (setup-code = 4 to 64 characters) and start the box again.";
                return refused(Refusal::WrongSetupCode, words, 0);
            }
        }
        if let Some(reply) = bad_length(passphrase) {
            return reply;
        }
        let key = match keys::random() {
            Ok(key) => key,
            Err(reply) => return reply,
        };
        // One that is left opens a disk that is no more.
        if let Err(error) = Disk::remove_header_backup() {
            log::line(&format!("disk: the old backup of a header stays: {error}"));
        }
        log::line("disk: being made");
        *lock(&self.recovery_key) = Some(false);
        match self.outcome(self.disk.claim(passphrase, &key)) {
            Reply::Done => Reply::RecoveryKey {
                words: key.words().clone(),
            },
            refused => refused,
        }
    }

    fn unlock(&self, passphrase: &Secret) -> Reply {
        if self.disk.is_open() {
            return Reply::Done;
        }
        match self.disk.is_claimed() {
            Ok(true) => {}
            Ok(false) => {
                let words = "This box has no passphrase yet.";
                return refused(Refusal::WrongState, words, 0);
            }
            Err(error) => return unreadable(&error),
        }
        if self.disk.is_damaged() {
            let words = "The header of the disk is damaged, so no passphrase can open it. Use \
                         the recovery key.";
            return refused(Refusal::WrongState, words, 0);
        }
        if let Some(reply) = self.too_soon() {
            return reply;
        }
        *lock(&self.recovery_key) = None;
        self.outcome(self.tried(|| self.disk.open(passphrase)))
    }

    /// Costs as much as unlocking, and a wrong passphrase counts as one there.
    fn prove(&self, passphrase: &Secret, session: Secret) -> Reply {
        if let Some(reply) = self.too_soon() {
            return reply;
        }
        if !self.disk.is_open() {
            let words = "The disk is not open. Reload the page and unlock it first.";
            return refused(Refusal::WrongState, words, 0);
        }
        // Cheap, and `cryptsetup` has no exit code of its own for an empty one.
        if let Some(reply) = bad_length(passphrase) {
            return reply;
        }
        self.proved(self.tried(|| self.disk.check(passphrase)), session)
    }

    fn proved(&self, result: Result<(), DiskError>, session: Secret) -> Reply {
        match result {
            Ok(()) => {
                lock(&self.attempts).right();
                log::line("people: the passphrase was proved");
                self.people.begin_session(session)
            }
            Err(DiskError::WrongPassphrase) => {
                log::line("people: wrong passphrase");
                let words = "This is not the passphrase of this box.";
                self.wrong(Refusal::WrongPassphrase, words)
            }
            Err(error) => {
                log::line(&format!("people: {error}"));
                let words = format!("The passphrase could not be checked: {error}.");
                refused(Refusal::Failed, &words, 0)
            }
        }
    }

    fn outcome(&self, result: Result<(), DiskError>) -> Reply {
        match result {
            Ok(()) => {
                lock(&self.attempts).right();
                clock::raise_to_remembered();
                clock::remember(&self.disk);
                log::line("unlocked");
                if let Err(error) = self.keep_header_backup(None) {
                    log::line(&format!("disk: {error}"));
                }
                Reply::Done
            }
            Err(DiskError::WrongPassphrase) => {
                log::line("disk: wrong passphrase");
                self.wrong(
                    Refusal::WrongPassphrase,
                    "This passphrase does not open the disk. Nothing was changed.",
                )
            }
            Err(error) => {
                log::line(&format!("disk: {error}"));
                refused(
                    Refusal::Failed,
                    &format!("The disk could not be opened: {error}."),
                    0,
                )
            }
        }
    }

    fn wrong(&self, refusal: Refusal, words: &str) -> Reply {
        let now = attempts::now();
        let mut attempts = lock(&self.attempts);
        attempts.wrong(now);
        refused(refusal, words, attempts.wait(now))
    }

    /// Tries a key. Until the outcome is there it counts as a wrong one, should this
    /// supervisor die of it.
    fn tried(&self, work: impl FnOnce() -> Result<(), DiskError>) -> Result<(), DiskError> {
        lock(&self.attempts).trying(attempts::now());
        let result = work();
        match result {
            // Whoever calls notes these two.
            Ok(()) | Err(DiskError::WrongPassphrase) => {}
            Err(_) => lock(&self.attempts).nothing(),
        }
        result
    }

    fn too_soon(&self) -> Option<Reply> {
        let wait = lock(&self.attempts).wait(attempts::now());
        (wait > 0).then(|| {
            let words = format!("Wait {wait} more seconds, then try again.");
            refused(Refusal::TooSoon, &words, wait)
        })
    }

    /// Restarts an open box, and a locked one that nobody has tried to open.
    /// Otherwise whoever reaches the page could begin the 15 minutes of an
    /// unclaimed box, or the waits after wrong passphrases, anew from afar.
    fn restart(&self) -> Reply {
        let untouched = lock(&self.attempts).is_fresh();
        let locked = || self.disk.is_claimed().is_ok_and(|claimed| claimed);
        if self.disk.is_open() || untouched && locked() {
            return self.power(Power::Restart);
        }
        let words = "Only someone who is with the box can restart it now: unplug it and plug it \
                     in again.";
        refused(Refusal::WrongState, words, 0)
    }

    fn power(&self, power: Power) -> Reply {
        self.power.note(power, Instant::now());
        Reply::Done
    }

    fn window_is_open(&self) -> bool {
        may_be_claimed(
            self.setup_code != SetupCodeLine::Absent,
            seconds_since_power_on(),
        )
    }
}

fn bad_length(passphrase: &Secret) -> Option<Reply> {
    let good = PASSPHRASE.contains(&passphrase.expose().len());
    let words = "The passphrase needs 8 to 512 characters.";
    (!good).then(|| refused(Refusal::BadPassphrase, words, 0))
}

/// How a setup code compares with `wifi.txt`.
#[derive(Debug, PartialEq, Eq)]
enum Code {
    /// It is the one, or none is needed.
    Right,
    /// It is another, or missing.
    Wrong,
    /// `wifi.txt` wants one and does not say which.
    Unusable,
}

fn check_code(expected: &SetupCodeLine, given: Option<&Secret>) -> Code {
    match expected {
        SetupCodeLine::Absent => Code::Right,
        SetupCodeLine::Unusable => Code::Unusable,
        SetupCodeLine::Given(code) => {
            let given = given.map_or("", Secret::expose);
            if same(code.reveal().as_bytes(), given.as_bytes()) {
                Code::Right
            } else {
                Code::Wrong
            }
        }
    }
}

/// Whether a new box may be claimed `uptime` seconds after power-on. A box that
/// cannot tell the time since power-on is closed.
fn may_be_claimed(has_setup_code: bool, uptime: Option<u64>) -> bool {
    has_setup_code || uptime.is_some_and(|seconds| seconds < CLAIM_WINDOW)
}

fn unreadable(error: &std::io::Error) -> Reply {
    log::line(&format!("disk: cannot be read: {error}"));
    let words = format!(
        "The card's second partition cannot be read ({error}). Switch the box off, check that \
         the card sits well, and try again."
    );
    refused(Refusal::Failed, &words, 0)
}

fn refused(refusal: Refusal, words: &str, retry_after: u64) -> Reply {
    Reply::Refused {
        refusal,
        words: words.to_string(),
        retry_after,
    }
}

/// A panicking thread ends the whole supervisor (`panic = "abort"`), so a
/// poisoned lock can't be met; its data would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From /proc/uptime, which a restarted supervisor does not set back.
fn seconds_since_power_on() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    text.split('.').next()?.parse().ok()
}

/// Compares without telling by time how much of it was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |seen, (x, y)| seen | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_wifi_txt_wants_is_never_taken_for_none() {
        let code = |text: &str| Some(Secret::new(text.to_owned()));
        let line = |text: &str| {
            let file = wifi_txt::CardFile {
                name: "wifi.txt".into(),
                bytes: text.into(),
            };
            wifi_txt::read(&[file]).setup_code
        };
        let check = |file: &str, given: Option<Secret>| check_code(&line(file), given.as_ref());
        assert_eq!(check("", None), Code::Right);
        assert_eq!(check("setup-code = blue-7", code("blue-7")), Code::Right);
        assert_eq!(check("setup-code = blue-7", code("blue-8")), Code::Wrong);
        assert_eq!(check("setup-code = blue-7", None), Code::Wrong);
        for unusable in ["setup-code =", "setup-code = 1", "setup cod = blue-7"] {
            for given in [None, code(""), code("1"), code("blue-7")] {
                assert_eq!(check(unusable, given), Code::Unusable, "{unusable}");
            }
        }
    }

    #[test]
    fn without_a_setup_code_a_box_can_be_claimed_for_15_minutes_only() {
        assert!(may_be_claimed(false, Some(899)));
        assert!(!may_be_claimed(false, Some(900)));
        assert!(!may_be_claimed(false, None));
        assert!(may_be_claimed(true, Some(100_000)));
    }

    fn office() -> Office {
        Office {
            disk: Disk::find(),
            setup_code: SetupCodeLine::Absent,
            reset: reset::Wish::default(),
            recovery_key: Mutex::default(),
            attempts: Mutex::default(),
            people: PeopleStore::default(),
            power: power::Wish::default(),
            certificate: Mutex::default(),
            damage: Mutex::default(),
            at_work: Mutex::default(),
        }
    }

    fn session() -> Secret {
        Secret::new("s".repeat(44))
    }

    fn proof() -> Request {
        Request::Prove {
            passphrase: Secret::new("correct horse".into()),
            session: session(),
        }
    }

    /// Why it was refused and for how many seconds.
    fn refusal(reply: Reply) -> (Refusal, u64) {
        match reply {
            Reply::Refused {
                refusal,
                retry_after,
                ..
            } => (refusal, retry_after),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_wrong_proof_counts_as_a_wrong_passphrase_and_begins_no_session() {
        let office = office();
        for wait in [1, 1, 2, 4] {
            let reply = office.proved(Err(DiskError::WrongPassphrase), session());
            assert_eq!(refusal(reply), (Refusal::WrongPassphrase, wait));
            let (why, left) = refusal(office.answer(proof()));
            assert_eq!(why, Refusal::TooSoon);
            assert!((1..=wait).contains(&left), "{left}");
        }
        assert!(!lock(&office.attempts).is_fresh());
        let what = control::PeopleRequest::List;
        let reply = office.people.answer(&session(), what);
        assert_eq!(refusal(reply).0, Refusal::NoSession);
    }

    #[test]
    fn a_right_proof_begins_a_session_and_ends_the_waits() {
        let office = office();
        office.proved(Err(DiskError::WrongPassphrase), session());
        assert_eq!(office.proved(Ok(()), session()), Reply::Done);
        assert!(lock(&office.attempts).is_fresh());
        let what = control::PeopleRequest::List;
        let request = Request::People {
            session: session(),
            what,
        };
        assert_eq!(refusal(office.answer(request)).0, Refusal::NotReady);
    }

    #[test]
    fn a_tool_that_fails_proves_nothing_and_costs_no_wait() {
        let office = office();
        let reply = office.proved(Err(DiskError::Missing), session());
        assert_eq!(refusal(reply), (Refusal::Failed, 0));
        let reply = office
            .people
            .answer(&session(), control::PeopleRequest::List);
        assert_eq!(refusal(reply).0, Refusal::NoSession);
    }

    #[test]
    fn nothing_is_proved_on_a_closed_disk_or_while_a_passphrase_is_tried() {
        let office = office();
        assert_eq!(refusal(office.answer(proof())), (Refusal::WrongState, 0));
        let _tried = lock(&office.at_work);
        assert_eq!(refusal(office.answer(proof())), (Refusal::WrongState, 5));
    }

    #[test]
    fn a_setup_code_is_compared_whole() {
        assert!(same(b"1234", b"1234"));
        for other in [&b"1235"[..], b"123", b"12345", b""] {
            assert!(!same(b"1234", other));
        }
    }
}
