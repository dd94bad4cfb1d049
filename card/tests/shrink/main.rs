//! The shrink on real FAT32 file systems: made by mkfs.vfat, filled by mtools, judged by
//! fsck.vfat, and the power cut after every write.

mod explained;
mod legal;
mod support;

use card::mbr::{Entry, KIND_FAT32, KIND_LINUX, KIND_LUKS, Mbr};
use card::{CardError, Outcome, plan, prepare};
use std::collections::HashSet;
use std::os::unix::fs::FileExt;
use support::{Card, Cut, MIB, P1, run};

#[test]
fn a_4_gib_card_with_4_kib_clusters_shrinks_to_1_gib_and_keeps_every_file() {
    let card = Card::filled(4096, 8, 1024);
    let mut disk = card.disk();
    let Outcome::Shrunk {
        boot_mib,
        data_mib,
        moved,
    } = prepare(&mut disk).unwrap()
    else {
        panic!("it did not shrink")
    };
    assert_eq!((boot_mib, data_mib), (1024, 4096 - 4 - 1024));
    assert!(moved > 500, "{moved}");
    card.judge(&disk);

    let table = Mbr::parse(disk.sector(0)).unwrap();
    let p1 = table.entry(0).unwrap();
    let p2 = table.entry(1).unwrap();
    assert_eq!((p1.start, p1.kind, p1.bootable), (8192, KIND_FAT32, true));
    assert_eq!(
        (p2.kind, u64::from(p2.start), p2.end()),
        (KIND_LINUX, p1.end(), 4096 * 2048)
    );
    assert_eq!(disk.sector(0)[..446], card.disk().sector(0)[..446]);
}

#[test]
fn a_32_gib_card_with_16_kib_clusters_keeps_enough_of_them_to_be_fat32() {
    let card = Card::filled(32 * 1024, 32, 1025);
    let mut disk = card.disk();
    assert!(matches!(
        prepare(&mut disk),
        Ok(Outcome::Shrunk {
            boot_mib: 1026..,
            moved: 100..,
            ..
        })
    ));
    card.judge(&disk);
}

#[test]
fn a_32_gib_card_with_32_kib_clusters_keeps_2_gib() {
    let card = Card::filled(32 * 1024, 64, 2049);
    let mut disk = card.disk();
    assert!(matches!(
        prepare(&mut disk),
        Ok(Outcome::Shrunk {
            boot_mib: 2049..2060,
            moved: 50..,
            ..
        })
    ));
    card.judge(&disk);
}

#[test]
fn a_root_directory_behind_the_cut_moves_too() {
    let card = Card::filled(2048, 32, 1025);
    card.move_root_to(96_000);
    let mut disk = card.disk();
    prepare(&mut disk).unwrap();
    card.judge(&disk);
}

#[test]
fn a_second_run_writes_nothing() {
    let card = Card::filled(2048, 16, 1024);
    let mut disk = card.disk();
    prepare(&mut disk).unwrap();
    let writes = disk.writes();
    assert_eq!(prepare(&mut disk).unwrap(), Outcome::AlreadyDone);
    assert_eq!(disk.writes(), writes);
}

#[test]
fn after_a_power_cut_at_any_write_a_new_run_ends_clean_with_the_same_files() {
    let card = Card::filled(2048, 32, 1025);
    card.move_root_to(96_000);
    card.lose_some_clusters();
    let mut whole = card.disk();
    prepare(&mut whole).unwrap();
    let steps = whole.steps();
    assert!(steps > 30, "only {steps} steps");

    let mut judged = HashSet::new();
    for mode in [Cut::Whole, Cut::Torn, Cut::Reordered] {
        for step in 0..steps {
            let mut disk = card.disk();
            disk.cut_at(step, mode);
            let error = prepare(&mut disk).unwrap_err();
            assert!(matches!(error, CardError::Io { .. }), "{error}");
            // Until the table is written, the old one must still show every file.
            if mode == Cut::Reordered && step % 4 == 0 {
                disk.power_on();
                card.compare_files(&disk);
            }
            // A second cut during the repetition, somewhere else.
            disk.power_on();
            disk.cut_at((step * 7 + 3) % steps, mode);
            let _ = prepare(&mut disk);
            disk.power_on();
            prepare(&mut disk).unwrap_or_else(|e| panic!("{mode:?} at {step}: {e}"));
            assert_eq!(prepare(&mut disk).unwrap(), Outcome::AlreadyDone);
            if judged.insert(disk.digest()) {
                card.judge(&disk);
            }
        }
    }
}

