//! Whether port 25's next key may become the present one, and how the signer is told.
//!
//! Others remember TLSA records for their time to live. A key that is used before all of
//! them can know it makes those who look for DANE keep their mail, so both records must
//! have been there for two of the longest times to live that are usual (RFC 7671 section
//! 8.1): a day.

use crate::found::Found;
use crate::judge::State;
use crate::record::Purpose;
use crate::sources::Tlsa;
use crate::wanted::Wanted;
use std::fs;
use std::io;
use std::path::Path;
use whole_file::WholeFile;

/// How long both records must have been there, in seconds.
pub const LONG_ENOUGH: u64 = 2 * 24 * 60 * 60;
/// How old the last round may be, in seconds: two of them.
const FRESH: u64 = 12 * 60 * 60 + 600;
/// As in `signer/src/rolling.rs`.
const WISH: &str = "roll";
/// As in `signer/src/chain.rs`.
const CHAIN: &str = "chain.pem";

/// Why the next key may not be used now. The words are for the owner.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotYet {
    /// Nobody knows the box.
    #[error("The box has no name that the world knows, so nobody knows it by a key yet.")]
    NoName,
    /// The signer has said nothing yet.
    #[error("The box has not made both keys yet. Try again in a minute.")]
    NoKeys,
    /// A public certificate is for the old key.
    #[error(
        "The box shows a certificate of a public authority for its present key. With another \
         key it would have none, and whoever relies on it would keep the mail."
    )]
    Certified,
    /// No look at all, or an old one.
    #[error(
        "The box has not looked at its records lately. See projectx records, and try again \
         when it has."
    )]
    NotLooked,
    /// One is not as it should be.
    #[error(
        "The TLSA record of the {which} key: {}. Publish it as projectx records prints it, and wait two \
         days.", state.words()
    )]
    NotThere {
        /// Which key.
        which: &'static str,
        /// How it was found.
        state: State,
    },
    /// Too short a time.
    #[error(
        "The TLSA record of the {which} key has been there for {} of 48 hours. Others may not \
         know it yet. Only the time that the box runs counts.", held / 3600
    )]
    TooEarly {
        /// Which key.
        which: &'static str,
        /// For how many seconds it has been there.
        held: u64,
    },
}

/// Looks whether others know both keys by now, at `now` (seconds since 1970); `keys` is the signer's folder.
///
/// # Errors
/// Why the next key may not be used now.
pub fn may(
    wanted: &Wanted,
    tlsa: Option<&Tlsa>,
    found: Option<&Found>,
    keys: &Path,
    now: u64,
) -> Result<(), NotYet> {
    if wanted.hostname.is_none() {
        return Err(NotYet::NoName);
    }
    let tlsa = tlsa.ok_or(NotYet::NoKeys)?;
    // What is no file there is something, too.
    if fs::symlink_metadata(keys.join(CHAIN)).is_ok() {
        return Err(NotYet::Certified);
    }
    let found = found.ok_or(NotYet::NotLooked)?;
    if now.abs_diff(found.checked) > FRESH {
        return Err(NotYet::NotLooked);
    }
    for (purpose, which, digest) in [
        (Purpose::TlsaPresent, "present", &tlsa.present),
        (Purpose::TlsaNext, "next", &tlsa.next),
    ] {
        let value = format!("3 1 1 {digest}");
        let is = |record: &&crate::Record| record.purpose == purpose && record.value == value;
        let record = wanted.records.iter().find(is).ok_or(NotYet::NotLooked)?;
        let one = found.of(record).ok_or(NotYet::NotLooked)?;
        if one.state != State::There {
            let state = one.state;
            return Err(NotYet::NotThere { which, state });
        }
        if one.held < LONG_ENOUGH {
            let held = one.held;
            return Err(NotYet::TooEarly { which, held });
        }
    }
    Ok(())
}

