//! Postfix's protocol for tables elsewhere: socketmap_table(5). Each question and
//! each answer is a netstring, `LENGTH:BYTES,`.

use std::io::{self, ErrorKind, Read, Write};

/// The longest question: a name of a table and a domain.
const MOST: usize = 1000;

/// A question: `NAME KEY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The table.
    pub table: String,
    /// What is looked for in it.
    pub key: String,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What the table has.
    Found(String),
    /// It has nothing.
    NotFound,
    /// It can't be said now: Postfix keeps the message and asks again.
    Later(String),
}

/// Reads a question; `None` when Postfix has ended.
///
/// # Errors
/// When the stream broke, or it is none of this protocol.
pub fn read(stream: &mut impl Read) -> io::Result<Option<Question>> {
    let mut length = 0_usize;
    let mut digits = 0;
    loop {
        let mut byte = [0];
        match stream.read(&mut byte)? {
            0 if digits == 0 => return Ok(None),
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
        match byte[0] {
            digit @ b'0'..=b'9' if digits < 5 => {
                length = 10 * length + usize::from(digit - b'0');
                digits += 1;
            }
            b':' if digits > 0 && length <= MOST => break,
            _ => return Err(ErrorKind::InvalidData.into()),
        }
    }
    let mut bytes = vec![0; length + 1];
    stream.read_exact(&mut bytes)?;
    if bytes.pop() != Some(b',') {
        return Err(ErrorKind::InvalidData.into());
    }
    let text = String::from_utf8(bytes).map_err(|_| ErrorKind::InvalidData)?;
    let (table, key) = text.split_once(' ').ok_or(ErrorKind::InvalidData)?;
    Ok(Some(Question {
        table: table.to_owned(),
        key: key.to_owned(),
    }))
}

/// Answers.
///
/// # Errors
/// When the stream broke.
pub fn write(stream: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let text = match answer {
        Answer::Found(text) => format!("OK {text}"),
        Answer::NotFound => "NOTFOUND ".to_owned(),
        Answer::Later(why) => format!("TEMP {why}"),
    };
    stream.write_all(format!("{}:{text},", text.len()).as_bytes())?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_one_after_the_other() {
        let mut stream = &b"19:policy mail.example,12:transport a@,"[..];
        let first = read(&mut stream).unwrap().unwrap();
        assert_eq!((&*first.table, &*first.key), ("policy", "mail.example"));
        let second = read(&mut stream).unwrap().unwrap();
        assert_eq!((&*second.table, &*second.key), ("transport", "a@"));
        assert_eq!(read(&mut stream).unwrap(), None);
    }

    #[test]
    fn what_is_no_netstring_is_an_error() {
        for bad in [
            &b"5:policy,"[..],
            b"6:policy,",
            b":policy a,",
            b"x",
            b"8:policy a;",
            b"9999:policy",
            b"123456:",
            b"9:policy \xff\xff,",
            b"8:poli",
        ] {
            assert!(read(&mut &*bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn answers_are_counted_in_bytes() {
        let mut sent = Vec::new();
        for answer in [
            Answer::Found("dane-only".into()),
            Answer::NotFound,
            Answer::Later("ü".into()),
        ] {
            write(&mut sent, &answer).unwrap();
        }
        let text = String::from_utf8(sent).unwrap();
        assert_eq!(text, "12:OK dane-only,9:NOTFOUND ,7:TEMP ü,");
    }
}
