//! The kernel command line, `/proc/cmdline`: which words are for us.
//!
//! PID 1 looks here and never at its arguments, because the kernel passes
//! every word it does not know as an argument (`init/main.c`,
//! `unknown_bootoption`). Quotes have no meaning here: our words have none.

/// Which half of the card to start from; each is a folder on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Slot {
    /// Folder `a`, also where the boot script named none.
    #[default]
    A,
    /// Folder `b`.
    B,
}

impl Slot {
    /// The folder's name on the card.
    pub fn folder(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

/// What the command line says to PID 1 and `early`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KernelWords {
    /// `projectx.slot=a` or `=b`.
    pub slot: Slot,
    /// `projectx.watchdog=off`: QEMU's `raspi3b` resets at the first touch.
    pub watchdog_off: bool,
    /// How many words begin with `projectx.` and mean nothing here.
    pub ignored: usize,
}

impl KernelWords {
    /// Reads `/proc/cmdline`; one that cannot be read is an empty one.
    pub fn of_this_boot() -> Self {
        // Bytes that are not UTF-8 must not cost the words around them.
        let bytes = std::fs::read("/proc/cmdline").unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Parses `text`. The last of two contradicting words wins, as in the kernel.
    pub fn parse(text: &str) -> Self {
        let mut words = Self::default();
        for word in text
            .split_ascii_whitespace()
            .filter(|word| word.starts_with("projectx."))
        {
            match word {
                "projectx.slot=a" => words.slot = Slot::A,
                "projectx.slot=b" => words.slot = Slot::B,
                "projectx.watchdog=off" => words.watchdog_off = true,
                // The supervisor's: how often this slot was tried.
                _ if word.starts_with("projectx.tries=") => {}
                _ => words.ignored += 1,
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_scripts_words_are_understood() {
        let line =
            "console=tty0 console=ttyS1,115200 panic=10 quiet projectx.slot=b projectx.tries=2";
        let expected = KernelWords {
            slot: Slot::B,
            watchdog_off: false,
            ignored: 0,
        };
        assert_eq!(KernelWords::parse(line), expected);
    }

    #[test]
    fn a_slot_that_is_not_a_or_b_is_counted_and_means_a() {
        for line in [
            "projectx.slot=c",
            "projectx.slot=",
            "projectx.slot=../x",
            "projectx.slot=A",
        ] {
            let expected = KernelWords {
                slot: Slot::A,
                watchdog_off: false,
                ignored: 1,
            };
            assert_eq!(KernelWords::parse(line), expected, "{line}");
        }
    }

    #[test]
    fn words_of_the_kernel_are_not_ours_to_count() {
        assert_eq!(
            KernelWords::parse("quiet xprojectx.slot=b init=/bin/sh\n"),
            KernelWords::default()
        );
    }

    #[test]
    fn only_off_turns_the_watchdog_off() {
        assert!(KernelWords::parse("projectx.watchdog=off").watchdog_off);
        assert!(!KernelWords::parse("projectx.watchdog=of projectx.watchdog=0").watchdog_off);
    }
}
