//! The word that somebody probably meant.

/// The known word that differs in at most two letters, and in less than half.
pub fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|known| (distance(word, known), *known))
        .filter(|(far, _)| *far <= 2 && far * 2 < word.len())
        .min()
        .map(|(_, known)| known)
}

/// Advice: the near word, or all of them.
pub fn advice(word: &str, known: &[&str]) -> String {
    closest(word, known).map_or_else(
        || format!("known are: {}", known.join(", ")),
        |near| format!("did you mean \"{near}\"?"),
    )
}

/// Edit distance (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
