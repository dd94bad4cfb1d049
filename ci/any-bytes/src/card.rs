//! A card that somebody has written on: its table and its FAT32.
//!
//! The input changes a good card of 3 GiB: where (one byte), how far behind (two,
//! big-endian), how many bytes (one), and the bytes.

use card::{CardError, Disk, Outcome, prepare};
use std::collections::BTreeMap;
use std::io;

const SECTOR: u64 = 512;
/// Sectors of the card.
const SIZE: u64 = 6 << 20;
/// Where partition 1 begins, as Raspberry Pi Imager does it, in sectors.
const START: u64 = 8192;
/// Of the FAT32, in sectors.
const RESERVED: u64 = 32;
const FAT: u64 = 776;
const CLUSTER: u64 = 64;
const DATA: u64 = START + RESERVED + 2 * FAT;

/// Sectors that are not zero.
struct Sparse {
    sectors: BTreeMap<u64, [u8; 512]>,
    writes: usize,
}

impl Sparse {
    fn put(&mut self, offset: u64, bytes: &[u8]) {
        for (at, byte) in (offset..).zip(bytes) {
            let sector = self.sectors.entry(at / SECTOR).or_insert([0; 512]);
            sector[(at % SECTOR) as usize] = *byte;
        }
    }

    fn within(&self, offset: u64, length: usize) -> io::Result<()> {
        let end = offset.checked_add(length as u64);
        match end.is_some_and(|end| end <= SIZE * SECTOR) {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Disk for Sparse {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.within(offset, buffer.len())?;
        buffer.fill(0);
        let end = offset + buffer.len() as u64;
        for (number, sector) in self.sectors.range(offset / SECTOR..end.div_ceil(SECTOR)) {
            let begins = number * SECTOR;
            let (from, to) = (begins.max(offset), (begins + SECTOR).min(end));
            buffer[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&sector[(from - begins) as usize..(to - begins) as usize]);
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.within(offset, bytes.len())?;
        assert!(
            offset.is_multiple_of(SECTOR) && (bytes.len() as u64).is_multiple_of(SECTOR),
            "whole sectors"
        );
        self.writes += 1;
        for (number, sector) in (offset / SECTOR..).zip(bytes.as_chunks::<512>().0) {
            match sector.iter().all(|byte| *byte == 0) {
                true => drop(self.sectors.remove(&number)),
                false => drop(self.sectors.insert(number, *sector)),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn len(&mut self) -> io::Result<u64> {
        Ok(SIZE * SECTOR)
    }
}

/// A card with one FAT32 that fills it, on which are a folder and a file far behind.
fn good() -> Sparse {
    let mut disk = Sparse {
        sectors: BTreeMap::new(),
        writes: 0,
    };
    let size = (SIZE - START) as u32;
    let mut entry = [
        0, 0xfe, 0xff, 0xff, 0x0c, 0xfe, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    entry[8..12].copy_from_slice(&(START as u32).to_le_bytes());
    entry[12..].copy_from_slice(&size.to_le_bytes());
    disk.put(446, &entry);
    disk.put(510, &[0x55, 0xaa]);
    let mut boot = [0; 512];
    boot[..3].copy_from_slice(&[0xeb, 0x58, 0x90]);
    boot[11..17].copy_from_slice(&[0, 2, CLUSTER as u8, RESERVED as u8, 0, 2]);
    boot[21] = 0xf8;
    boot[32..36].copy_from_slice(&size.to_le_bytes());
    boot[36..40].copy_from_slice(&(FAT as u32).to_le_bytes());
    boot[44..52].copy_from_slice(&[2, 0, 0, 0, 1, 0, 6, 0]);
    boot[82..90].copy_from_slice(b"FAT32   ");
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    let mut info = [0; 512];
    info[..4].copy_from_slice(b"RRaA");
    info[484..488].copy_from_slice(b"rrAa");
    info[488..496].fill(0xff);
    info[510..].copy_from_slice(&[0x55, 0xaa]);
    for copy in [0, 6] {
        disk.put((START + copy) * SECTOR, &boot);
        disk.put((START + copy + 1) * SECTOR, &info);
    }
    let end = 0x0fff_ffff_u32;
    let far = 90_000_u32;
    for copy in 0..2 {
        let fat = (START + RESERVED + copy * FAT) * SECTOR;
        for (cluster, value) in [
            (0, 0x0fff_fff8),
            (1, end),
            (2, end),
            (3, end),
            (4, 5),
            (5, far),
            (far, far + 1),
            (far + 1, end),
        ] {
            disk.put(fat + 4 * u64::from(cluster), &value.to_le_bytes());
        }
    }
    let name = |name: &[u8; 11], kind: u8, cluster: u8, size: u32| {
        let mut entry = [0; 32];
        entry[..11].copy_from_slice(name);
        entry[11] = kind;
        entry[26] = cluster;
        entry[28..].copy_from_slice(&size.to_le_bytes());
        entry
    };
    let root = [
        name(b"A          ", 0x10, 3, 0),
        name(b"START   ELF", 0x20, 4, 4 << 15),
    ];
    disk.put(DATA * SECTOR, root.as_flattened());
    let folder = [
        name(b".          ", 0x10, 3, 0),
        name(b"..         ", 0x10, 0, 0),
    ];
    disk.put((DATA + CLUSTER) * SECTOR, folder.as_flattened());
    disk.put((DATA + 2 * CLUSTER) * SECTOR, b"first of the file");
    disk.put(
        (DATA + u64::from(far - 2) * CLUSTER) * SECTOR,
        b"third of the file",
    );
    disk
}

/// A card is made ready, and is ready then; or it is refused and nothing on it was
/// touched.
///
/// # Panics
/// When that does not hold.
pub fn card(mut input: &[u8]) {
    let mut disk = good();
    while let [place, high, low, count, rest @ ..] = input {
        let (bytes, after) = rest.split_at(usize::from(*count).min(rest.len()));
        let sector = match place % 10 {
            0 => 0,
            1 => START,
            2 => START + 1,
            3 => START + 6,
            4 => START + RESERVED,
            5 => START + RESERVED + FAT,
            6 => DATA,
            7 => DATA + CLUSTER,
            // The far clusters' entries.
            8 => START + RESERVED + 703,
            // Where partition 2 comes.
            _ => START + (2 << 20),
        };
        let offset = sector * SECTOR + u64::from(u16::from_be_bytes([*high, *low]) % 1024);
        disk.put(offset, bytes);
        input = after;
    }
    let before = disk.sectors.clone();
    match prepare(&mut disk) {
        Ok(outcome) => {
            assert_eq!(disk.writes == 0, outcome == Outcome::AlreadyDone);
            let again = prepare(&mut disk);
            assert!(
                matches!(again, Ok(Outcome::AlreadyDone)),
                "{outcome:?}, then {again:?}"
            );
        }
        Err(CardError::Io { .. }) => {}
        Err(refused) => {
            assert!(disk.writes == 0 && disk.sectors == before, "{refused}");
            let said = refused.to_string();
            assert!(!said.contains(char::is_control), "{said:?}");
        }
    }
}
