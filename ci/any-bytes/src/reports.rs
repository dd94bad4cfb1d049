//! What others report on mail (RFC 8460, RFC 9990), in a message from a stranger.

const BOX: &str = "box.example";

/// A line about a report is short printable ASCII, and says that its sender is proved only
/// of a message that has the box's own word for it.
///
/// # Panics
/// When that does not hold.
pub fn report(input: &[u8]) {
    let Some(line) = reports::line(input, BOX) else {
        return;
    };
    assert!(line.len() <= reports::LONGEST, "{line}");
    assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line}");
    assert!(!line.contains(['"', '\\']), "{line}");
    let text = String::from_utf8_lossy(input).to_ascii_lowercase();
    if !text.contains(BOX) {
        // What the report calls itself comes later.
        assert_eq!(line.split(", ").nth(1), Some("not proved"), "{line}");
    }
}
