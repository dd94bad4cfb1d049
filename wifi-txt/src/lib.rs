//! The wireless networks that the owner wrote onto the card, from whichever file he
//! wrote them into.
//!
//! ```text
//! # A comment.
//! country = DE
//! network = My home
//! password = correct horse
//! network = Hidden one without a password
//! hidden = yes
//! setup-code = 1234-5678
//! ```
//!
//! [`read`] is all that the box and `cargo xtask wifi-check` call: files in, networks and
//! messages out. It never fails: what is right is used, what is wrong is said. In this order:
//!
//! 1. [`mod@decode`]: bytes to lines, whatever editor wrote them.
//! 2. [`lines`]: the words of `wifi.txt`. [`imager`]: the tables of Raspberry Pi Imager.
//! 3. [`files`]: which file wins when several name networks.
//! 4. [`supplicant`]: the configuration of wpa_supplicant.
//! 5. [`forget`]: the same file without its passwords, once the box has them elsewhere.
//! 6. [`says`] and [`outcome`]: what wpa_supplicant says, and the words of
//!    `wifi-result.txt` for it.
//!
//! No message and no `Debug` ever shows a password, a setup code or a piece of a line.

pub mod country;
pub mod decode;
pub mod files;
pub mod forget;
pub mod imager;
pub mod lines;
pub mod network;
pub mod outcome;
pub mod report;
pub mod says;
pub mod supplicant;

pub use country::Country;
pub use files::{CardFile, is_candidate, read};
pub use network::{Key, Name, Network, Problem, SetupCode, SetupCodeLine, WifiTxt};
pub use supplicant::wpa_supplicant_conf;
