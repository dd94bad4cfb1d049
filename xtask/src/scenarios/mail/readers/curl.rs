//! curl: one `FETCH … BODY[]` a message (RFC 5092 for the URLs).

use super::{Person, SERVER, certificate};
use crate::scenarios::mail::peers::Tree;
use crate::tool::Tool;
use anyhow::{Context, Result};

/// Every message of a folder, as it came.
pub(in crate::scenarios::mail) fn curl(
    tree: &Tree,
    person: Person,
    folder: &str,
) -> Result<Vec<Vec<u8>>> {
    let url = format!("imaps://{SERVER}/{folder}");
    let answer = start(tree, person, &url)
        .args(["--request", "SEARCH ALL"])
        .output()?;
    let answer = String::from_utf8_lossy(&answer);
    numbers(&answer)
        .with_context(|| format!("no answer to SEARCH: {answer}"))?
        .iter()
        .map(|number| Ok(start(tree, person, &format!("{url};MAILINDEX={number}")).output()?))
        .collect()
}

fn start(tree: &Tree, person: Person, url: &str) -> Tool {
    let login = format!("{}:{}", person.address, person.password);
    tree.tool("curl")
        .args(["--silent", "--show-error", "--max-time", "120"])
        .args(["--cacert", &certificate(), "--user", &login])
        .args(["--url", url])
}

/// The numbers in `* SEARCH 1 2 3` (RFC 3501 section 7.2.5).
fn numbers(answer: &str) -> Option<Vec<u32>> {
    let line = answer
        .lines()
        .find_map(|line| line.strip_prefix("* SEARCH"))?;
    line.split_whitespace()
        .map(|word| word.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_has_no_numbers_and_another_answer_is_none() {
        assert_eq!(numbers("* SEARCH 1 20\r\n"), Some(vec![1, 20]));
        assert_eq!(numbers("* SEARCH\r\n"), Some(Vec::new()));
        assert_eq!(numbers("* BAD\r\n"), None);
    }
}
