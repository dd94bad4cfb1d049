//! Cards for the tests: a sparse file with a FAT32, shown as partition 1 of a disk whose
//! writes stay in memory and whose power can be cut.

use card::disk::Disk;
use card::mbr::{Entry, KIND_FAT32, Mbr};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

pub const MIB: u64 = 1 << 20;
/// Where Raspberry Pi Imager lets partition 1 start, in bytes.
pub const P1: u64 = 8192 * 512;

/// Runs a program, checks that it succeeds and returns what it printed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("MTOOLS_SKIP_CHECK", "1")
        .output()
        .unwrap_or_else(|e| panic!("cannot run {program} (packages dosfstools and mtools): {e}"));
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{text}",
        output.status
    );
    text
}

/// Sector 0 with boot code, a disk id and no partitions.
pub fn empty_table() -> [u8; 512] {
    let mut sector = [0; 512];
    sector[..446].fill(0x5a);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// How somebody's computer laid a card out.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Size of the card in MiB.
    pub mib: u64,
    /// Sectors in a cluster.
    pub sectors_per_cluster: u32,
    /// First sector of the partition.
    pub start: u64,
    /// Sectors before the first FAT.
    pub reserved: u32,
    /// Copies of the FAT.
    pub fats: u32,
}

impl Layout {
    /// As Raspberry Pi Imager does.
    pub fn imager(mib: u64, sectors_per_cluster: u32) -> Layout {
        Layout {
            mib,
            sectors_per_cluster,
            start: 8192,
            reserved: 32,
            fats: 2,
        }
    }
}

/// A card as its owner made it, and the files on it.
pub struct Card {
    dir: TempDir,
    layout: Layout,
}

impl Card {
    /// A card of `mib` MiB whose one partition fills it.
    pub fn empty(mib: u64, sectors_per_cluster: u32) -> Card {
        Card::laid_out(Layout::imager(mib, sectors_per_cluster))
    }

    /// An empty card of that layout.
    pub fn laid_out(layout: Layout) -> Card {
        let card = Card {
            dir: tempfile::tempdir().unwrap(),
            layout,
        };
        let image = File::create_new(card.image()).unwrap();
        image.set_len(layout.mib * MIB - card.p1()).unwrap();
        let spc = layout.sectors_per_cluster.to_string();
        let hidden = layout.start.to_string();
        let (reserved, fats) = (layout.reserved.to_string(), layout.fats.to_string());
        run(
            "mkfs.vfat",
            &[
                "-F",
                "32",
                "-s",
                &spc,
                "-h",
                &hidden,
                "-R",
                &reserved,
                "-f",
                &fats,
                // Other clusters than this program would choose are what this is for.
                "-a",
                "-n",
                "BOOT",
                card.image_str(),
            ],
        );
        card
    }

    /// Where partition 1 starts, in bytes.
    fn p1(&self) -> u64 {
        self.layout.start * 512
    }

    /// Such a card with files before, across and
    /// behind `cut_mib` of the partition, and one that wraps around its end.
    pub fn filled(mib: u64, sectors_per_cluster: u32, cut_mib: u64) -> Card {
        Card::laid_out_and_filled(Layout::imager(mib, sectors_per_cluster), cut_mib)
    }

    /// The same for any layout.
    pub fn laid_out_and_filled(layout: Layout, cut_mib: u64) -> Card {
        let card = Card::laid_out(layout);
        let Layout {
            mib,
            sectors_per_cluster,
            ..
        } = layout;
        let per_mib = 2048 / sectors_per_cluster;
        let cut = u32::try_from(cut_mib).unwrap() * per_mib;
        let end = u32::try_from(mib - 4).unwrap() * per_mib;
        let behind = cut + (end - cut) / 2;
        card.add("README.txt", 3000);
        card.add_directory("a");
        card.add("a/Image.gz", 2_000_000);
        card.next_free(cut - 2 * per_mib);
        // The exact cut depends on the sizes of the FATs, so this spans some MiB.
        card.add("a/system.img", 6_000_000);
        card.next_free(behind);
        card.add("wifi.txt", 200);
        card.add_directory("b");
        card.add("b/initrd with a long name.img", 1_000_000);
        card.add_directory("b/deep");
        card.next_free(3000);
        card.add("b/deep/low file.txt", 50_000);
        card.add_directory("b/low");
        card.add("b/low/empty", 0);
        card.add_directory("a/low");
        card.next_free(behind + 5000);
        card.add("b/low/high.bin", 70_000);
        card.add_directory("a/low/high");
        // Many entries, so that this directory has clusters on both sides of the cut.
        for i in 0..20 {
            if i == 10 {
                card.next_free(4000);
            }
            card.add(
                &format!("a/low/high/a rather long file name, number {i}.txt"),
                100 + i,
            );
        }
        card.next_free(end - 8 * per_mib / 10 - 4);
        card.add("wrap.bin", 3_000_000);
        card
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("p1.img")
    }

