//! A ZIP as a reader sees it that can't go back: local headers with their data, then the
//! directory, then the end.
//!
//! Source: APPNOTE.TXT 6.3.10, sections 4.3 and 4.4; field offsets are its own.

use super::Findings;
use std::io::{self, BufRead, Read};

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const ZIP64_END: [u8; 4] = *b"PK\x06\x06";
const ZIP64_EXTRA: u16 = 1;
const UNIX: u8 = 3;
const FORMAT: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// One entry, as its local header has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path; folders end with a slash.
    pub name: String,
    /// Unpacked size in bytes.
    pub size: u32,
    packed: u32,
    crc: u32,
}

impl Entry {
    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.name.ends_with('/')
    }
}

/// Reads a whole ZIP front to back. Errors when the source can't be read; what is wrong
/// with the ZIP goes to `findings`.
pub fn read(source: &mut impl BufRead, findings: &mut Findings) -> io::Result<Vec<Entry>> {
    let mut stream = Stream { source, at: 0 };
    let mut entries = Vec::new();
    match stream.all(&mut entries, findings) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            findings.error(
                format!("byte {}", stream.at),
                "the ZIP ends in the middle: it was cut short; fetch or build it again",
            );
        }
        other => other?,
    }
    Ok(entries)
}

struct Stream<'a, R> {
    source: &'a mut R,
    at: u64,
}

impl<R: BufRead> Stream<'_, R> {
    fn all(&mut self, entries: &mut Vec<Entry>, findings: &mut Findings) -> io::Result<()> {
        let mut listed = 0;
        loop {
            let place = format!("byte {}", self.at);
            match self.bytes::<4>()? {
                LOCAL => {
                    if listed > 0 {
                        findings.error(place, "an entry behind the directory");
                        return Ok(());
                    }
                    match self.local(findings)? {
                        Some(entry) => entries.push(entry),
                        // Where the next header is can't be known.
                        None => return Ok(()),
                    }
                }
                CENTRAL => {
                    self.central(entries.get(listed), findings)?;
                    listed += 1;
                }
                END => return self.end(entries.len(), listed, findings),
                ZIP64_END => {
                    findings.error(
                        place,
                        "is in the form zip64, which not every unpacker knows; no ZIP for a card needs it",
                    );
                    return Ok(());
                }
                other => {
                    findings.error(
                        place,
                        format!(
                            "{other:02x?} is no part of a ZIP; a reader from a stream stops here"
                        ),
                    );
                    return Ok(());
                }
            }
        }
    }

    /// A local header and its data. `None` if nothing can be read behind it.
    fn local(&mut self, findings: &mut Findings) -> io::Result<Option<Entry>> {
        let header = Header(self.bytes::<26>()?.to_vec(), 4);
        let (flags, method) = (header.short(6), header.short(8));
        let name = self.text(header.short(26), flags, findings)?;
        let extra = self.vec(header.short(28))?;
        let entry = Entry {
            size: header.long(22),
            packed: header.long(18),
            crc: header.long(14),
            name,
        };
        let name = &entry.name;
        if flags & 1 != 0 {
            findings.error(name, "is encrypted; nobody is asked for a password");
        }
        if flags & 1 << 3 != 0 {
            findings.error(
                name,
                "its sizes stand behind its data (a data descriptor) and not before: Imager would \
                 write it empty; pack with a program that can go back in its output",
            );
            return Ok(None);
        }
        if has_zip64(&extra) || entry.packed == u32::MAX || entry.size == u32::MAX {
            findings.error(
                name,
                "has zip64 sizes: a FAT holds no file so large, and not every unpacker knows them",
            );
            return Ok(None);
        }
        match method {
            8 => {}
            0 if entry.size == entry.packed => {
                if entry.size > 0 {
                    findings.note(name, "is stored and not packed");
                }
            }
            other => findings.error(
                name,
                format!(
                    "is packed by method {other}; unpackers know deflate (8), and some no other"
                ),
            ),
        }
        if entry.is_folder() && entry.packed > 2 {
            findings.error(name, "is a folder with content");
        }
        self.skip(entry.packed.into())?;
        Ok(Some(entry))
    }

    /// An entry of the directory; it must say what the local header said.
    fn central(&mut self, entry: Option<&Entry>, findings: &mut Findings) -> io::Result<()> {
        let header = Header(self.bytes::<42>()?.to_vec(), 4);
        let name = self.text(header.short(28), header.short(8), findings)?;
        self.vec(header.short(30))?;
        self.vec(header.short(32))?;
        let same = entry.is_some_and(|entry| {
            *entry
                == Entry {
                    name: name.clone(),
                    size: header.long(24),
                    packed: header.long(20),
                    crc: header.long(16),
                }
        });
        if !same {
            findings.error(
                &name,
                "the directory at the end of the ZIP says otherwise than the header before the \
                 data: different unpackers would write different files",
            );
        }
        let mode = header.long(38) >> 16;
        if header.byte(5) == UNIX {
            match mode & FORMAT {
                0 | REGULAR | FOLDER => {}
                LINK => findings.error(&name, "is a link, which a FAT can't hold"),
                _ => findings.error(&name, "is no file and no folder"),
            }
        }
        Ok(())
    }

    fn end(&mut self, entries: usize, listed: usize, findings: &mut Findings) -> io::Result<()> {
        let header = Header(self.bytes::<18>()?.to_vec(), 4);
        let said = usize::from(header.short(10));
        if listed != entries || said != entries {
            findings.error(
                "the directory at the end of the ZIP",
                format!("lists {listed} entries and says {said}; before it are {entries}"),
            );
        }
        if header.short(4) != 0 || header.short(6) != 0 {
            findings.error("the ZIP", "is one part of several");
        }
        self.vec(header.short(20))?;
        if !self.source.fill_buf()?.is_empty() {
            findings.note(format!("byte {}", self.at), "something follows the ZIP");
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn vec(&mut self, length: u16) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length.into()];
        self.source.read_exact(&mut bytes)?;
        self.at += u64::from(length);
        Ok(bytes)
    }

    /// A name; one that is neither ASCII nor marked as UTF-8 is read differently everywhere.
    fn text(&mut self, length: u16, flags: u16, findings: &mut Findings) -> io::Result<String> {
        let bytes = self.vec(length)?;
        let name = String::from_utf8_lossy(&bytes).into_owned();
        if std::str::from_utf8(&bytes).is_err() || (!bytes.is_ascii() && flags & 1 << 11 == 0) {
            findings.error(
                &name,
                "the name's letters are not marked as UTF-8; use ASCII letters or that mark",
            );
        }
        Ok(name)
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.source.by_ref().take(length), &mut io::sink())?;
        self.at += skipped;
        match skipped == length {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A header without its first bytes, read by the offsets of the specification.
struct Header(Vec<u8>, usize);

impl Header {
    fn byte(&self, at: usize) -> u8 {
        self.0.get(at - self.1).copied().unwrap_or(0)
    }

    fn short(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.byte(at), self.byte(at + 1)])
    }

    fn long(&self, at: usize) -> u32 {
        u32::from(self.short(at)) | u32::from(self.short(at + 2)) << 16
    }
}

fn has_zip64(mut extra: &[u8]) -> bool {
    while let Some((head, rest)) = extra.split_at_checked(4) {
        if u16::from_le_bytes([head[0], head[1]]) == ZIP64_EXTRA {
            return true;
        }
        let length = u16::from_le_bytes([head[2], head[3]]);
        extra = rest.get(length.into()..).unwrap_or_default();
    }
    false
}
