//! Small ZIPs with every file that a card needs, and each broken in one way.

use super::*;
use crate::card_image;
use std::io::{Cursor, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const CONFIG: &str = "arm_64bit=1\nkernel=u-boot.bin\nupstream_kernel=1\nenable_uart=1\n";

/// A script with U-Boot's header.
fn script() -> Vec<u8> {
    let data = b"\0\0\0\x04\0\0\0\0true";
    let mut header = [0; 64];
    header[..4].copy_from_slice(&0x2705_1956u32.to_be_bytes());
    header[12..16].copy_from_slice(&(data.len() as u32).to_be_bytes());
    header[24..28].copy_from_slice(&crc32fast::hash(data).to_be_bytes());
    header[28..32].copy_from_slice(&[5, 22, 6, 0]);
    let crc = crc32fast::hash(&header);
    header[4..8].copy_from_slice(&crc.to_be_bytes());
    [header.as_slice(), data].concat()
}

/// Name and content of each file of a whole card.
fn card() -> Vec<(String, Vec<u8>)> {
    let tree = [0xd0, 0x0d, 0xfe, 0xed, 0, 0, 0, 12, 1, 2, 3, 4];
    let files: [(&str, &[u8]); 14] = [
        ("bootcode.bin", b"code"),
        ("start.elf", b"\x7fELF and more"),
        ("fixup.dat", b"fixup"),
        ("config.txt", CONFIG.as_bytes()),
        ("u-boot.bin", b"u-boot"),
        ("boot.scr", &script()),
        ("bcm2837-rpi-3-b.dtb", &tree),
        ("bcm2837-rpi-3-b-plus.dtb", &tree),
        ("bcm2837-rpi-3-a-plus.dtb", &tree),
        ("a/Image.gz", b"\x1f\x8b kernel"),
        ("a/initrd", b"initramfs"),
        ("a/system.img", b"hsqs system"),
        ("README.txt", b"for people"),
        ("wifi.txt", b"# network ="),
    ];
    let files = files.iter();
    files
        .map(|(name, content)| ((*name).to_owned(), content.to_vec()))
        .collect()
}

/// Such a card with one file changed, or left out.
fn card_with(name: &str, content: Option<&[u8]>) -> Vec<(String, Vec<u8>)> {
    let mut files = card();
    files.retain(|(other, _)| other != name);
    files.extend(content.map(|content| (name.to_owned(), content.to_vec())));
    files
}

fn deflated() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)
}

fn add<W: Write + Seek>(
    writer: &mut ZipWriter<W>,
    files: &[(String, Vec<u8>)],
    options: SimpleFileOptions,
) {
    for (name, content) in files {
        writer.start_file(name.as_str(), options).unwrap();
        writer.write_all(content).unwrap();
    }
}

/// Packs as `cargo xtask image` does.
fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_directory("b/", deflated()).unwrap();
    add(&mut writer, files, deflated());
    writer.finish().unwrap().into_inner()
}

/// What is said about a ZIP of these bytes.
fn said_of(zip: &[u8]) -> (Kind, Findings) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.zip");
    fs::write(&path, zip).unwrap();
    let (findings, kind, _) = examine(&path).unwrap();
    let arguments = CheckArguments { zip: path };
    assert_eq!(run(&arguments).is_err(), !findings.errors.is_empty());
    (kind, findings)
}

/// The ZIP is refused, in these words among others.
fn refused(zip: &[u8], words: &str) {
    let (_, findings) = said_of(zip);
    let said = findings.errors.join("\n");
    assert!(said.contains(words), "not {words:?} but:\n{said}");
}

/// Only this is wrong with the ZIP.
fn refused_only(zip: &[u8], words: &str) {
    let (_, findings) = said_of(zip);
    assert_eq!(findings.errors, [words]);
}

/// Changes bytes of every header that begins so.
fn patched(mut zip: Vec<u8>, magic: &[u8; 4], change: impl Fn(&mut [u8])) -> Vec<u8> {
    let places: Vec<usize> = memchr::memmem::find_iter(&zip, magic).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| change(&mut zip[at..]));
    zip
}

#[test]
fn a_zip_with_everything_is_accepted_and_known_as_files() {
    let (kind, findings) = said_of(&packed(&card()));
    assert_eq!(findings.errors, [""; 0]);
    assert_eq!(findings.notes, [""; 0]);
    assert_eq!(kind, Kind::Files);
}

