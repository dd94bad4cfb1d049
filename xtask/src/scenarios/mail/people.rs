//! Gives a person mail on a box, as its owner does: by the page.

use super::readers::Person;
use anyhow::{Result, ensure};
use console::client::People;

/// Adds the person by the page at `page`.
pub(super) fn add(page: &str, passphrase: &str, person: Person) -> Result<()> {
    let people = People::new(page);
    let answer = people.prove(passphrase)?;
    ensure!(answer.ok, "proving the passphrase: {answer:?}");
    let answer = people.add(person.address, person.password)?;
    ensure!(answer.ok, "adding {}: {answer:?}", person.address);
    Ok(())
}