    fn image_str(&self) -> &'static str {
        Box::leak(self.image().to_str().unwrap().to_owned().into_boxed_str())
    }

    fn files(&self) -> PathBuf {
        self.dir.path().join("files")
    }

    fn add_directory(&self, name: &str) {
        fs::create_dir_all(self.files().join(name)).unwrap();
        run("mmd", &["-i", self.image_str(), &format!("::/{name}")]);
    }

    /// Adds a file of pseudo-random bytes.
    pub fn add(&self, name: &str, size: usize) {
        let mut state = size as u64 + name.len() as u64;
        let content: Vec<u8> = (0..size)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        fs::create_dir_all(self.files()).unwrap();
        let path = self.files().join(name);
        fs::write(&path, content).unwrap();
        run(
            "mcopy",
            &[
                "-i",
                self.image_str(),
                path.to_str().unwrap(),
                &format!("::/{name}"),
            ],
        );
    }

    fn open(&self) -> File {
        File::options()
            .read(true)
            .write(true)
            .open(self.image())
            .unwrap()
    }

    /// Has mtools put the next file at this cluster or behind it.
    fn next_free(&self, cluster: u32) {
        self.open()
            .write_all_at(&cluster.to_le_bytes(), 512 + 492)
            .unwrap();
    }

    fn number(&self, at: u64) -> u32 {
        let mut bytes = [0; 4];
        self.open().read_exact_at(&mut bytes, at).unwrap();
        u32::from_le_bytes(bytes)
    }

    fn set_fat(&self, cluster: u32, value: u32) {
        for copy in 0..u64::from(self.layout.fats) {
            let at = (u64::from(self.layout.reserved) + copy * u64::from(self.number(36))) * 512
                + u64::from(cluster) * 4;
            self.open().write_all_at(&value.to_le_bytes(), at).unwrap();
        }
    }

    fn cluster_offset(&self, cluster: u32) -> u64 {
        (u64::from(self.layout.reserved)
            + u64::from(self.layout.fats) * u64::from(self.number(36))
            + u64::from(cluster - 2) * u64::from(self.layout.sectors_per_cluster))
            * 512
    }

    /// The first sector of the disk that holds clusters.
    pub fn data_start(&self) -> u64 {
        self.layout.start + self.cluster_offset(2) / 512
    }

    /// Moves the root directory (one cluster, as mkfs.vfat made it) to a free cluster.
    pub fn move_root_to(&self, cluster: u32) {
        let old = self.number(44);
        let mut data = vec![0; self.layout.sectors_per_cluster as usize * 512];
        let file = self.open();
        file.read_exact_at(&mut data, self.cluster_offset(old))
            .unwrap();
        file.write_all_at(&data, self.cluster_offset(cluster))
            .unwrap();
        self.set_fat(cluster, 0x0fff_ffff);
        self.set_fat(old, 0);
        for boot in [0, 6 * 512] {
            file.write_all_at(&cluster.to_le_bytes(), boot + 44)
                .unwrap();
        }
    }

    /// Leaves chains that no directory reaches, as pulling the card does.
    pub fn lose_some_clusters(&self) {
        for first in [9000, 95_000] {
            self.set_fat(first, first + 1);
            self.set_fat(first + 1, 0x0fff_ffff);
        }
    }

    pub fn first_cluster_of(&self, path: &str) -> u32 {
        // Such as `</WRAP.BIN 12-34>`.
        let shown = run("mshowfat", &["-i", self.image_str(), path]);
        let digits: String = shown
            .rsplit_once('<')
            .unwrap()
            .1
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().unwrap()
    }

    /// The card in a reader: the file stays as it is, writes are kept in memory.
    pub fn disk(&self) -> TestDisk {
        let mut disk = TestDisk {
            file: self.open(),
            size: self.layout.mib * MIB,
            p1: self.p1(),
            written: BTreeMap::new(),
            pending: Vec::new(),
            steps: 0,
            writes: 0,
            cut: None,
            off: false,
            unreadable: None,
            write_protected: false,
        };
        let mut table = Mbr::parse(empty_table()).unwrap();
        let sectors = u32::try_from((self.layout.mib * MIB - self.p1()) / 512).unwrap();
        let entry = Entry {
            bootable: true,
            kind: KIND_FAT32,
            start: u32::try_from(self.layout.start).unwrap(),
            sectors,
        };
        table.set(0, entry);
        disk.put(0, table.sector());
        disk
    }

    /// Writes partition 1 of the disk to a sparse file.
    pub fn partition(&self, disk: &TestDisk) -> PathBuf {
        let path = self.dir.path().join("judged.img");
        run(
            "cp",
            &["--sparse=always", self.image_str(), path.to_str().unwrap()],
        );
        let sectors = Mbr::parse(disk.sector(0))
            .unwrap()
            .entry(0)
            .unwrap()
            .sectors;
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(u64::from(sectors) * 512).unwrap();
        for (sector, bytes) in &disk.written {
            let start = self.layout.start;
            if (start..start + u64::from(sectors)).contains(sector) {
                file.write_all_at(bytes, sector * 512 - self.p1()).unwrap();
            }
        }
        path
    }

    /// fsck.vfat finds nothing, and mtools reads the very files that were put on it.
    pub fn judge(&self, disk: &TestDisk) {
        self.judge_with(disk, &[]);
    }

    /// The same with more files in the root directory.
    pub fn judge_with(&self, disk: &TestDisk, more: &[(&str, &[u8])]) {
        let partition = self.partition(disk);
        let said = run("fsck.vfat", &["-n", partition.to_str().unwrap()]);
        for bad in ["differ", "Reclaimed", "FATs", "Dirty", "wrong"] {
            assert!(!said.contains(bad), "{said}");
        }
        self.compare(&partition, more);
    }

    /// Only that mtools reads the very files.
    pub fn compare_files(&self, disk: &TestDisk) {
        self.compare(&self.partition(disk), &[]);
    }

    /// The same with more files in the root directory.
    pub fn compare_with(&self, disk: &TestDisk, more: &[(&str, &[u8])]) {
        self.compare(&self.partition(disk), more);
    }

    fn compare(&self, partition: &Path, more: &[(&str, &[u8])]) {
        let read = tempfile::tempdir_in(self.dir.path()).unwrap();
        run(
            "mcopy",
            &[
                "-s",
                "-n",
                "-i",
                partition.to_str().unwrap(),
                "::/*",
                read.path().to_str().unwrap(),
            ],
        );
        for (name, content) in more {
            let path = read.path().join(name);
            assert_eq!(fs::read(&path).unwrap(), *content, "{name}");
            fs::remove_file(path).unwrap();
        }
        run(
            "diff",
            &[
                "-r",
                self.files().to_str().unwrap(),
                read.path().to_str().unwrap(),
            ],
        );
    }
}