/// Tells the signer, whose folder is `keys`, that the key with this digest shall be the
/// present one. Whatever it has put in the file's place is replaced, never followed.
///
/// # Errors
/// When the disk fails.
pub fn wish(keys: &Path, digest: &str) -> io::Result<()> {
    // It is no secret, and the signer is another user.
    let file = WholeFile::at(keys.join(WISH), 0o644).exactly();
    file.write(format!("{digest}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::One;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const NOW: u64 = 1_800_000_000;

    fn tlsa() -> Tlsa {
        Tlsa {
            present: "aa".repeat(32),
            next: "bb".repeat(32),
        }
    }

    fn found(wanted: &Wanted) -> Found {
        let records = wanted.records.iter().map(|record| One {
            record: record.clone(),
            state: State::There,
            found: Vec::new(),
            held: LONG_ENOUGH,
        });
        Found {
            checked: NOW - 3600,
            asked: 0,
            records: records.collect(),
        }
    }

    #[test]
    fn the_next_key_waits_until_both_records_have_been_there_for_two_days() {
        let folder = tempfile::tempdir().unwrap();
        let tlsa = tlsa();
        let wanted = Wanted::of("box.example.org", Some(&tlsa), &[]);
        let good = found(&wanted);
        let may = |found: Option<&Found>| may(&wanted, Some(&tlsa), found, folder.path(), NOW);
        assert_eq!(may(Some(&good)), Ok(()));
        assert_eq!(may(None), Err(NotYet::NotLooked));
        for (index, which) in [(1, "present"), (2, "next")] {
            for state in [State::Missing, State::Unsigned, State::Unknown] {
                let mut bad = good.clone();
                bad.records[index].state = state;
                assert_eq!(may(Some(&bad)), Err(NotYet::NotThere { which, state }));
            }
            let mut early = good.clone();
            let held = LONG_ENOUGH - 1;
            early.records[index].held = held;
            let refused = may(Some(&early)).unwrap_err();
            assert_eq!(refused, NotYet::TooEarly { which, held });
            let words = refused.to_string();
            assert!(words.contains("for 47 of 48 hours"), "{words}");
        }
        for checked in [NOW - 86400, NOW + 86400] {
            let old = Found {
                checked,
                ..good.clone()
            };
            assert_eq!(may(Some(&old)), Err(NotYet::NotLooked));
        }
        fs::write(folder.path().join(CHAIN), "").unwrap();
        assert_eq!(may(Some(&good)), Err(NotYet::Certified));
    }

    #[test]
    fn a_round_about_earlier_keys_lets_nothing_happen() {
        let folder = tempfile::tempdir().unwrap();
        let earlier = Wanted::of("box.example.org", Some(&tlsa()), &[]);
        let found = found(&earlier);
        let tlsa = Tlsa {
            present: "bb".repeat(32),
            next: "cc".repeat(32),
        };
        let look = |wanted: &Wanted, tlsa| may(wanted, tlsa, Some(&found), folder.path(), NOW);
        assert_eq!(look(&earlier, Some(&tlsa)), Err(NotYet::NotLooked));
        let wanted = Wanted::of("box.example.org", Some(&tlsa), &[]);
        assert_eq!(look(&wanted, Some(&tlsa)), Err(NotYet::NotLooked));
        assert_eq!(look(&wanted, None), Err(NotYet::NoKeys));
        let unknown = Wanted::of("projectx.local", Some(&tlsa), &[]);
        assert_eq!(look(&unknown, Some(&tlsa)), Err(NotYet::NoName));
    }

    #[test]
    fn a_wish_replaces_what_a_taken_over_signer_has_put_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("victim"), "whole").unwrap();
        symlink(at("victim"), at("roll.new")).unwrap();
        symlink(at("victim"), at(WISH)).unwrap();
        wish(folder.path(), "abcd").unwrap();
        assert_eq!(fs::read_to_string(at(WISH)).unwrap(), "abcd\n");
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), "whole");
        let mode = fs::symlink_metadata(at(WISH)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
    }
}