#[test]
fn sizes_behind_the_data_are_refused() {
    let mut writer = ZipWriter::new_stream(Vec::new());
    for (name, content) in card() {
        writer.start_file(name.as_str(), deflated()).unwrap();
        writer.write_all(&content).unwrap();
    }
    let zip = writer.finish().unwrap().into_inner();
    refused(
        &zip,
        "bootcode.bin: its sizes stand behind its data (a data descriptor)",
    );
}

#[test]
fn zip64_is_refused() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    add(&mut writer, &card(), deflated().large_file(true));
    let zip = writer.finish().unwrap().into_inner();
    refused(&zip, "bootcode.bin: has zip64 sizes");
}

#[test]
fn links_and_names_that_a_fat_cannot_hold_are_refused() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    add(&mut writer, &card(), deflated());
    writer
        .add_symlink("kernel", "u-boot.bin", deflated())
        .unwrap();
    let zip = writer.finish().unwrap().into_inner();
    refused(&zip, "kernel: is a link, which a FAT can't hold");

    let zip = packed(&card_with("a/what?", Some(b"x")));
    refused_only(&zip, "\"a/what?\": '?' can't be in a name on a FAT");
    let zip = packed(&card_with("readme.TXT", Some(b"x")));
    refused_only(
        &zip,
        "readme.TXT: is the same name as README.txt on a FAT, which knows no small and capital letters",
    );
    let zip = packed(&card_with("../outside", Some(b"x")));
    refused(&zip, "\"../outside\": leads out of the card or nowhere");
    let zip = packed(&card_with("wifi.txt/x", Some(b"x")));
    refused(&zip, "wifi.txt/x: lies in wifi.txt, which is a file");
}

#[test]
fn another_method_and_encryption_are_refused() {
    let change = |header: &mut [u8]| header[8..10].copy_from_slice(&12u16.to_le_bytes());
    let zip = patched(packed(&card()), b"PK\x03\x04", change);
    refused(
        &zip,
        "wifi.txt: is packed by method 12; unpackers know deflate (8)",
    );
    let zip = patched(packed(&card()), b"PK\x03\x04", |header| header[6] |= 1);
    refused(&zip, "wifi.txt: is encrypted");
}

#[test]
fn a_zip_that_was_cut_short_or_damaged_is_refused() {
    let whole = packed(&card());
    for length in [10, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..length], "the ZIP ends in the middle");
    }
    refused_only(
        b"<html>not found</html>",
        "byte 0: [3c, 68, 74, 6d] is no part of a ZIP; a reader from a stream stops here",
    );
    refused(b"", "the ZIP ends in the middle");
    // One bit of a file's packed data: the checksum no longer fits.
    let mut zip = whole.clone();
    let at = memchr::memmem::find(&zip, b"a/system.img").unwrap() + 12 + 4;
    zip[at] ^= 1;
    refused(&zip, "bsdtar, reading from a pipe: ");
    let mut prefixed = b"MZ".to_vec();
    prefixed.extend(&whole);
    refused(&prefixed, "is no part of a ZIP");
}

#[test]
fn a_directory_that_says_otherwise_than_the_headers_is_refused() {
    let zip = patched(packed(&card()), b"PK\x01\x02", |header| header[24] ^= 1);
    refused(
        &zip,
        "wifi.txt: the directory at the end of the ZIP says otherwise",
    );
    let zip = patched(packed(&card()), b"PK\x05\x06", |header| header[10] -= 1);
    refused_only(
        &zip,
        "the directory at the end of the ZIP: lists 15 entries and says 14; before it are 15",
    );
}

#[test]
fn every_file_that_the_card_needs_is_missed_by_name() {
    for (name, _) in card() {
        refused(
            &packed(&card_with(&name, None)),
            &format!("{name}: is missing; "),
        );
        refused(
            &packed(&card_with(&name, Some(b""))),
            &format!("{name}: is empty; "),
        );
    }
}

#[test]
fn files_packed_in_a_folder_are_told_so() {
    let files = card().into_iter();
    let files: Vec<_> = files
        .map(|(name, content)| (format!("projectx/{name}"), content))
        .collect();
    refused(
        &packed(&files),
        "config.txt: is in the folder projectx, not at the top",
    );
}