/// What happens to the writes when the power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// All before the cut are there.
    Whole,
    /// Of the last write, half of the sectors are there.
    Torn,
    /// Of the sectors written since the last flush, some are there and some are not.
    Reordered,
}

/// A disk in memory over a file.
pub struct TestDisk {
    file: File,
    size: u64,
    p1: u64,
    written: BTreeMap<u64, [u8; 512]>,
    /// Sectors written since the last flush, with what was there before.
    pending: Vec<(u64, [u8; 512])>,
    steps: usize,
    writes: usize,
    cut: Option<(usize, Cut)>,
    off: bool,
    /// Sectors that cannot be read.
    unreadable: Option<std::ops::Range<u64>>,
    write_protected: bool,
}

impl TestDisk {
    pub fn grow(&mut self, mib: u64) {
        self.size = mib * MIB;
    }

    pub fn writes(&self) -> usize {
        self.writes
    }

    /// Writes and flushes so far.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Cuts the power during the write or flush with this number, from 0.
    pub fn cut_at(&mut self, step: usize, mode: Cut) {
        self.steps = 0;
        self.cut = Some((step, mode));
    }

    pub fn power_on(&mut self) {
        self.cut = None;
        self.off = false;
    }

    /// Reads of these sectors fail from now on.
    pub fn set_unreadable(&mut self, sectors: Option<std::ops::Range<u64>>) {
        self.unreadable = sectors;
    }

    /// Writes fail from now on as the kernel's do for a card that is locked.
    pub fn write_protect(&mut self) {
        self.write_protected = true;
    }

