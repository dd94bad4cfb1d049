//! What must lie on the card: for the ROM and firmware of a Raspberry Pi 3, for U-Boot
//! behind them, and for our boot script and initramfs.
//!
//! Source: Raspberry Pi documentation, "The boot folder" and "config.txt"; Devicetree
//! Specification 0.4, 5.2; U-Boot, `include/image.h` (legacy images).

use super::Findings;
use super::config_txt::Config;
use std::fs;
use std::path::Path;

/// The ROM loads bootcode.bin into the second-level cache: 128 KiB.
const LARGEST_BOOTCODE: u64 = 128 << 10;
/// With less memory than this the firmware starts its cut-down form.
const LEAST_GPU_MEMORY: u32 = 32;
/// The device trees of Debian's (upstream's) kernel: 3 B, 3 B+, 3 A+.
const UPSTREAM_TREES: [&str; 3] = [
    "bcm2837-rpi-3-b.dtb",
    "bcm2837-rpi-3-b-plus.dtb",
    "bcm2837-rpi-3-a-plus.dtb",
];
/// Those of Raspberry Pi's own; a 3 A+ uses the one of the 3 B+.
const OWN_TREES: [&str; 2] = ["bcm2710-rpi-3-b.dtb", "bcm2710-rpi-3-b-plus.dtb"];
const U_BOOT_HEADER: usize = 64;
const U_BOOT_ARM64: u8 = 22;
const U_BOOT_SCRIPT: u8 = 6;

/// Checks the files in `card`.
pub fn check(card: &Path, findings: &mut Findings) {
    let mut card = Card { card, findings };
    if let Some(bytes) = card.needs("bootcode.bin", "the Raspberry Pi's ROM starts it")
        && bytes.len() as u64 > LARGEST_BOOTCODE
    {
        card.wrong(
            "bootcode.bin",
            "is larger than 128 KiB, which the ROM can't load",
        );
    }
    let Some(text) = card.needs(
        "config.txt",
        "without it the firmware starts a 32-bit kernel",
    ) else {
        return;
    };
    let config = Config::read(&text, card.findings);
    card.firmware(&config);
    card.kernel(&config);
    card.device_trees(&config);
    for name in &config.files {
        card.needs(name, "config.txt names it");
    }
    card.system();
}

struct Card<'a> {
    card: &'a Path,
    findings: &'a mut Findings,
}

