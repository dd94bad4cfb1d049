//! The ZIP that Raspberry Pi Imager and people unpack onto a card. Imager
//! extracts while it downloads, so sizes must stand in the local headers (an
//! entry with a data descriptor comes out empty); deflate only; no links.
//! APPNOTE.TXT 4.3.7 and 4.4.4.

use super::step::{Key, Steps};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Packs the folder `files`.
pub fn make(steps: &Steps, files: &Path, output: &Path) -> Result<()> {
    let key = Key::new(include_str!("zip.rs")).folder(files)?;
    steps.make("ZIP", key, output, |new| {
        let mut zip = ZipWriter::new(BufWriter::new(File::create(new)?));
        for name in ["a/", "b/"] {
            zip.add_directory(name, options(0))?;
        }
        for path in super::step::files_below(files)? {
            let name = path.strip_prefix(files)?.to_string_lossy().into_owned();
            add(&mut zip, &name, &path)?;
        }
        zip.finish()?.flush()?;
        Ok(())
    })?;
    Ok(())
}

/// Adds one file; with a seekable output the writer goes back and fills in the
/// sizes.
pub fn add<W: Write + Seek>(zip: &mut ZipWriter<W>, name: &str, path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let length = file.metadata()?.len();
    zip.start_file(name, options(length))?;
    std::io::copy(
        &mut BufReader::with_capacity(1 << 20, file).take(length),
        zip,
    )
    .with_context(|| format!("{name}: cannot be packed"))?;
    Ok(())
}

fn options(length: u64) -> SimpleFileOptions {
    // What is large is packed already, or zeros: the fastest level gains as much.
    let level = if length > 1 << 20 { 1 } else { 9 };
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(level))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields of each local header: flags, method, packed and unpacked size.
    fn local_headers(archive: &[u8]) -> Vec<(u16, u16, u32, u32)> {
        let number = |at: usize, bytes: usize| {
            archive[at..at + bytes]
                .iter()
                .rev()
                .fold(0u32, |value, byte| value << 8 | u32::from(*byte))
        };
        let mut headers = Vec::new();
        let mut at = 0;
        while archive[at..].starts_with(b"PK\x03\x04") {
            let short = |offset| u16::try_from(number(at + offset, 2)).unwrap();
            let (packed, unpacked) = (number(at + 18, 4), number(at + 22, 4));
            headers.push((short(6), short(8), packed, unpacked));
            at += 30 + usize::from(short(26)) + usize::from(short(28)) + packed as usize;
        }
        headers
    }

    fn packed_sample() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("files");
        std::fs::create_dir_all(files.join("a")).unwrap();
        std::fs::write(files.join("README.txt"), "for people").unwrap();
        std::fs::write(files.join("a/system.img"), vec![7; 3 << 20]).unwrap();
        let steps = Steps::new(&folder.path().join("cache")).unwrap();
        let output = folder.path().join("out.zip");
        make(&steps, &files, &output).unwrap();
        std::fs::read(output).unwrap()
    }

    #[test]
    fn every_local_header_holds_the_sizes_and_announces_no_data_descriptor() {
        let headers = local_headers(&packed_sample());
        assert_eq!(headers.len(), 4, "two folders and two files: {headers:?}");
        for (flags, ..) in &headers {
            assert_eq!(flags & 1 << 3, 0, "bit 3 announces a data descriptor");
        }
        let sizes: Vec<u32> = headers.iter().map(|(.., unpacked)| *unpacked).collect();
        assert_eq!(sizes, [0, 0, 10, 3 << 20]);
        assert!(
            headers[2..]
                .iter()
                .all(|(_, method, packed, _)| *method == 8 && *packed > 0),
            "{headers:?}"
        );
    }

    #[test]
    fn the_same_files_give_the_same_archive() {
        assert_eq!(packed_sample(), packed_sample());
    }
}
