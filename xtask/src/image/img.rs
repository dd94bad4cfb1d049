//! The image for programs that write a card raw: an MBR with one FAT32
//! partition (type 0x0c, from sector 8192, label BOOT, 4 KiB clusters), as
//! Raspberry Pi Imager makes it from the ZIP. Nothing is mounted: mkfs.vfat
//! and mcopy work on the file. First boot makes the partition fit the card.

use super::board::Board;
use super::step::{Key, Steps, sibling};
use crate::tool::tool;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use zip::ZipWriter;

const SECTOR: u64 = 512;
/// Where Imager puts it; 4 MiB suits every card's erase blocks.
const FIRST_SECTOR: u64 = 8192;

/// Makes the image of the folder `files`, alone in a ZIP.
pub fn make(steps: &Steps, files: &Path, board: &Board, output: &Path) -> Result<()> {
    let size = board.card.image_mib << 20;
    let key = Key::new(include_str!("img.rs"))
        .text(include_str!("zip.rs"))
        .text(&size.to_string())
        .folder(files)?;
    steps.make("image", key, output, |new| {
        let image = sibling(new, ".img");
        write_image(files, size, &image)?;
        let mut zip = ZipWriter::new(BufWriter::new(File::create(new)?));
        super::zip::add(&mut zip, &format!("projectx-{}.img", board.name), &image)?;
        zip.finish()?.flush()?;
        fs::remove_file(&image)?;
        Ok(())
    })?;
    Ok(())
}

fn write_image(files: &Path, size: u64, image: &Path) -> Result<()> {
    fs::remove_file(image).ok();
    let file =
        File::create(image).with_context(|| format!("{}: cannot be made", image.display()))?;
    file.set_len(FIRST_SECTOR * SECTOR + size)?;
    file.write_all_at(&mbr(u32::try_from(size / SECTOR)?), 0)?;
    drop(file);
    tool("/usr/sbin/mkfs.vfat", "dosfstools")
        .args([
            "-F",
            "32",
            "-s",
            "8",
            "-S",
            "512",
            "-n",
            "BOOT",
            "-i",
            "12345678",
            "--invariant",
        ])
        .arg(format!("--offset={FIRST_SECTOR}"))
        .arg(image)
        .arg((size / 1024).to_string())
        .run()?;
    let mut entries: Vec<_> = fs::read_dir(files)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    tool("mcopy", "mtools")
        .args(["-s", "-Q", "-i"])
        .arg(format!("{}@@{}", image.display(), FIRST_SECTOR * SECTOR))
        .args(entries.iter().map(std::fs::DirEntry::path))
        .arg("::")
        .env("MTOOLS_SKIP_CHECK", "1")
        .env("SOURCE_DATE_EPOCH", "315532800")
        .run()?;
    Ok(())
}

/// A boot record with the one partition. CHS fields say "use LBA".
fn mbr(sectors: u32) -> [u8; 512] {
    let mut record = [0; 512];
    record[440..444].copy_from_slice(&0x7078_6f73_u32.to_le_bytes());
    let entry = &mut record[446..462];
    entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[4] = 0x0c;
    entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&(FIRST_SECTOR as u32).to_le_bytes());
    entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checker_finds_the_image_clean_and_mtools_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("files");
        fs::create_dir_all(files.join("a")).unwrap();
        fs::write(files.join("a/system.txt"), "kmod 34").unwrap();
        let image = folder.path().join("card.img");
        write_image(&files, 300 << 20, &image).unwrap();
        let record = fs::read(&image).unwrap();
        assert_eq!(record[450], 0x0c);
        assert_eq!(record[454..458], [0x00, 0x20, 0, 0]);
        let partition = folder.path().join("partition");
        fs::write(&partition, &record[4 << 20..]).unwrap();
        tool("/usr/sbin/fsck.vfat", "dosfstools")
            .arg("-n")
            .arg(&partition)
            .run()
            .unwrap();
        let text = tool("mtype", "mtools")
            .arg("-i")
            .arg(&partition)
            .arg("::a/system.txt")
            .output()
            .unwrap();
        assert_eq!(text, b"kmod 34");
    }
}
