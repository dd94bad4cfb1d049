//! A card that is refused: the owner is told in exact words, on the screen and in a file
//! on the card, and nothing else on it changes.

use super::entry;
use super::support::{Card, Cut, MIB, TestDisk, run};
use card::mbr::KIND_LINUX;
use card::{CardError, Outcome, notice, plan, prepare};

const TOO_SMALL: &str = "\
This card cannot be used as it is.

The card has 1500 MiB; its files and start area need 1028 MiB and the
data at least 512 MiB more; use a larger card, or delete files that do
not belong to the box.

Nothing else on the card was changed. The box removes this text once it
has made the card ready; you may delete it, too.
";
const CLUSTERS: &str = "\
This card cannot be used as it is.

The card has 4300 MiB and is formatted with clusters of 64 KiB, with
which FAT32 cannot be smaller than 4097 MiB; format it again with an
allocation unit size of 16 KiB and copy the files again, or use a larger
card.

Nothing else on the card was changed. The box removes this text once it
has made the card ready; you may delete it, too.
";
const FURTHER: &str = "\
This card cannot be used as it is.

The card has a partition 2 that this box did not make (type 07), and it
may hold data; save what you need, then format the whole card with
Raspberry Pi Imager and copy the files again.

Nothing else on the card was changed. The box removes this text once it
has made the card ready; you may delete it, too.
";
const FURTHER_ON_SCREEN: &str = "\
This card cannot be used as it is.

The card has a partition 2 that this box did not make (type 07), and it
may hold data; save what you need, then format the whole card with
Raspberry Pi Imager and copy the files again.

Nothing on the card was changed; problem.txt on it says the same as
here.
";
const LOCKED_ON_SCREEN: &str = "\
This card cannot be used as it is.

The card is write-protected: push the switch of its adapter away from
\"lock\"; if there is none, the card is worn out: use another one.

Nothing on the card was changed.
";

fn with_windows_partition(card: &Card) -> TestDisk {
    let mut disk = card.disk();
    disk.grow(8192);
    disk.set_partition(1, entry(0x07, 1028 * 2048, 4096));
    disk.put(1028 * MIB, &[7; 512]);
    disk
}

/// Refuses the card and leaves word on it.
fn leave(disk: &mut TestDisk) -> (CardError, bool) {
    let error = plan(disk).unwrap_err();
    let left = notice::leave(disk, &error).unwrap();
    (error, left)
}

#[test]
fn each_refusal_stands_on_the_card_in_these_words_and_all_else_is_as_before() {
    let small = Card::filled(1500, 8, 600);
    let clusters = Card::empty(4300, 128);
    clusters.add("README.txt", 3000);
    let further = Card::filled(1028, 8, 512);
    for (card, mut disk, words) in [
        (&small, small.disk(), TOO_SMALL),
        (&clusters, clusters.disk(), CLUSTERS),
        (&further, with_windows_partition(&further), FURTHER),
    ] {
        let before = disk.content();
        let (_, left) = leave(&mut disk);
        assert!(left, "{words}");
        let words = words.replace('\n', "\r\n");
        card.judge_with(&disk, &[("problem.txt", words.as_bytes())]);
        // The text, an entry of the directory, a sector of each FAT, the free count.
        let changed = disk.content();
        let changed: Vec<u64> = changed
            .iter()
            .filter(|(sector, bytes)| before.get(sector) != Some(bytes))
            .filter(|(sector, bytes)| **bytes != card.disk().sector(**sector))
            .map(|(sector, _)| *sector)
            .collect();
        let text = words.len().div_ceil(512);
        assert_eq!(changed.len(), text + 4, "{changed:?}");

        // The next start with the same card writes nothing.
        let writes = disk.writes();
        assert!(leave(&mut disk).1);
        assert_eq!(disk.writes(), writes);
    }
}

#[test]
fn the_screen_says_the_same_and_where_it_stands() {
    let card = Card::filled(1028, 8, 512);
    let (error, left) = leave(&mut with_windows_partition(&card));
    assert_eq!(notice::on_screen(&error, left), FURTHER_ON_SCREEN);
    let mut locked = with_windows_partition(&card);
    locked.set_partition(1, entry(0, 0, 0));
    locked.write_protect();
    let error = prepare(&mut locked).unwrap_err();
    assert!(!notice::leave(&mut locked, &error).unwrap());
    assert_eq!(notice::on_screen(&error, false), LOCKED_ON_SCREEN);
}

#[test]
fn the_text_goes_when_the_card_can_be_used() {
    let card = Card::filled(1028, 8, 512);
    let mut disk = with_windows_partition(&card);
    assert!(leave(&mut disk).1);
    disk.set_partition(1, entry(0, 0, 0));
    assert!(notice::remove(&mut disk).unwrap());
    assert!(!notice::remove(&mut disk).unwrap());
    assert_eq!(prepare(&mut disk).unwrap(), Outcome::PartitionAdded);
    card.judge(&disk);
}