#[test]
fn a_small_flashed_partition_stays_as_it_is_and_the_rest_becomes_partition_2() {
    let card = Card::filled(1028, 8, 512);
    let mut disk = card.disk();
    disk.grow(8192);
    let before = disk.sector(P1 / 512);
    assert_eq!(prepare(&mut disk).unwrap(), Outcome::PartitionAdded);
    assert_eq!(disk.sector(P1 / 512), before);
    let p2 = Mbr::parse(disk.sector(0)).unwrap().entry(1).unwrap();
    assert_eq!(
        (u64::from(p2.start) * 512, p2.end()),
        (1028 * MIB, 8192 * 2048)
    );
    card.judge(&disk);
    assert_eq!(prepare(&mut disk).unwrap(), Outcome::AlreadyDone);
}

#[test]
fn flashing_the_card_again_keeps_encrypted_data_and_clears_anything_else() {
    let card = Card::filled(1028, 8, 512);
    // The second is so small that partition 1 would be shrunk if it were larger.
    for mib in [8192, 1628] {
        let kept = |offset: u64, header: &[u8]| {
            let mut disk = card.disk();
            disk.grow(mib);
            let mut sector = [0; 512];
            sector[..header.len()].copy_from_slice(header);
            disk.put(1028 * MIB + offset, &sector);
            // Damage at the start must not make the rest look empty.
            disk.put(1028 * MIB + 512, &[7; 512]);
            prepare(&mut disk).unwrap();
            let p2 = Mbr::parse(disk.sector(0)).unwrap().entry(1).unwrap();
            assert_eq!(p2.start, 1028 * 2048);
            assert_eq!(prepare(&mut disk).unwrap(), Outcome::AlreadyDone);
            disk.sector(1028 * 2048 + offset / 512) == sector
                && disk.sector(1028 * 2048 + 1) == [7; 512]
        };
        assert!(kept(0, b"LUKS\xba\xbe"), "{mib}");
        for size in 14..=22 {
            assert!(kept(1 << size, b"SKUL\xba\xbe"), "{mib}: {size}");
        }
        assert!(!kept(0, b"something else"), "{mib}");
        assert!(!kept(0x4000, b"LUKS\xba\xbe"), "{mib}");
        assert!(!kept(0x6000, b"SKUL\xba\xbe"), "{mib}");
    }
}

#[test]
fn an_old_luks_header_inside_the_formatted_fat_is_cleared_also_after_a_power_cut() {
    let card = Card::filled(2048, 16, 1024);
    let disk = || {
        let mut disk = card.disk();
        for (offset, magic) in [(0, b"LUKS\xba\xbe"), (0x4000, b"SKUL\xba\xbe")] {
            disk.put(1028 * MIB + offset, &[magic.as_slice(), &[1; 506]].concat());
        }
        disk
    };
    let mut whole = disk();
    prepare(&mut whole).unwrap();
    let steps = whole.steps();
    for step in steps - 12..=steps {
        let mut disk = disk();
        disk.cut_at(step, Cut::Whole);
        assert_eq!(prepare(&mut disk).is_ok(), step == steps);
        disk.power_on();
        prepare(&mut disk).unwrap();
        assert_eq!(disk.sector(1028 * 2048), [0; 512], "{step}");
        assert_eq!(disk.sector(1028 * 2048 + 32), [0; 512], "{step}");
    }
}

#[test]
fn a_fat_larger_than_its_partition_is_cut_to_fit() {
    let card = Card::filled(2048, 16, 1024);
    let mut disk = card.disk();
    prepare(&mut disk).unwrap();
    // As a vfat that was mounted meanwhile would write its old boot sector back.
    let old = card.disk().sector(P1 / 512);
    disk.put(P1, &old);
    assert_eq!(prepare(&mut disk).unwrap(), Outcome::Repaired);
    card.judge(&disk);
    assert_eq!(prepare(&mut disk).unwrap(), Outcome::AlreadyDone);
}

#[test]
fn files_that_lie_in_partition_2_are_refused_not_copied() {
    let card = Card::filled(2048, 16, 1024);
    let mut disk = card.disk();
    disk.set_partition(0, entry(KIND_FAT32, 8192, 1024 * 2048));
    disk.set_partition(1, entry(KIND_LINUX, 1028 * 2048, 1020 * 2048));
    refused(
        disk,
        "files on partition 1 of the card lie where its partition 2 starts",
    );
}