#[test]
fn what_is_not_what_it_should_be_is_named() {
    for (name, content, words) in [
        (
            "start.elf",
            &b"text"[..],
            "start.elf: is no program; bootcode.bin starts it",
        ),
        (
            "bcm2837-rpi-3-b.dtb",
            b"text",
            "bcm2837-rpi-3-b.dtb: is no device tree",
        ),
        (
            "bcm2837-rpi-3-b.dtb",
            &[0xd0, 0x0d, 0xfe, 0xed, 0, 0, 9, 0],
            "bcm2837-rpi-3-b.dtb: is cut short",
        ),
        (
            "boot.scr",
            b"setenv",
            "boot.scr: is no image of U-Boot's; make it with mkimage",
        ),
        (
            "a/Image.gz",
            b"MZ",
            "a/Image.gz: is no gzip file; the kernel of slot a",
        ),
        (
            "a/system.img",
            b"ext4",
            "a/system.img: is no squashfs; the system of slot a",
        ),
        (
            "bootcode.bin",
            &vec![1; 200_000],
            "bootcode.bin: is larger than 128 KiB, which the ROM can't load",
        ),
    ] {
        refused_only(&packed(&card_with(name, Some(content))), words);
    }
    let script = script();
    let mut header = script.clone();
    header[20] ^= 1;
    refused_only(
        &packed(&card_with("boot.scr", Some(&header))),
        "boot.scr: its header is damaged",
    );
    let cut = &script[..script.len() - 1];
    refused_only(
        &packed(&card_with("boot.scr", Some(cut))),
        "boot.scr: is damaged or cut short",
    );
}

#[test]
fn config_txt_and_what_it_names_are_checked() {
    for (config, words) in [
        (
            "kernel=u-boot.bin\nupstream_kernel=1\n",
            "config.txt: does not say arm_64bit=1",
        ),
        (
            "arm_64bit=1\nkernel=uboot.bin\nupstream_kernel=1\n",
            "uboot.bin: is missing; the firmware starts it",
        ),
        (
            "arm_64bit=1\nkernel=u-boot.bin\n",
            "bcm2710-rpi-3-b.dtb: is missing",
        ),
        (
            "arm_64bit=1\nupstream_kernel=1\n",
            "kernel8.img: is missing",
        ),
        ("gpu_mem=16\n", "start_cd.elf: is missing"),
        ("start_x=1\n", "fixup_x.dat: is missing"),
        (
            "dtoverlay=disable-bt\n",
            "overlays/disable-bt.dtbo: is missing; config.txt names the overlay",
        ),
        (
            "include more.txt\n",
            "more.txt: is missing; config.txt names it",
        ),
        (
            "initramfs initrd.img followkernel\n",
            "initrd.img: is missing",
        ),
        (
            "arm_64bit = 1\n",
            "config.txt:1: \"arm_64bit = 1\": the firmware takes spaces",
        ),
    ] {
        refused(
            &packed(&card_with("config.txt", Some(config.as_bytes()))),
            words,
        );
    }
}

/// An image of a card with these files, and its folder.
fn image(files: &[(String, Vec<u8>)]) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let zip = folder.path().join("files.zip");
    fs::write(&zip, packed(files)).unwrap();
    let image = folder.path().join("card.img");
    card_image::make(&zip, &image, 64 << 20, &[]).unwrap();
    (folder, image)
}

/// A ZIP with this one file in it.
fn alone(name: &str, file: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    File::open(file).unwrap().read_to_end(&mut content).unwrap();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let fast = deflated().compression_level(Some(1));
    add(&mut writer, &[(name.to_owned(), content)], fast);
    writer.finish().unwrap().into_inner()
}

#[test]
fn an_image_is_known_as_one_and_checked_inside() {
    let (_folder, path) = image(&card());
    let (kind, findings) = said_of(&alone("card.img", &path));
    assert_eq!(findings.errors, [""; 0]);
    assert_eq!(kind, Kind::Image);
    refused_only(
        &alone("card.bin", &path),
        "card.bin: the ZIP's only entry would be written raw onto the card, and is no .img",
    );
    let (_folder, path) = image(&card_with("start.elf", None));
    refused_only(
        &alone("card.img", &path),
        "start.elf: is missing; bootcode.bin starts it",
    );
}

#[test]
fn an_image_with_another_table_or_file_system_is_refused() {
    let (_folder, path) = image(&card());
    let whole = fs::read(&path).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&whole, 0).unwrap();
        file.write_all_at(bytes, at as u64).unwrap();
        alone("card.img", &path)
    };
    refused(
        &with(510, &[0, 0]),
        "card.img: has no partition 1 in an MBR",
    );
    refused(&with(450, &[0xee]), "card.img: partition 1 is of type ee");
    refused(
        &with(461, &[0x7f]),
        "partition 1 ends behind the end of the image",
    );
    refused(
        &with(462 + 4, &[0x83, 0, 0, 0, 1, 0, 0, 0, 1]),
        "card.img: has a partition 2",
    );
    refused(
        &with((8192 + 32) * 512, &[0x41; 64]),
        "card.img: the file system is not clean",
    );
}
