//! Passwords, hashed with Argon2id (RFC 9106) as Dovecot's scheme `ARGON2ID`
//! reads them. Dovecot's libsodium takes one lane only.

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use control::Secret;
use std::ops::RangeInclusive;

/// Shortest and longest password, in bytes of UTF-8.
pub const PASSWORD: RangeInclusive<usize> = 10..=512;

/// 19 MiB and two passes: OWASP's lowest for Argon2id, because mail programs
/// log in often and a Pi has 1 GB for everything.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("The password needs 10 to 512 characters.")]
    Length,
    /// A control character, which no mail program could send.
    #[error("The password has a character in it that cannot be typed, a line end say.")]
    Control,
    /// Hashing failed; there is no memory for it.
    #[error("The password could not be hashed. Try again.")]
    Hash,
}

/// `{ARGON2ID}$argon2id$…`, with a fresh salt.
pub(crate) fn hash(password: &Secret) -> Result<String, PasswordError> {
    let text = password.expose();
    if !PASSWORD.contains(&text.len()) {
        return Err(PasswordError::Length);
    }
    if text.chars().any(char::is_control) {
        return Err(PasswordError::Control);
    }
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|_| PasswordError::Hash)?;
    let salt = SaltString::generate(&mut OsRng);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(text.as_bytes(), &salt)
        .map(|hash| format!("{{ARGON2ID}}{hash}"))
        .map_err(|_| PasswordError::Hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::{PasswordHash, PasswordVerifier};

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_hash_opens_with_its_password_only_and_is_salted() {
        let password = secret("correct horse");
        let hashes = [hash(&password).unwrap(), hash(&password).unwrap()];
        assert_ne!(hashes[0], hashes[1]);
        for hash in &hashes {
            let phc = hash.strip_prefix("{ARGON2ID}").unwrap();
            assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
            let phc = PasswordHash::new(phc).unwrap();
            let opens = |text: &str| {
                Argon2::default()
                    .verify_password(text.as_bytes(), &phc)
                    .is_ok()
            };
            assert!(opens("correct horse"));
            assert!(!opens("correct horsf"));
        }
    }

    #[test]
    fn a_password_that_nobody_could_use_is_refused() {
        assert_eq!(hash(&secret("ninechars")), Err(PasswordError::Length));
        assert_eq!(hash(&secret(&"x".repeat(513))), Err(PasswordError::Length));
        assert_eq!(hash(&secret("1234567890\n")), Err(PasswordError::Control));
    }
}
