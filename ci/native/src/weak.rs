//! Protections taken away from the sandboxes of a box that runs.

use anyhow::{Result, bail};

/// What a line begins with that names the protections to be taken away.
pub(crate) const ORDER: &str = "without ";

/// Does what the line says, if it is such a line.
///
/// # Errors
/// When it can't be done.
pub(crate) fn obey(line: &str) -> Result<bool> {
    match line.strip_prefix(ORDER) {
        Some(names) => remove_protections(names).map(|()| true),
        None => Ok(false),
    }
}

/// Takes these protections from every sandbox that this process makes from now on:
/// names as `sandbox::weak::Protection` has them in its debug form, or `all`.
///
/// # Errors
/// When one is not known, or the feature `weak` is not built in.
#[cfg(feature = "weak")]
pub fn remove_protections(names: &str) -> Result<()> {
    if names == "all" {
        sandbox::weak::remove(&sandbox::weak::ALL);
        return Ok(());
    }
    let mut gone = Vec::new();
    for name in names.split(',').filter(|name| !name.is_empty()) {
        let mut all = sandbox::weak::ALL.into_iter();
        match all.find(|protection| format!("{protection:?}") == name) {
            Some(protection) => gone.push(protection),
            None => bail!("{name}: no such protection"),
        }
    }
    sandbox::weak::remove(&gone);
    Ok(())
}

/// Takes no protection away.
///
/// # Errors
/// Always: the feature `weak` is not built in.
#[cfg(not(feature = "weak"))]
pub fn remove_protections(names: &str) -> Result<()> {
    bail!("{names}: this program takes no protection away; build it with the feature `weak`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_protection_s_is_refused() {
        assert!(!obey("anything").unwrap());
        let error = obey("without Nonsense").unwrap_err().to_string();
        assert!(error.starts_with("Nonsense: "), "{error}");
    }
}