#[test]
fn clusters_of_64_kib_are_refused_on_a_4_gb_card_and_work_on_8_gb() {
    let card = Card::empty(3800, 128);
    refused(
        card.disk(),
        "formatted with clusters of 64 KiB, with which FAT32 cannot be smaller than 4",
    );
    let card = Card::filled(7600, 128, 4200);
    let mut disk = card.disk();
    prepare(&mut disk).unwrap();
    card.judge(&disk);
}

#[test]
fn a_card_without_room_for_data_is_refused_with_the_sizes() {
    let card = Card::filled(1500, 8, 600);
    refused(
        card.disk(),
        "the card has 1500 MiB; its files and start area need 1028 MiB and the data at least 512 MiB",
    );
}

#[test]
fn partitions_that_we_did_not_make_are_refused() {
    let card = Card::filled(1028, 8, 512);
    let with = |index, entry| {
        let mut disk = card.disk();
        disk.grow(8192);
        disk.set_partition(index, entry);
        disk
    };
    refused(
        with(1, entry(0x07, 1028 * 2048, 4096)),
        "a partition 2 that this box did not make (type 07)",
    );
    refused(
        with(2, entry(0x83, 1028 * 2048, 4096)),
        "a partition 3 that this box did not make (type 83)",
    );
    refused(
        with(1, entry(0x83, 10_000, 4096)),
        "it overlaps partition 1",
    );
    refused(
        with(0, entry(0x07, 8192, 4096)),
        "is exFAT or NTFS, not FAT32",
    );
    let mut raspbian = with(1, entry(0x83, 1028 * 2048, 1 << 20));
    raspbian.put(
        1028 * MIB + 1024,
        &[[0; 56].as_slice(), &[0x53, 0xef], &[0; 454]].concat(),
    );
    refused(raspbian, "an ext4 file system");
}

/// A card whose partition 2 was made by somebody, with these bytes in it.
fn with_partition_2(card: &Card, content: &[(u64, &[u8])]) -> support::TestDisk {
    let mut disk = card.disk();
    disk.grow(8192);
    disk.set_partition(1, entry(KIND_LINUX, 1028 * 2048, 1 << 20));
    for (offset, bytes) in content {
        let mut sectors = vec![0; bytes.len().next_multiple_of(512) + 512];
        let at = (offset % 512) as usize;
        sectors[at..at + bytes.len()].copy_from_slice(bytes);
        disk.put(1028 * MIB + offset / 512 * 512, &sectors);
    }
    disk
}

#[test]
fn a_disk_in_use_with_a_damaged_header_is_left_as_it_is() {
    let card = Card::filled(1028, 8, 512);
    let (zeros, noise) = (vec![0; 0x8000], noise(0x8000));
    for content in [&zeros, &noise] {
        let mut disk = with_partition_2(&card, &[(0, content)]);
        disk.set_partition(1, entry(KIND_LUKS, 1028 * 2048, 1 << 20));
        let writes = disk.writes();
        assert_eq!(prepare(&mut disk).unwrap(), Outcome::AlreadyDone);
        assert_eq!(disk.writes(), writes);
    }
    let mut beyond = with_partition_2(&card, &[]);
    beyond.set_partition(1, entry(KIND_LUKS, 8192 * 2048, 1 << 20));
    refused(beyond, "starts behind the end of the card");
}

/// Pseudo-random bytes.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn a_partition_2_of_another_system_is_refused_whatever_it_holds() {
    let card = Card::filled(1028, 8, 512);
    let noise = noise(1 << 19);
    let foreign: [&[(u64, &[u8])]; 9] = [
        &[(0, b"XFSB")],
        &[(4086, b"SWAPSPACE2")],
        &[(0x8000, b"JFS1")],
        &[(0x1_0040, b"_BHRfS_M")],
        // The start of a btrfs that holds much.
        &[(0x8000, &noise[..0x8000]), (0x1_0040, b"_BHRfS_M")],
        &[(MIB - 512, b"the last sector that is looked at")],
        // Encrypted without a header, or a file.
        &[(0, &noise)],
        &[(0, b"SKUL\xba\xbe")],
        &[(0x4000, b"LUKS\xba\xbe")],
    ];
    for content in foreign {
        refused(
            with_partition_2(&card, content),
            "a partition 2 that this box did not make (it is neither encrypted nor empty)",
        );
    }
    // Also where an earlier LUKS2 left its second header.
    refused(
        with_partition_2(&card, &[(1080, &[0x53, 0xef]), (0x4000, b"SKUL\xba\xbe")]),
        "an ext4 file system",
    );
    let mut disk = with_partition_2(&card, &[]);
    disk.grow(1028);
    refused(disk, "it starts behind the end of the card");

    // Nor is the FAT32 cut to fit in front of it.
    let card = Card::filled(2048, 16, 1024);
    let mut disk = card.disk();
    prepare(&mut disk).unwrap();
    disk.put(P1, &card.disk().sector(P1 / 512));
    disk.put(1028 * MIB, &[7; 512]);
    refused(disk, "it is neither encrypted nor empty");
}

