//! Secrets on their way from the browser, sealed to a key of this process, and
//! answers that nobody else in the network may read: NaCl's `crypto_box` (X25519, XSalsa20, Poly1305), which the page
//! makes with tweetnacl's `nacl.box`.
//!
//! The key pair is made when the process starts and is never stored, so a
//! recording of the network opens nothing after a restart. Inside the box the
//! text names the form and its one-time token; a recorded box can therefore
//! not be sent a second time or to another form. An answer is sealed to the
//! key pair that the browser made for its one question. Whoever can alter the page
//! can alter the key in it: sealing is no protection from them.

use base64::{Engine, engine::general_purpose::STANDARD};
use control::Secret;
use crypto_box::{
    PublicKey, SalsaBox, SecretKey,
    aead::{Aead, AeadCore, OsRng},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// The text inside a box is padded with spaces to a multiple of this many
/// bytes, so that its length does not tell that of the passphrase.
pub const PADDING: usize = 1024;

/// A sealed box as it travels; every field is standard base64.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedBox {
    /// The sender's public key for this one box, 32 bytes.
    pub key: String,
    /// 24 bytes.
    pub nonce: String,
    /// The 16-byte tag and the cipher text.
    pub sealed: String,
}

/// What is inside a box, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// The path that the box is meant for: `/claim` or `/unlock`.
    #[serde(rename = "for")]
    pub purpose: String,
    /// The token that was sent beside the box.
    pub token: String,
    /// UTF-8; the page sends it in Unicode's normal form C.
    pub passphrase: Secret,
    /// The code from `wifi.txt`, when one is needed.
    pub setup_code: Option<Secret>,
}

/// What is inside a box about the people, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeopleContents {
    /// The path that the box is meant for: `/people/add` say.
    #[serde(rename = "for")]
    pub purpose: String,
    /// The token that was sent beside the box.
    pub token: String,
    /// The browser's own secret, which goes with the passphrase once.
    pub session: Option<Secret>,
    /// For `/people/prove`.
    pub passphrase: Option<Secret>,
    /// For `/people/add`, `/people/password` and `/people/remove`.
    pub address: Option<String>,
    /// For `/people/add` and `/people/password`.
    pub password: Option<Secret>,
}

/// What is inside a box about the keys of the disk, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysContents {
    /// The path that the box is meant for: `/keys/passphrase` say.
    #[serde(rename = "for")]
    pub purpose: String,
    /// The token that was sent beside the box.
    pub token: String,
    /// The passphrase until now, or the recovery key instead of it.
    pub old: Option<Secret>,
    /// The new passphrase.
    pub new: Option<Secret>,
    /// The twelve words.
    pub recovery_key: Option<Secret>,
}

/// Text that says which post it is good for.
pub trait Bound {
    /// Whether a listener shall learn nothing of the answer's words either.
    const PRIVATE: bool;

    /// The path of the form and the token.
    fn bound_to(&self) -> (&str, &str);
}

/// Binds contents by their fields `purpose` and `token`.
macro_rules! bound {
    (private: $private:literal; $($contents:ty),+) => {
        $(impl $crate::sealed::Bound for $contents {
            const PRIVATE: bool = $private;

            fn bound_to(&self) -> (&str, &str) {
                (&self.purpose, &self.token)
            }
        })+
    };
}
pub(crate) use bound;

bound!(private: false; Contents, KeysContents);
bound!(private: true; PeopleContents);

/// An answer as it travels; both fields are standard base64.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedAnswer {
    /// 24 bytes.
    pub nonce: String,
    /// The 16-byte tag and the cipher text.
    pub sealed: String,
}

