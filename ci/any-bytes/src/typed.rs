//! What people type, and other words that become one of a few things.

use channels::tls_sign::{from_hex, to_hex};
use control::RecoveryKey;
use outbound::settings::{HOURS, Settings, domain_name};
use people::Address;

/// What is taken is in its normal form then, and nothing that a table or a path would
/// take for something else. An error does not repeat a secret.
///
/// # Panics
/// When that does not hold.
pub fn typed(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_@".contains(&b);
    if let Ok(name) = domain_name(&text) {
        assert!(name.len() <= 253 && name.contains('.') && name.bytes().all(plain));
        assert!(!name.contains("..") && !name.starts_with('.'));
        assert_eq!(domain_name(&name), Ok(name));
    }
    if let Ok(address) = Address::parse(&text) {
        assert!(address.as_str().bytes().all(plain), "{address}");
        assert!(!address.as_str().starts_with(['.', '-', '_', '@']));
        assert_eq!(Address::parse(address.as_str()), Ok(address.clone()));
        assert!(domain_name(address.domain()).is_ok(), "{address}");
    }
    match RecoveryKey::parse(&text) {
        Ok(key) => {
            assert_eq!(key.words().expose().split(' ').count(), 12);
            assert_eq!(RecoveryKey::parse(key.words().expose()), Ok(key));
        }
        Err(typo) => {
            // Words of ours and numbers.
            let said = typo.to_string();
            assert!(said.len() < 200 && !said.contains(char::is_control));
        }
    }
    let (one, two) = text.split_once(' ').unwrap_or((&text, "1"));
    let mut settings = Settings::default();
    if settings.set_hours(one, two).is_ok() {
        let (last, first) = (settings.give_up_after_hours, settings.warn_after_hours);
        assert!(HOURS.contains(&last) && HOURS.contains(&first) && first <= last);
    }
    if let Some(bytes) = from_hex(&text) {
        assert_eq!(to_hex(&bytes), text.to_ascii_lowercase());
    }
}
