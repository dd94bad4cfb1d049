//! Every card that people have: sizes, clusters, layouts. What is legal shrinks and
//! keeps its files, what is not is refused with not a byte changed.

use super::support::{Card, Cut, Layout, MIB, TestDisk};
use super::{entry, refused};
use card::mbr::{KIND_FAT32, KIND_LINUX, Mbr};
use card::{CardError, Outcome, prepare};
use std::collections::HashSet;

/// Cards "of 4 GB" and so on hold that many times 10^9 bytes.
const GB_4: u64 = 3_814;
const GB_32: u64 = 30_517;
const GB_256: u64 = 244_140;
/// The fewest clusters of a FAT32 (fatgen103, "FAT Type Determination").
const FEWEST: u64 = 65_525;

/// Shrinks the card and judges everything about the result.
fn shrinks(layout: Layout) {
    // Where the cut comes to lie: the smallest FAT32, its FATs, and 1 GiB at least.
    let cluster = u64::from(layout.sectors_per_cluster) * 512;
    let clusters = layout.mib * MIB / cluster;
    let fats = u64::from(layout.fats) * clusters * 4;
    let smallest = (FEWEST * cluster + fats) / MIB;
    let cut = smallest.max(1024);
    let card = Card::laid_out_and_filled(layout, cut + 2);
    let mut disk = card.disk();
    let done = prepare(&mut disk).unwrap_or_else(|e| panic!("{layout:?}: {e}"));
    let Outcome::Shrunk {
        boot_mib,
        data_mib,
        moved,
    } = done
    else {
        panic!("{layout:?}: {done:?}")
    };
    assert!((cut..cut + 8).contains(&boot_mib), "{layout:?}: {boot_mib}");
    assert!(moved > 40, "{layout:?}: only {moved} clusters moved");
    fits(&disk, layout);
    let start = layout.start.div_ceil(2048);
    assert_eq!(start + boot_mib + data_mib, layout.mib, "{layout:?}");
    card.judge(&disk);
    let writes = disk.writes();
    assert_eq!(prepare(&mut disk).unwrap(), Outcome::AlreadyDone);
    assert_eq!(disk.writes(), writes);
}

/// Partition 1 starts where it did, the FAT32 ends in it and has clusters enough,
/// and partition 2 is all the rest.
fn fits(disk: &TestDisk, layout: Layout) {
    let table = Mbr::parse(disk.sector(0)).unwrap();
    let (p1, p2) = (table.entry(0).unwrap(), table.entry(1).unwrap());
    assert_eq!((u64::from(p1.start), p1.kind), (layout.start, KIND_FAT32));
    assert_eq!(p1.end(), u64::from(p2.start));
    assert_eq!(p2.kind, KIND_LINUX);
    assert_eq!(p2.end(), layout.mib * 2048);
    assert!(p2.start.is_multiple_of(2048), "{p2:?}");
    let boot = disk.sector(layout.start);
    let number = |at: usize| u64::from(u32::from_le_bytes(boot[at..at + 4].try_into().unwrap()));
    let (total, fat) = (number(32), number(36));
    assert!(total <= u64::from(p1.sectors));
    let data = total - u64::from(layout.reserved) - u64::from(layout.fats) * fat;
    let clusters = data / u64::from(layout.sectors_per_cluster);
    assert!(clusters >= FEWEST, "{layout:?}: {clusters} clusters");
}

#[test]
fn cards_of_4_gb_shrink_with_clusters_of_16_and_32_kib() {
    for sectors_per_cluster in [32, 64] {
        shrinks(Layout::imager(GB_4, sectors_per_cluster));
    }
}

#[test]
fn a_card_of_4_gb_with_clusters_of_64_kib_is_refused() {
    let words = "the card has 3814 MiB and is formatted with clusters of 64 KiB, with which FAT32 cannot be smaller than 4097 MiB; format it again with an allocation unit size of 16 KiB and copy the files again, or use a larger card";
    refused(Card::empty(GB_4, 128).disk(), words);
    // Of 4 GiB and a little more there is nothing left for the data.
    for mib in [4096, 4500] {
        refused(Card::empty(mib, 128).disk(), "cannot be smaller than 4");
    }
}

#[test]
fn cards_of_32_gb_shrink_with_clusters_of_16_kib() {
    shrinks(Layout::imager(GB_32, 32));
}

#[test]
fn cards_of_32_gb_shrink_with_clusters_of_32_kib() {
    shrinks(Layout::imager(GB_32, 64));
}

#[test]
fn cards_of_32_gb_shrink_with_clusters_of_64_kib() {
    shrinks(Layout::imager(GB_32, 128));
}

#[test]
fn cards_of_256_gb_shrink_with_clusters_of_16_kib() {
    shrinks(Layout::imager(GB_256, 32));
}

