//! Gives a person mail on a box, as its owner does.

use super::readers::Person;
use anyhow::{Result, bail};

/// Adds the person by the page at `page`.
pub(super) fn add(page: &str, _passphrase: &str, person: Person) -> Result<()> {
    bail!("{page} cannot add {} yet", person.address)
}
