//! What a browser without scripts sends: `application/x-www-form-urlencoded`
//! (WHATWG URL, section 5.1), taken over TLS only.
//!
//! A form's fields become the same JSON that a script would have sealed, so each
//! form has one list of fields and one check. What only a form has is looked at
//! here: the passphrase typed again, the word that makes sure, the two words from
//! the paper. Strict: what does not decode to UTF-8 is no form, and no byte of it is
//! replaced by another.

use crate::answer::{MALFORMED, Problem};
use crate::keys::Paper;
use axum::http::StatusCode;
use control::Secret;
use icu_normalizer::ComposingNormalizerBorrowed;
use serde::{Serializer, de::DeserializeOwned, ser::SerializeMap};
use zeroize::Zeroizing;

/// More fields than any form has.
const FIELDS: usize = 16;
/// What `\u00xx` makes of a byte at the worst (RFC 8259 section 7).
const ESCAPED: usize = 6;
/// What must be typed before everything is erased.
pub const SURE: &str = "erase";

/// The fields, in the order of the page.
pub struct Form(Vec<(String, Secret)>);

impl Form {
    /// Takes a body apart.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let mut fields = Vec::new();
        for pair in body.split(|byte| *byte == b'&') {
            if fields.len() == FIELDS {
                return Err(MALFORMED);
            }
            let equals = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = pair.split_at(equals.ok_or(MALFORMED)?);
            let name = decoded(name).ok_or(MALFORMED)?.expose().to_owned();
            let value = decoded(value.get(1..).unwrap_or_default()).ok_or(MALFORMED)?;
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// Takes a field out; `None` when it is not there.
    pub fn take(&mut self, name: &str) -> Option<Secret> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(place).1)
    }

    /// The text of a field, which stays.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// Checks, and takes out, what a page with scripts keeps to itself.
    pub fn settle(&mut self) -> Result<(), Problem> {
        self.repeated()?;
        if let Some(sure) = self.take("sure")
            && !sure.expose().trim().eq_ignore_ascii_case(SURE)
        {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "Nothing was done: the word “erase” is not there.",
            ));
        }
        self.on_paper()
    }

    /// `again` says what the field before it says.
    fn repeated(&mut self) -> Result<(), Problem> {
        let Some(again) = self.0.iter().position(|(name, _)| name == "again") else {
            return Ok(());
        };
        let first = again.checked_sub(1).and_then(|place| self.0.get(place));
        let first = first.map(|(_, value)| value.clone());
        if self.take("again") == first {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "The two passphrases are not the same. Please type them again.",
        ))
    }

    /// The two words that the owner was asked for (`places`, from 1) are those of
    /// the key. It shows that the key is on paper; the page that asked knows it.
    fn on_paper(&mut self) -> Result<(), Problem> {
        let Some(places) = self.take("places") else {
            return Ok(());
        };
        let key = self.get("recovery_key").ok_or(MALFORMED)?.clone();
        let words: Vec<&str> = key.expose().split(' ').collect();
        for (place, field) in places.expose().split(' ').zip(["one", "two"]) {
            let place: usize = place.parse().map_err(|_| MALFORMED)?;
            let typed = self.take(field).ok_or(MALFORMED)?;
            let word = place.checked_sub(1).and_then(|place| words.get(place));
            if !word
                .ok_or(MALFORMED)?
                .eq_ignore_ascii_case(typed.expose().trim())
            {
                let words = format!("Word {place} is another. Look at your paper.");
                let problem = Problem::new(StatusCode::BAD_REQUEST, words);
                return Err(problem.with_paper(Paper::of(key)));
            }
        }
        Ok(())
    }

    /// What the fields say; the same that a box for this path would hold.
    pub fn contents<T: DeserializeOwned>(self, path: &str, token: &str) -> Result<T, Problem> {
        let long: usize = self.0.iter().map(|(_, value)| value.expose().len()).sum();
        // Room at once: a vector that grows leaves copies of secrets behind.
        let mut json = Zeroizing::new(Vec::with_capacity(1024 + ESCAPED * long));
        let mut writer = serde_json::Serializer::new(&mut *json);
        let mut map = writer.serialize_map(None).map_err(|_| MALFORMED)?;
        let mut entry =
            |name: &str, value: &str| map.serialize_entry(name, value).map_err(|_| MALFORMED);
        entry("for", path)?;
        entry("token", token)?;
        for (name, value) in &self.0 {
            // Phones put a blank behind a word that they complete.
            let trimmed = matches!(name.as_str(), "address" | "setup_code");
            let value = value.expose();
            entry(name, if trimmed { value.trim() } else { value })?;
        }
        map.end().map_err(|_| MALFORMED)?;
        serde_json::from_slice(&json).map_err(|_| MALFORMED)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One name or value, in Unicode's normal form C: the same letters give the same
/// bytes on every phone.
fn decoded(text: &[u8]) -> Option<Secret> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(16 * digit()? + digit()?).ok()?
            }
            byte => *byte,
        });
    }
    let text = std::str::from_utf8(&bytes).ok()?;
    // Normal form C is at most three times as long (UAX #15, section 3.1).
    let mut normal = String::with_capacity(3 * text.len());
    let normalizer = ComposingNormalizerBorrowed::new_nfc();
    normalizer.normalize_to(text, &mut normal).ok()?;
    Some(Secret::new(normal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::{Contents, KeysContents};

    fn form(body: &str) -> Form {
        Form::parse(body.as_bytes()).ok().unwrap()
    }

    #[test]
    fn a_form_says_what_a_box_would() {
        let form = form("passphrase=Zw%C3%B6lf+%22B%26%3D%25x%22%0D%0A&setup_code=+blue-7+");
        let contents: Contents = form.contents("/claim", "T").ok().unwrap();
        assert_eq!(contents.passphrase.expose(), "Zwölf \"B&=%x\"\r\n");
        assert_eq!(contents.setup_code.unwrap().expose(), "blue-7");
        assert_eq!((&*contents.purpose, &*contents.token), ("/claim", "T"));
    }

    #[test]
    fn letters_that_look_the_same_are_the_same() {
        // ö as one letter, and as o with two dots.
        let (one, two) = (form("a=%C3%B6").take("a"), form("a=o%CC%88").take("a"));
        assert_eq!(one, two);
        assert_eq!(one.unwrap().expose(), "ö");
    }

    #[test]
    fn what_does_not_decode_is_no_form() {
        for body in [
            "", "a", "a=%", "a=%4", "a=%+1", "a=%zz", "a=%FF", "&a=1", "a=1&",
        ] {
            assert!(Form::parse(body.as_bytes()).is_err(), "{body:?}");
        }
        assert!(Form::parse("a=1&".repeat(99).as_bytes()).is_err());
    }

    #[test]
    fn a_field_too_much_or_twice_or_missing_is_refused() {
        for body in [
            "old=a&new=b&more=c",
            "old=a&old=b",
            "token=T",
            "for=%2Fclaim",
        ] {
            assert!(
                form(body).contents::<KeysContents>("/x", "T").is_err(),
                "{body}"
            );
        }
        assert!(
            form("setup_code=a")
                .contents::<Contents>("/x", "T")
                .is_err()
        );
    }

    #[test]
    fn the_passphrase_is_typed_twice() {
        let mut same = form("old=a&new=b&again=b");
        assert!(same.settle().is_ok() && same.take("again").is_none());
        for body in ["new=b&again=c", "new=b&again=", "again=b"] {
            assert!(form(body).settle().is_err(), "{body}");
        }
    }

    #[test]
    fn the_erasure_needs_its_word() {
        assert!(form("sure=+Erase").settle().is_ok());
        for body in ["sure=", "sure=yes"] {
            assert!(form(body).settle().is_err(), "{body}");
        }
    }

    #[test]
    fn a_recovery_key_is_confirmed_by_two_words_from_the_paper() {
        let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        let body = |one: &str, places: &str| {
            let key = words.replace(' ', "+");
            format!("recovery_key={key}&places={places}&one={one}&two=yellow")
        };
        let mut right = form(&body("Winner+", "2+12"));
        assert!(right.settle().is_ok());
        assert_eq!(right.take("recovery_key").unwrap().expose(), words);
        assert!(right.is_empty());
        let problem = form(&body("year", "2+12")).settle().err().unwrap();
        assert!(problem.words().contains("Word 2 is another"));
        assert!(
            problem
                .paper()
                .is_some_and(|paper| paper.words.expose() == words)
        );
        for places in ["0+12", "2+13", "x"] {
            assert!(form(&body("winner", places)).settle().is_err(), "{places}");
        }
    }
}