    pub fn sector(&self, sector: u64) -> [u8; 512] {
        if let Some(bytes) = self.written.get(&sector) {
            return *bytes;
        }
        let mut bytes = [0; 512];
        if sector * 512 >= self.p1 {
            // Behind the file there is nothing: zeros.
            let _ = self.file.read_exact_at(&mut bytes, sector * 512 - self.p1);
        }
        bytes
    }

    /// Writes whole sectors without counting.
    pub fn put(&mut self, offset: u64, bytes: &[u8]) {
        for (i, sector) in bytes.chunks_exact(512).enumerate() {
            self.written
                .insert(offset / 512 + i as u64, sector.try_into().unwrap());
        }
    }

    pub fn set_partition(&mut self, index: usize, entry: Entry) {
        let mut table = Mbr::parse(self.sector(0)).unwrap();
        table.set(index, entry);
        self.put(0, table.sector());
    }

    /// Every sector written so far and what it holds.
    pub fn content(&self) -> BTreeMap<u64, [u8; 512]> {
        self.written.clone()
    }

    /// Equal for disks with equal content in partition 1 and sector 0.
    pub fn digest(&self) -> u64 {
        let end = Mbr::parse(self.sector(0)).unwrap().entry(0).unwrap().end();
        let mut hasher = DefaultHasher::new();
        let changed = self.written.iter().filter(|(sector, _)| **sector < end);
        // A sector written with what the file holds anyway is no change, but hashing it
        // differently only means that it is judged once more.
        changed.for_each(|pair| pair.hash(&mut hasher));
        hasher.finish()
    }

    /// Counts a step; true if the power fails during it.
    fn fails(&mut self) -> io::Result<bool> {
        if self.off {
            return Err(io::Error::other("the power is off"));
        }
        self.steps += 1;
        self.off = self.cut.is_some_and(|(step, _)| self.steps > step);
        Ok(self.off)
    }

    fn lose_pending(&mut self) {
        let seed = self.steps as u64;
        for (i, (sector, before)) in std::mem::take(&mut self.pending)
            .into_iter()
            .enumerate()
            .rev()
        {
            if (seed + i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 0 {
                self.written.insert(sector, before);
            }
        }
    }
}

impl Disk for TestDisk {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        assert!(offset.is_multiple_of(512) && buffer.len().is_multiple_of(512));
        if self.off || offset + buffer.len() as u64 > self.size {
            return Err(io::Error::other(
                "the power is off, or behind the end of the disk",
            ));
        }
        let (first, count) = (offset / 512, buffer.len() / 512);
        if let Some(bad) = &self.unreadable
            && first < bad.end
            && bad.start < first + count as u64
        {
            return Err(io::Error::from_raw_os_error(5));
        }
        buffer.fill(0);
        if offset >= self.p1 {
            let mut done = 0;
            while let Ok(n @ 1..) = self
                .file
                .read_at(&mut buffer[done..], offset - self.p1 + done as u64)
            {
                done += n;
            }
        }
        for (sector, bytes) in self.written.range(first..first + count as u64) {
            buffer[usize::try_from(sector - first).unwrap() * 512..][..512].copy_from_slice(bytes);
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        assert!(offset.is_multiple_of(512) && bytes.len().is_multiple_of(512));
        assert!(
            offset + bytes.len() as u64 <= self.size,
            "a write behind the end of the disk"
        );
        if self.write_protected {
            return Err(io::Error::from_raw_os_error(1));
        }
        let failing = self.fails()?;
        let mode = self.cut.map(|(_, mode)| mode);
        let reached = match (failing, mode) {
            (true, Some(Cut::Whole)) => 0,
            (true, Some(Cut::Torn)) => bytes.len() / 1024 * 512,
            _ => bytes.len(),
        };
        self.writes += 1;
        for i in 0..reached as u64 / 512 {
            let sector = offset / 512 + i;
            let before = self.sector(sector);
            self.pending.push((sector, before));
        }
        self.put(offset, &bytes[..reached]);
        if failing {
            if mode == Some(Cut::Reordered) {
                self.lose_pending();
            }
            self.pending.clear();
            return Err(io::Error::other("the power failed"));
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.fails()? {
            if self.cut.is_some_and(|(_, mode)| mode == Cut::Reordered) {
                self.lose_pending();
            }
            self.pending.clear();
            return Err(io::Error::other("the power failed"));
        }
        self.pending.clear();
        Ok(())
    }

    fn len(&mut self) -> io::Result<u64> {
        Ok(self.size)
    }
}