/// Why a box could not be opened. No variant quotes anything.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedError {
    /// A field is not base64 or has the wrong length.
    #[error("sealed box: `{0}` is not base64 of the right length; reload the page and try again")]
    Field(&'static str),
    /// The tag does not fit: altered, or sealed to another key.
    #[error("sealed box: does not open with the key of this page; reload the page and try again")]
    Closed,
    /// The text inside is not what it should be.
    #[error("sealed box: the contents are malformed; reload the page and try again")]
    Contents,
    /// Sealed for another form or another token.
    #[error("sealed box: made for another form or an earlier page; reload the page and try again")]
    Purpose,
    /// The text could not be encrypted.
    #[error("sealed box: could not be made")]
    Seal,
}

/// The key pair of this process.
pub struct SessionKey(SecretKey);

impl SessionKey {
    /// A new one from the kernel's random numbers.
    pub fn generate() -> Self {
        Self(SecretKey::generate(&mut OsRng))
    }

    /// The public half as base64, for the page.
    pub fn public(&self) -> String {
        STANDARD.encode(self.0.public_key().as_bytes())
    }

    /// Opens a box and checks that it was made for this path and this token.
    pub fn open<T: Bound + DeserializeOwned>(
        &self,
        sealed: &SealedBox,
        path: &str,
        token: &str,
    ) -> Result<T, SealedError> {
        let sender = PublicKey::from(array::<32>(&sealed.key, "key")?);
        let contents: T = open(
            &SalsaBox::new(&sender, &self.0),
            &sealed.nonce,
            &sealed.sealed,
        )?;
        if contents.bound_to() != (path, token) {
            return Err(SealedError::Purpose);
        }
        Ok(contents)
    }

    /// Seals an answer to the sender of `question`, so that it opens there only.
    pub fn answer(
        &self,
        question: &SealedBox,
        answer: &impl Serialize,
    ) -> Result<SealedAnswer, SealedError> {
        let to = PublicKey::from(array::<32>(&question.key, "key")?);
        let (nonce, sealed) = close(&SalsaBox::new(&to, &self.0), answer)?;
        Ok(SealedAnswer { nonce, sealed })
    }
}

/// What opens the answer to one box. For clients in Rust.
pub struct AnswerKey(SalsaBox);

impl AnswerKey {
    /// Opens the answer.
    pub fn open<T: DeserializeOwned>(&self, answer: &SealedAnswer) -> Result<T, SealedError> {
        open(&self.0, &answer.nonce, &answer.sealed)
    }
}

/// Seals to the public key of a page, as `seal.js` does. For clients in Rust.
pub fn seal(
    public_key: &str,
    contents: &impl Serialize,
) -> Result<(SealedBox, AnswerKey), SealedError> {
    let to = PublicKey::from(array::<32>(public_key, "key")?);
    let from = SecretKey::generate(&mut OsRng);
    let shared = SalsaBox::new(&to, &from);
    let (nonce, sealed) = close(&shared, contents)?;
    let key = STANDARD.encode(from.public_key().as_bytes());
    Ok((SealedBox { key, nonce, sealed }, AnswerKey(shared)))
}

fn open<T: DeserializeOwned>(
    shared: &SalsaBox,
    nonce: &str,
    sealed: &str,
) -> Result<T, SealedError> {
    let nonce = array::<24>(nonce, "nonce")?;
    let cipher_text = STANDARD
        .decode(sealed)
        .map_err(|_| SealedError::Field("sealed"))?;
    let text = shared
        .decrypt(&nonce.into(), cipher_text.as_slice())
        .map(Zeroizing::new)
        .map_err(|_| SealedError::Closed)?;
    serde_json::from_slice(&text).map_err(|_| SealedError::Contents)
}

/// The nonce and the cipher text, as base64.
fn close(shared: &SalsaBox, contents: &impl Serialize) -> Result<(String, String), SealedError> {
    let mut text = Zeroizing::new(serde_json::to_vec(contents).map_err(|_| SealedError::Seal)?);
    let padded = text.len().next_multiple_of(PADDING);
    text.resize(padded, b' ');
    let nonce = SalsaBox::generate_nonce(&mut OsRng);
    let cipher_text = shared
        .encrypt(&nonce, text.as_slice())
        .map_err(|_| SealedError::Seal)?;
    Ok((STANDARD.encode(nonce), STANDARD.encode(cipher_text)))
}

