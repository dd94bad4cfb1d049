//! `config.txt` as the firmware of a Raspberry Pi 3 reads it.
//!
//! Source: Raspberry Pi documentation, "config.txt": a setting a line, `name=value` without
//! spaces around `=`, at most 98 letters, the rest is ignored; a line in brackets says for
//! which boards the next ones are.

use super::Findings;
use std::collections::BTreeMap;

const LONGEST_LINE: usize = 98;
/// Filters that are true on a Raspberry Pi 3 B, a 3 B+ or a 3 A+.
const OURS: [&str; 3] = ["all", "pi3", "pi3+"];
/// Settings whose value is a whole number.
const NUMBERS: [&str; 15] = [
    "arm_64bit",
    "auto_initramfs",
    "avoid_warnings",
    "boot_delay",
    "core_freq",
    "disable_overscan",
    "disable_splash",
    "enable_uart",
    "force_turbo",
    "gpu_mem",
    "hdmi_force_hotplug",
    "kernel_address",
    "start_x",
    "uart_2ndstage",
    "upstream_kernel",
];
/// Settings with another kind of value.
const TEXTS: [&str; 10] = [
    "cmdline",
    "device_tree",
    "dtoverlay",
    "dtparam",
    "fixup_file",
    "kernel",
    "os_prefix",
    "overlay_prefix",
    "ramfsfile",
    "start_file",
];

/// What a Raspberry Pi 3 is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Config {
    settings: BTreeMap<String, String>,
    /// Every overlay, in order, without its parameters.
    pub overlays: Vec<String>,
    /// Files of `include` and `initramfs` lines.
    pub files: Vec<String>,
}

impl Config {
    /// Reads the file; what is wrong with it goes to `findings`.
    pub fn read(bytes: &[u8], findings: &mut Findings) -> Self {
        let mut config = Config::default();
        if bytes.starts_with(b"\xef\xbb\xbf") {
            findings.error(
                "config.txt:1",
                "begins with a byte-order mark, with which the firmware does not know the first line; save it as UTF-8 without",
            );
        }
        if bytes.contains(&0) {
            findings.error(
                "config.txt",
                "is no text of single bytes (UTF-16?); save it as UTF-8",
            );
            return config;
        }
        let text = String::from_utf8_lossy(bytes);
        let mut ours = true;
        for (number, line) in (1..).zip(text.lines()) {
            let place = format!("config.txt:{number}");
            if line.len() > LONGEST_LINE && !line.starts_with('#') {
                findings.error(
                    &place,
                    format!(
                        "has {} letters; the firmware reads {LONGEST_LINE}",
                        line.len()
                    ),
                );
            }
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(filter) = line.strip_prefix('[') {
                match filter.strip_suffix(']') {
                    Some(filter) => ours = OURS.contains(&filter),
                    None => findings.error(&place, format!("{line:?}: the bracket is not closed")),
                }
            } else if let Some((word, file)) = line
                .split_once(' ')
                .filter(|(word, _)| ["include", "initramfs"].contains(word))
            {
                let file = file.split_whitespace().next().unwrap_or_default();
                if file.is_empty() {
                    findings.error(&place, format!("{word} names no file"));
                } else if ours {
                    config.files.push(file.to_owned());
                }
            } else {
                config.setting(&place, line, ours, findings);
            }
        }
        config
    }

    fn setting(&mut self, place: &str, line: &str, ours: bool, findings: &mut Findings) {
        let Some((name, value)) = line.split_once('=') else {
            return findings.error(place, format!("{line:?} is not name=value"));
        };
        if name != name.trim() || value != value.trim() {
            return findings.error(
                place,
                format!(
                    "{line:?}: the firmware takes spaces beside = for a part of the name or value"
                ),
            );
        }
        if NUMBERS.contains(&name) {
            let digits = value.strip_prefix("0x").unwrap_or(value);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                findings.error(place, format!("{name}={value}: a number is needed"));
            }
        } else if !TEXTS.contains(&name) {
            let known = NUMBERS.iter().chain(&TEXTS);
            match known.min_by_key(|known| distance(known, name)) {
                Some(near) if distance(near, name) <= 2 => findings.error(
                    place,
                    format!("unknown setting \"{name}\"; did you mean \"{near}\"?"),
                ),
                _ => findings.note(place, format!("\"{name}\" is not checked here")),
            }
        }
        if !ours {
            return;
        }
        if name == "dtoverlay" {
            let overlay = value.split([',', ':']).next().unwrap_or_default();
            if !overlay.is_empty() {
                self.overlays.push(overlay.to_owned());
            }
        } else if name != "dtparam"
            && let Some(before) = self.settings.insert(name.to_owned(), value.to_owned())
            && before != value
        {
            findings.note(
                place,
                format!("{name} was {before} before; the last one counts"),
            );
        }
    }

    /// The value of a setting for this board.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// Whether a setting is on: any number but 0.
    pub fn on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "0")
    }
}

/// How many letters to change, add or take away (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Config, Findings) {
        let mut findings = Findings::default();
        let config = Config::read(text.as_bytes(), &mut findings);
        (config, findings)
    }

    #[test]
    fn what_is_for_other_boards_does_not_count() {
        let (config, findings) = read(
            "kernel=a\r\n[pi4]\nkernel=b\ndtoverlay=vc4\n[pi3]\narm_64bit=1\n[all]\ndtoverlay=disable-bt,x=y\ninitramfs i.img followkernel\n",
        );
        assert_eq!(findings.errors, [""; 0]);
        assert_eq!(config.get("kernel"), Some("a"));
        assert!(config.on("arm_64bit") && !config.on("upstream_kernel"));
        assert_eq!(config.overlays, ["disable-bt"]);
        assert_eq!(config.files, ["i.img"]);
    }

    #[test]
    fn each_mistake_is_told_with_its_line() {
        let long = format!("kernel={}", "x".repeat(100));
        for (text, words) in [
            ("\n\u{feff}x", "is not name=value"),
            (
                "\u{feff}arm_64bit=1",
                "config.txt:1: begins with a byte-order mark",
            ),
            (
                "# fine\narm_64bit = 1",
                "config.txt:2: \"arm_64bit = 1\": the firmware takes spaces",
            ),
            ("arm_64bit=yes", "a number is needed"),
            (
                "kernal=u-boot.bin",
                "unknown setting \"kernal\"; did you mean \"kernel\"?",
            ),
            ("[pi3", "the bracket is not closed"),
            ("enable_uart", "is not name=value"),
            ("include ", "is not name=value"),
            ("k\0e\0", "is no text of single bytes"),
            (
                long.as_str(),
                "config.txt:1: has 107 letters; the firmware reads 98",
            ),
        ] {
            let (_, findings) = read(text);
            let said = findings.errors.join("\n");
            assert!(said.contains(words), "{text:?}: {said}");
        }
        let (_, findings) = read("hdmi_mode=82\n");
        assert_eq!(
            findings.notes,
            ["config.txt:1: \"hdmi_mode\" is not checked here"]
        );
    }
}