#[test]
fn an_encrypted_partition_2_and_an_empty_one_are_accepted() {
    let card = Card::filled(1028, 8, 512);
    let noise = noise((1 << 20) - 0x8000);
    let half = &noise[..noise.len() / 2];
    let ours: [&[(u64, &[u8])]; 7] = [
        &[],
        &[(0, b"LUKS\xba\xbe and more")],
        &[(0, b"damaged"), (0x4000, b"SKUL\xba\xbe")],
        &[(0, b"damaged"), (0x40_0000, b"SKUL\xba\xbe")],
        // As luksFormat leaves it when the power goes before it writes the headers.
        &[(0x8000, &noise)],
        &[(0x8000, half)],
        &[(0x8_0000, half)],
    ];
    for content in ours {
        let mut disk = with_partition_2(&card, content);
        assert_eq!(prepare(&mut disk).unwrap(), Outcome::AlreadyDone);
    }
    // One smaller than the places that are looked at, at the end of the card.
    let mut disk = with_partition_2(&card, &[]);
    disk.set_partition(1, entry(KIND_LINUX, 8192 * 2048 - 3, 3));
    assert_eq!(prepare(&mut disk).unwrap(), Outcome::AlreadyDone);
}

#[test]
fn a_damaged_fat_is_refused_with_the_name_of_the_file() {
    let card = Card::filled(2048, 16, 1024);
    let mut disk = card.disk();
    // The first cluster of some file near the end of the card becomes free.
    let cluster = card.first_cluster_of("::/wrap.bin");
    let at = P1 + 32 * 512 + u64::from(cluster) * 4;
    let mut sector = disk.sector(at / 512);
    sector[(at % 512) as usize..][..4].fill(0);
    disk.put(at / 512 * 512, &sector);
    refused(
        disk,
        "the FAT32 on partition 1 is damaged: /WRAP.BIN continues in a cluster marked as free",
    );
}

#[test]
fn a_file_system_that_ends_behind_the_card_is_refused() {
    let card = Card::filled(2048, 16, 1024);
    let mut disk = card.disk();
    disk.grow(2000);
    refused(disk, "partition 1 needs 2048 MiB but the card has 2000 MiB");
}

#[test]
fn an_image_file_is_a_disk_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("card.img");
    let mut image = std::fs::File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    image.set_len(2048 * MIB).unwrap();
    let blocks = ((2048 - 4) * 1024).to_string();
    let file = path.to_str().unwrap();
    run(
        "mkfs.vfat",
        &[
            "-F", "32", "-s", "8", "-h", "8192", "--offset", "8192", file, &blocks,
        ],
    );
    let mut table = Mbr::parse(support::empty_table()).unwrap();
    table.set(0, entry(0x0b, 8192, 2044 * 2048));
    image.write_all_at(table.sector(), 0).unwrap();
    assert!(matches!(
        prepare(&mut image),
        Ok(Outcome::Shrunk {
            boot_mib: 1024,
            moved: 0,
            ..
        })
    ));
    let fs = dir.path().join("p1.img");
    let (from, to) = (format!("if={file}"), format!("of={}", fs.to_str().unwrap()));
    run(
        "dd",
        &[
            &from,
            &to,
            "bs=1M",
            "skip=4",
            "count=1024",
            "conv=sparse",
            "status=none",
        ],
    );
    run("fsck.vfat", &["-n", fs.to_str().unwrap()]);
}

fn entry(kind: u8, start: u32, sectors: u32) -> Entry {
    Entry {
        bootable: false,
        kind,
        start,
        sectors,
    }
}

/// The card is refused in these words and nothing is written.
fn refused(mut disk: support::TestDisk, words: &str) {
    let writes = disk.writes();
    let message = plan(&mut disk).unwrap_err().to_string();
    assert!(message.contains(words), "{message}");
    assert!(prepare(&mut disk).is_err());
    assert_eq!(disk.writes(), writes);
}