#[test]
fn cards_of_256_gb_shrink_with_clusters_of_32_kib() {
    shrinks(Layout::imager(GB_256, 64));
}

#[test]
fn cards_of_256_gb_shrink_with_clusters_of_64_kib() {
    shrinks(Layout::imager(GB_256, 128));
}

#[test]
fn partition_1_may_start_anywhere_and_have_one_fat_or_much_reserved() {
    // Sector 63 is that of cameras and of old Windows, 2048 that of new Windows, 32768
    // that of cards above 32 GB as they are sold.
    for (start, reserved, fats) in [
        (63, 32, 2),
        (2048, 32, 2),
        (32_768, 32, 2),
        (8192, 6_230, 2),
        (2048, 32, 1),
    ] {
        shrinks(Layout {
            start,
            reserved,
            fats,
            ..Layout::imager(GB_4, 32)
        });
    }
}

#[test]
fn a_flashed_image_keeps_its_partition_on_cards_of_every_size() {
    // The image is 4 MiB and 1024 MiB of clusters of 4 KiB.
    let card = Card::filled(1028, 8, 512);
    for mib in [GB_4, GB_32, GB_256] {
        let mut disk = card.disk();
        disk.grow(mib);
        assert_eq!(prepare(&mut disk).unwrap(), Outcome::PartitionAdded);
        fits(&disk, Layout::imager(mib, 8));
        card.judge(&disk);
        assert_eq!(prepare(&mut disk).unwrap(), Outcome::AlreadyDone);
    }
    let mut disk = card.disk();
    disk.grow(1200);
    refused(disk, "use a larger card");
}

#[test]
fn clusters_of_64_kib_survive_a_power_cut_inside_any_write() {
    let layout = Layout {
        start: 2048,
        ..Layout::imager(7_629, 128)
    };
    let card = Card::laid_out_and_filled(layout, 4101);
    let mut whole = card.disk();
    prepare(&mut whole).unwrap();
    let steps = whole.steps();
    assert!(steps > 20, "only {steps} steps");
    let mut judged = HashSet::new();
    for step in 0..steps {
        let mut disk = card.disk();
        disk.cut_at(step, Cut::Torn);
        let error = prepare(&mut disk).unwrap_err();
        assert!(matches!(error, CardError::Io { .. }), "{error}");
        disk.power_on();
        if step % 4 == 0 {
            card.compare_files(&disk);
        }
        prepare(&mut disk).unwrap_or_else(|e| panic!("cut at {step}: {e}"));
        fits(&disk, layout);
        if judged.insert(disk.digest()) {
            card.judge(&disk);
        }
    }
}

#[test]
fn a_card_that_is_locked_is_refused_with_words_also_when_flashed() {
    let words = "the card is write-protected";
    let mut disk = Card::filled(GB_4, 32, 1026).disk();
    disk.write_protect();
    refused_at_the_first_write(disk, words);
    let mut disk = Card::filled(1028, 8, 512).disk();
    disk.grow(GB_32);
    disk.write_protect();
    refused_at_the_first_write(disk, words);
}

fn refused_at_the_first_write(mut disk: TestDisk, words: &str) {
    let error = prepare(&mut disk).unwrap_err();
    assert!(matches!(error, CardError::WriteProtected), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(disk.writes(), 0);
}

#[test]
fn a_partition_with_data_is_refused_in_every_place_of_the_table() {
    let card = Card::filled(1028, 8, 512);
    for index in 1..4 {
        for kind in [0x07, 0x0c, 0x05, 0x82, 0x83, 0xa5] {
            let mut disk = card.disk();
            disk.grow(GB_32);
            disk.set_partition(index, entry(kind, 1028 * 2048, 4096));
            disk.put(1028 * MIB, &[7; 512]);
            let words = format!("a partition {} that this box did not make", index + 1);
            refused(disk, &words);
        }
    }
}

#[test]
fn a_read_that_fails_is_told_and_the_card_is_as_good_as_before() {
    let layout = Layout::imager(GB_4, 32);
    let card = Card::laid_out_and_filled(layout, 1026);
    let moved = u64::from(card.first_cluster_of("::/b/low/high.bin"));
    let data = card.data_start();
    let places = [
        ("read the partition table", 0),
        ("read partition 1", layout.start),
        ("read the FAT", layout.start + 40),
        ("move files", data + (moved - 2) * 32 + 5),
    ];
    for (what, sector) in places {
        let mut disk = card.disk();
        disk.set_unreadable(Some(sector..sector + 1));
        let error = prepare(&mut disk).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot {what} on the card: ")),
            "{error}"
        );
        assert!(error.contains("replace the card"), "{error}");
        // Whoever can read that sector after all finds every file, and the box goes on.
        disk.set_unreadable(None);
        card.compare_files(&disk);
        prepare(&mut disk).unwrap();
        fits(&disk, layout);
        card.judge(&disk);
    }
}