impl Card<'_> {
    fn wrong(&mut self, name: &str, what: &str) {
        self.findings.error(name, what);
    }

    /// The file's content, and a complaint if it is missing or empty.
    fn needs(&mut self, name: &str, why: &str) -> Option<Vec<u8>> {
        match fs::read(self.card.join(name)) {
            Ok(bytes) if bytes.is_empty() => self.wrong(name, &format!("is empty; {why}")),
            Ok(bytes) => return Some(bytes),
            Err(_) => {
                let folders = fs::read_dir(self.card).into_iter().flatten().flatten();
                let inside = folders
                    .map(|entry| entry.path())
                    .find(|path| path.join(name).is_file());
                let folder = inside.as_deref().and_then(Path::file_name);
                match folder {
                    Some(folder) => self.wrong(
                        name,
                        &format!(
                            "is in the folder {}, not at the top; {why}",
                            folder.display()
                        ),
                    ),
                    None => self.wrong(name, &format!("is missing; {why}")),
                }
            }
        }
        None
    }

    /// The file, which must begin so.
    fn begins(&mut self, name: &str, why: &str, magic: &[u8], what: &str) {
        if let Some(bytes) = self.needs(name, why)
            && !bytes.starts_with(magic)
        {
            self.wrong(name, &format!("is no {what}; {why}"));
        }
    }

    /// start.elf and fixup.dat, or the pair that is named instead.
    fn firmware(&mut self, config: &Config) {
        let memory = config
            .get("gpu_mem")
            .and_then(|text| text.parse::<u32>().ok());
        let end = match memory {
            Some(memory) if memory < LEAST_GPU_MEMORY => "_cd",
            _ if config.on("start_x") => "_x",
            _ => "",
        };
        let start = config
            .get("start_file")
            .map_or_else(|| format!("start{end}.elf"), str::to_owned);
        let fixup = config
            .get("fixup_file")
            .map_or_else(|| format!("fixup{end}.dat"), str::to_owned);
        self.begins(&start, "bootcode.bin starts it", b"\x7fELF", "program");
        self.needs(&fixup, "without it the memory is a part of what there is");
    }

    /// The program that the firmware starts.
    fn kernel(&mut self, config: &Config) {
        let wide = config.on("arm_64bit");
        let default = if wide { "kernel8.img" } else { "kernel7.img" };
        let name = config.get("kernel").unwrap_or(default).to_owned();
        self.needs(&name, "the firmware starts it");
        if !wide && name != "kernel8.img" {
            self.wrong(
                "config.txt",
                "does not say arm_64bit=1: the firmware would start the 64-bit program as a 32-bit one",
            );
        }
        if let Some(cmdline) = config.get("cmdline") {
            self.needs(cmdline, "config.txt names it");
        }
        for overlay in &config.overlays {
            let name = format!("overlays/{overlay}.dtbo");
            if let Some(tree) = self.needs(&name, "config.txt names the overlay") {
                self.tree(&name, &tree);
            }
        }
    }

    fn device_trees(&mut self, config: &Config) {
        let trees: Vec<&str> = match config.get("device_tree") {
            Some("") => return,
            Some(one) => vec![one],
            None if config.on("upstream_kernel") => UPSTREAM_TREES.to_vec(),
            None => OWN_TREES.to_vec(),
        };
        for name in trees {
            if let Some(tree) = self.needs(name, "the kernel learns from it what the board has") {
                self.tree(name, &tree);
            }
        }
    }

    fn tree(&mut self, name: &str, tree: &[u8]) {
        let size = tree
            .get(4..8)
            .map(|s| u32::from_be_bytes([s[0], s[1], s[2], s[3]]));
        if !tree.starts_with(&[0xd0, 0x0d, 0xfe, 0xed]) {
            self.wrong(name, "is no device tree");
        } else if size.is_none_or(|size| size as usize > tree.len()) {
            self.wrong(name, "is cut short");
        }
    }

    /// What U-Boot and our initramfs look for, and what people do.
    fn system(&mut self) {
        if let Some(script) = self.needs("boot.scr", "U-Boot runs it")
            && let Some(fault) = script_fault(&script)
        {
            self.wrong("boot.scr", fault);
        }
        self.begins(
            "a/Image.gz",
            "the kernel of slot a",
            &[0x1f, 0x8b],
            "gzip file",
        );
        self.needs("a/initrd", "the initramfs of slot a");
        self.begins("a/system.img", "the system of slot a", b"hsqs", "squashfs");
        for text in ["README.txt", "wifi.txt"] {
            self.needs(text, "people read and edit it");
        }
    }
}

/// What is wrong with a U-Boot script, if anything is.
fn script_fault(script: &[u8]) -> Option<&'static str> {
    let number = |at: usize| {
        let bytes = script.get(at..at + 4)?;
        Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let (header, data) = match script.split_at_checked(U_BOOT_HEADER) {
        Some(parts) if number(0) == Some(0x2705_1956) => parts,
        _ => return Some("is no image of U-Boot's; make it with mkimage"),
    };
    let mut blank = header.to_vec();
    blank[4..8].fill(0);
    if number(4) != Some(crc32fast::hash(&blank)) {
        return Some("its header is damaged");
    }
    if (header[29], header[30]) != (U_BOOT_ARM64, U_BOOT_SCRIPT) {
        return Some("is no script for arm64");
    }
    if number(12) != Some(data.len() as u32) || number(24) != Some(crc32fast::hash(data)) {
        return Some("is damaged or cut short");
    }
    None
}
