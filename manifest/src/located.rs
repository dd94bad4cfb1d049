//! The line of every field. Serde gives values without places, so the same
//! text is walked a second time, by a parser that reports them. On the way it
//! refuses what serde would pass over in silence: a key that stands twice, and
//! aliases, which hide a value from the reader.

use saphyr_parser::{Event, Parser};
use std::collections::BTreeMap;

/// A fault: line, field, what is wrong.
pub type Fault = (usize, String, String);

/// Field → line, like `services.smtp-in.listen[0].port` → 14.
#[derive(Debug, Default)]
pub struct Lines(BTreeMap<String, usize>);

/// What is open around the event at hand.
enum Open {
    /// A mapping, its path, and the key that waits for its value.
    Map(String, Option<String>),
    /// A list, its path, and how many items it has so far.
    List(String, usize),
}

impl Lines {
    /// Walks the text.
    pub fn of(text: &str) -> Result<Self, Fault> {
        let mut lines = Self::default();
        let mut open: Vec<Open> = Vec::new();
        let mut documents = 0;
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                let what = format!("this is no YAML: {}", error.info());
                (error.marker().line(), String::new(), what)
            })?;
            let line = span.start.line();
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let what = "a second document begins here; write one file for each app";
                        return Err((line, String::new(), what.into()));
                    }
                }
                Event::Alias(_) => {
                    let what = "aliases (*name) are not taken; write the value out";
                    return Err((line, next_path(&open), what.into()));
                }
                Event::Scalar(value, ..) => {
                    if let Some(Open::Map(path, key @ None)) = open.last_mut() {
                        let whole = join(path, &value);
                        if let Some(first) = lines.0.insert(whole.clone(), line) {
                            let what = format!("stands on line {first} already; keep one");
                            return Err((line, whole, what));
                        }
                        *key = Some(value.into_owned());
                    } else {
                        lines.value(&mut open, line);
                    }
                }
                Event::MappingStart(..) => {
                    let path = lines.value(&mut open, line);
                    open.push(Open::Map(path, None));
                }
                Event::SequenceStart(..) => {
                    let path = lines.value(&mut open, line);
                    open.push(Open::List(path, 0));
                }
                Event::MappingEnd | Event::SequenceEnd => drop(open.pop()),
                _ => {}
            }
        }
        Ok(lines)
    }

    /// A value begins: what it belongs to is complete. Returns its path. The
    /// line of a key counts, not that of a value that begins below it.
    fn value(&mut self, open: &mut [Open], line: usize) -> String {
        let path = next_path(open);
        match open.last_mut() {
            Some(Open::Map(_, key)) => *key = None,
            Some(Open::List(_, count)) => *count += 1,
            None => {}
        }
        self.0.entry(path.clone()).or_insert(line);
        path
    }

    /// The line of a field; where it is not, of the nearest one around it.
    pub fn line(&self, field: &str) -> usize {
        let mut field = field;
        loop {
            if let Some(line) = self.0.get(field) {
                return *line;
            }
            match field.rfind(['.', '[']) {
                Some(end) => field = &field[..end],
                None => return 1,
            }
        }
    }
}

/// The path of the value that comes next.
fn next_path(open: &[Open]) -> String {
    match open.last() {
        None => String::new(),
        Some(Open::Map(path, key)) => join(path, key.as_deref().unwrap_or_default()),
        Some(Open::List(path, count)) => format!("{path}[{count}]"),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_fields_have_the_line_of_their_key_or_item() {
        let text = "# a comment\napp: x\nservices:\n  a:\n    # why\n    run:\n      - /a\n      - b\n    limits: { memory: 1M,\n      tasks: 2 }\n  b:\n    run: [/b]\n";
        let lines = Lines::of(text).unwrap();
        for (field, line) in [
            ("app", 2),
            ("services", 3),
            ("services.a", 4),
            ("services.a.run", 6),
            ("services.a.run[1]", 8),
            ("services.a.limits.memory", 9),
            ("services.a.limits.tasks", 10),
            ("services.b.run[0]", 12),
            ("services.b.limits.memory", 11),
        ] {
            assert_eq!(lines.line(field), line, "{field}");
        }
    }
}
