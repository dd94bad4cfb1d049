//! curl: `SEARCH`, then a `FETCH` of each message's whole body over one
//! connection (RFC 5092 for the URLs).

use super::{Person, SERVER, certificate};
use crate::scenarios::mail::peers::{Tree, WORLD};
use crate::tool::Tool;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Every message of a folder, as it came.
pub(in crate::scenarios::mail) fn curl(
    tree: &Tree,
    world: &Path,
    person: Person,
    folder: &str,
) -> Result<Vec<Vec<u8>>> {
    let url = format!("imaps://{SERVER}/{folder}");
    let answer = start(tree, person, &url)
        .args(["--request", "SEARCH ALL"])
        .output()?;
    let answer = String::from_utf8_lossy(&answer);
    let numbers = numbers(&answer).with_context(|| format!("no answer to SEARCH: {answer}"))?;
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let place = world.join("curl");
    fs::create_dir_all(&place)?;
    let list = numbers.join(",");
    start(tree, person, &format!("{url};MAILINDEX={{{list}}}"))
        .args(["--fail-early", "--output", &format!("{WORLD}/curl/#1")])
        .run()?;
    numbers
        .iter()
        .map(|number| {
            let path = place.join(number);
            let message = fs::read(&path).with_context(|| path.display().to_string())?;
            fs::remove_file(path)?;
            Ok(message)
        })
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
fn numbers(answer: &str) -> Option<Vec<&str>> {
    let mut lines = answer.lines();
    let line = lines.find_map(|line| line.strip_prefix("* SEARCH"))?;
    let numbers: Vec<&str> = line.split_whitespace().collect();
    let digits = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit());
    numbers.iter().all(digits).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_has_no_numbers_and_another_answer_is_none() {
        assert_eq!(numbers("* SEARCH 1 20\r\n"), Some(vec!["1", "20"]));
        assert_eq!(numbers("* SEARCH\r\n"), Some(Vec::new()));
        assert_eq!(numbers("* SEARCH x\r\n"), None);
        assert_eq!(numbers("* BAD\r\n"), None);
    }
}