fn array<const N: usize>(text: &str, field: &'static str) -> Result<[u8; N], SealedError> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|_| SealedError::Field(field))?;
    bytes.try_into().map_err(|_| SealedError::Field(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Contents {
        Contents {
            purpose: "/unlock".into(),
            token: "t".into(),
            passphrase: Secret::new("Zwölf Boxkämpfer".into()),
            setup_code: None,
        }
    }

    #[test]
    fn a_box_opens_for_its_own_form_and_token_only() {
        let key = SessionKey::generate();
        let sealed = seal(&key.public(), &contents()).unwrap().0;
        let opened: Contents = key.open(&sealed, "/unlock", "t").unwrap();
        assert_eq!(opened.passphrase.expose(), "Zwölf Boxkämpfer");
        assert_eq!(
            key.open::<Contents>(&sealed, "/claim", "t").unwrap_err(),
            SealedError::Purpose
        );
        assert_eq!(
            key.open::<Contents>(&sealed, "/unlock", "u").unwrap_err(),
            SealedError::Purpose
        );
    }

    #[test]
    fn a_box_for_an_earlier_process_does_not_open() {
        let (sealed, _) = seal(&SessionKey::generate().public(), &contents()).unwrap();
        let error = SessionKey::generate()
            .open::<Contents>(&sealed, "/unlock", "t")
            .unwrap_err();
        assert_eq!(error, SealedError::Closed);
    }

    #[test]
    fn boxes_of_different_passphrases_have_the_same_length() {
        let key = SessionKey::generate().public();
        let mut longer = contents();
        longer.passphrase = Secret::new("x".repeat(200));
        let lengths = [&contents(), &longer].map(|c| seal(&key, c).unwrap().0.sealed.len());
        assert_eq!(lengths[0], lengths[1]);
    }

    #[test]
    fn an_answer_opens_for_the_asker_only_and_hides_its_length() {
        let key = SessionKey::generate();
        let (question, opens) = seal(&key.public(), &contents()).unwrap();
        let (_, other) = seal(&key.public(), &contents()).unwrap();
        let answer = key.answer(&question, &["anna@example.org"]).unwrap();
        let told: Vec<String> = opens.open(&answer).unwrap();
        assert_eq!(told, ["anna@example.org"]);
        let closed = other.open::<Vec<String>>(&answer).unwrap_err();
        assert_eq!(closed, SealedError::Closed);
        let nobody = key.answer(&question, &Vec::<String>::new()).unwrap();
        assert_eq!(nobody.sealed.len(), answer.sealed.len());
    }

    /// Made by tweetnacl 1.0.3: `nacl.box` of the JSON below and two spaces,
    /// sender's secret key all 1, ours all 2, nonce all 3.
    #[test]
    fn a_box_made_by_tweetnacl_opens() {
        let sealed = SealedBox {
            key: "pOCSkrZRwni5dyxWn1+puxPZBrRqtoyd+dwrRAn4ogk=".into(),
            nonce: "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD".into(),
            sealed: "RGGVWsu+11q//ZvRWct4AZgJGWBZNACMC3VIGxXJq9nmeNTaA3Fkxmx5x2ReRwpSYem03HCJ0\
                     sp5D2dFaxyYiXa6loxPK403SyLplmpq8Q9Hg2iG5s3yCzeUckCKIpzm4gax"
                .into(),
        };
        let key = SessionKey(SecretKey::from([2; 32]));
        let opened: Contents = key.open(&sealed, "/unlock", "t").unwrap();
        assert_eq!(opened.passphrase.expose(), "Zwölf Boxkämpfer");
        assert!(opened.setup_code.is_none());
    }
}