#[test]
fn another_reason_replaces_the_text() {
    let card = Card::filled(1028, 8, 512);
    let mut disk = with_windows_partition(&card);
    assert!(leave(&mut disk).1);
    disk.set_partition(1, entry(KIND_LINUX, 1028 * 2048, 4096));
    let (error, left) = leave(&mut disk);
    assert!(left);
    let text = notice::in_the_file(&error);
    assert!(text.contains("it is neither"), "{text}");
    card.judge_with(&disk, &[("problem.txt", text.as_bytes())]);
}

#[test]
fn clusters_smaller_than_the_text_are_chained() {
    let card = Card::filled(1028, 1, 512);
    let mut disk = with_windows_partition(&card);
    let error = CardError::FurtherPartition {
        number: 2,
        found: "long words ".repeat(100),
    };
    assert!(notice::leave(&mut disk, &error).unwrap());
    let text = notice::in_the_file(&error);
    assert!(text.len() > 1024);
    card.judge_with(&disk, &[("problem.txt", text.as_bytes())]);
    assert!(notice::remove(&mut disk).unwrap());
    card.judge(&disk);
}

#[test]
fn nothing_is_written_where_that_could_cost_a_file() {
    let card = Card::filled(1028, 8, 512);
    let further = plan(&mut with_windows_partition(&card)).unwrap_err();
    let untouched = |mut disk: TestDisk, why: &str| {
        assert!(!notice::leave(&mut disk, &further).unwrap(), "{why}");
        assert_eq!(disk.writes(), 0, "{why}");
    };
    let mut over = with_windows_partition(&card);
    over.set_partition(1, entry(0x07, 20_000, 4096));
    untouched(over, "a partition lies over the files");

    let mut differing = with_windows_partition(&card);
    let mut sector = differing.sector(8192 + 40);
    sector[7] ^= 1;
    differing.put((8192 + 40) * 512, &sector);
    untouched(differing, "the FATs differ");

    let mut exfat = with_windows_partition(&card);
    let mut boot = exfat.sector(8192);
    boot[3..11].copy_from_slice(b"EXFAT   ");
    exfat.put(8192 * 512, &boot);
    untouched(exfat, "no FAT32");

    let mut cut_off = with_windows_partition(&card);
    cut_off.grow(1000);
    untouched(cut_off, "the card ends in it");

    let mut fat16 = with_windows_partition(&card);
    let mut boot = fat16.sector(8192);
    boot[22] = 250;
    fat16.put(8192 * 512, &boot);
    untouched(fat16, "a FAT16");

    let theirs = Card::filled(1028, 8, 512);
    theirs.add("PROBLEM.TXT", 300);
    untouched(with_windows_partition(&theirs), "the owner's own file");
    let mut disk = with_windows_partition(&theirs);
    assert!(!notice::remove(&mut disk).unwrap());
    assert_eq!(disk.writes(), 0);
}

#[test]
fn a_power_cut_while_the_text_is_written_or_removed_costs_no_file() {
    let card = Card::filled(1028, 8, 512);
    let mut whole = with_windows_partition(&card);
    leave(&mut whole);
    let left = whole.steps();
    notice::remove(&mut whole).unwrap();
    let all = whole.steps();
    assert!(left >= 6 && all > left + 4, "{left}, {all}");
    for mode in [Cut::Torn, Cut::Reordered] {
        for step in 0..all {
            let mut disk = with_windows_partition(&card);
            let error = plan(&mut disk).unwrap_err();
            disk.cut_at(step, mode);
            let _ = notice::leave(&mut disk, &error);
            let _ = notice::remove(&mut disk);
            disk.power_on();
            let text = notice::in_the_file(&error);
            if notice::leave(&mut disk, &error).unwrap() {
                card.compare_with(&disk, &[("problem.txt", text.as_bytes())]);
                notice::remove(&mut disk).unwrap();
            }
            // Then the owner takes the partition away, and the card is made ready.
            disk.set_partition(1, entry(0, 0, 0));
            prepare(&mut disk).unwrap();
            card.compare_files(&disk);
        }
    }
}

/// By the specification it would be a FAT16; who can read such a card goes by the layout.
#[test]
fn a_fat32_with_too_few_clusters_gets_the_text() {
    let card = Card::empty(3814, 128);
    let mut disk = card.disk();
    let (error, left) = leave(&mut disk);
    assert!(left, "{error}");
    let text = notice::in_the_file(&error);
    assert!(text.contains("clusters of 64 KiB"), "{text}");
    // It fails for anything that it would mend.
    let checked = |disk: &TestDisk| {
        let partition = card.partition(disk);
        run("fsck.vfat", &["-n", "-l", partition.to_str().unwrap()])
    };
    assert!(checked(&disk).contains("PROBLEM.TXT"), "{}", checked(&disk));
    assert!(notice::remove(&mut disk).unwrap());
    assert!(!checked(&disk).contains("PROBLEM.TXT"));
}

#[test]
fn the_file_has_the_name_that_the_screen_tells() {
    let card = Card::filled(1500, 8, 600);
    let mut disk = card.disk();
    leave(&mut disk);
    let partition = card.partition(&disk);
    let shown = run("mdir", &["-b", "-i", partition.to_str().unwrap(), "::"]);
    assert!(shown.contains("::/problem.txt"), "{shown}");
}
