//! What a filter has learnt: the field that carries a message's tokens, and the table.

use learn::{Kind, Table, field};

/// A field that is found is one that we write; a table that is read is written the
/// same; and one that we make by learning can always be read again. The first byte says
/// which.
///
/// # Panics
/// When that does not hold.
pub fn learned(input: &[u8]) {
    let Some((which, input)) = input.split_first() else {
        return;
    };
    match which % 3 {
        0 => {
            let head = &input[..input.len().min(field::HEAD)];
            if let Some(tokens) = field::find(head) {
                let written = field::write(Some(&tokens));
                assert!(written.split("\r\n").all(|line| line.len() <= 78));
                assert_eq!(field::find(written.as_bytes()), Some(tokens));
            }
        }
        1 => {
            if let Ok(table) = Table::from_bytes(input) {
                assert_eq!(table.to_bytes(), input);
                table.counts(b"aaaaa");
            }
        }
        _ => {
            let mut table = Table::default();
            for lesson in input.chunks(4) {
                let [how, tokens @ ..] = lesson else {
                    continue;
                };
                let mut tokens: Vec<[u8; 5]> = tokens.iter().map(|b| [b'a' + b % 16; 5]).collect();
                tokens.sort_unstable();
                tokens.dedup();
                let kind = if how % 2 == 0 { Kind::Spam } else { Kind::Ham };
                let before = table.clone();
                let new = table.learn(&tokens, kind, u16::from(*how));
                assert_eq!(new, table != before);
            }
            assert_eq!(Table::from_bytes(&table.to_bytes()), Ok(table));
        }
    }
}
