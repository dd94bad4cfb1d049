//! Who has mail on this box.
//!
//! The list is a file that Dovecot reads as it is (its "passwd-file" format,
//! passwd(5) with Dovecot's password schemes): address, hash, uid, gid, home.
//! Only the supervisor writes it, whole or not at all. Each person has a uid of
//! their own, never used again for somebody else, and a home that only this uid
//! can enter. Beside it is a list of other addresses of the same people, and of addresses
//! whose mail is passed on to others outside.

mod address;
mod aliases;
mod outside;
mod password;
mod store;

pub use address::{Address, AddressError};
pub use outside::{MOST_OUTSIDE, OutsideAddress, OutsideError};
pub use password::{PASSWORD, PasswordError};
pub use store::{Homes, People, PeopleError, Person};
