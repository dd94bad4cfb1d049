//! `/system.verity`: what the initramfs knows about the system image.
//!
//! Four lines `key=value`, written by `cargo xtask image` from `veritysetup
//! format --no-superblock`: `data_blocks`, `hash_offset` (bytes), `salt` and
//! `root_hash` (hexadecimal). Blocks are 4096 bytes, the hash is SHA-256, and
//! the tree follows the data in the same file. The root hash stands in the
//! initramfs, so nothing read from the card decides about the card.

/// Bytes in a data or hash block.
pub const BLOCK: u64 = 4096;
/// Bytes in a sector, the device mapper's unit.
const SECTOR: u64 = 512;
/// Bytes in a hash.
const HASH: u64 = 32;
const KEYS: &str = "data_blocks, hash_offset, salt, root_hash";

/// A checked `/system.verity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verity {
    data_blocks: u64,
    hash_block: u64,
    salt: String,
    root_hash: String,
}

/// Why the file is not usable. The image was built wrongly; nothing that an
/// owner does can repair it but writing the card anew.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerityError {
    /// A line that is not one of the four.
    #[error("/system.verity:{line}: unknown or doubled key \"{key}\"; expected one each of {KEYS}")]
    Key {
        /// Counted from 1.
        line: usize,
        /// What stands there before the equals sign.
        key: String,
    },
    /// A value that its key does not allow.
    #[error("/system.verity: {key}: \"{value}\" is not {expected}; build the image again")]
    Value {
        /// Which of the four.
        key: &'static str,
        /// What stands there.
        value: String,
        /// What should.
        expected: &'static str,
    },
    /// One of the four is not there.
    #[error("/system.verity: {0} is missing; build the image again")]
    Missing(&'static str),
}

impl Verity {
    /// Parses and checks the file's text.
    ///
    /// # Errors
    /// See [`VerityError`].
    pub fn parse(text: &str) -> Result<Self, VerityError> {
        let [mut data_blocks, mut hash_offset, mut salt, mut root_hash] = [None, None, None, None];
        for (index, line) in text.lines().enumerate() {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            let place = match key {
                "data_blocks" => &mut data_blocks,
                "hash_offset" => &mut hash_offset,
                "salt" => &mut salt,
                "root_hash" => &mut root_hash,
                _ => {
                    return Err(VerityError::Key {
                        line: index + 1,
                        key: key.to_owned(),
                    });
                }
            };
            if place.replace(value).is_some() {
                return Err(VerityError::Key {
                    line: index + 1,
                    key: key.to_owned(),
                });
            }
        }
        let data_blocks = number("data_blocks", data_blocks)?;
        let hash_offset = number("hash_offset", hash_offset)?;
        if !hash_offset.is_multiple_of(BLOCK) || hash_offset / BLOCK < data_blocks {
            return Err(VerityError::Value {
                key: "hash_offset",
                value: hash_offset.to_string(),
                expected: "a multiple of 4096 at or after the end of the data",
            });
        }
        Ok(Self {
            data_blocks,
            hash_block: hash_offset / BLOCK,
            // dm-verity takes up to 256 bytes of salt.
            salt: hexadecimal(
                "salt",
                salt,
                2..=512,
                "2 to 512 hexadecimal digits, an even number",
            )?,
            root_hash: hexadecimal("root_hash", root_hash, 64..=64, "64 hexadecimal digits")?,
        })
    }

    /// The size of the verified device.
    pub fn sectors(&self) -> u64 {
        self.data_blocks * (BLOCK / SECTOR)
    }

    /// What the file holds at least: the data, and behind it the tree, whose
    /// blocks hold 128 hashes each up to the root.
    pub fn bytes(&self) -> u64 {
        let (mut level, mut tree) = (self.data_blocks, 0);
        while level > 1 {
            level = level.div_ceil(BLOCK / HASH);
            tree += level;
        }
        (self.hash_block + tree) * BLOCK
    }

    /// The root of the tree, in hexadecimal: it names the content.
    pub fn root_hash(&self) -> &str {
        &self.root_hash
    }

    /// The target's parameters when data and tree are on `device`
    /// (`MAJOR:MINOR`), as in the kernel's `device-mapper/verity.rst`.
    pub fn table(&self, device: &str) -> String {
        format!(
            "1 {device} {device} {BLOCK} {BLOCK} {} {} sha256 {} {}",
            self.data_blocks, self.hash_block, self.root_hash, self.salt
        )
    }
}

fn number(key: &'static str, value: Option<&str>) -> Result<u64, VerityError> {
    let value = value.ok_or(VerityError::Missing(key))?;
    // A limit far above every image keeps the arithmetic from overflowing.
    match value.parse::<u64>() {
        Ok(number) if number > 0 && number < 1 << 50 => Ok(number),
        _ => Err(VerityError::Value {
            key,
            value: value.to_owned(),
            expected: "a positive number",
        }),
    }
}

fn hexadecimal(
    key: &'static str,
    value: Option<&str>,
    length: std::ops::RangeInclusive<usize>,
    expected: &'static str,
) -> Result<String, VerityError> {
    let value = value.ok_or(VerityError::Missing(key))?;
    let digits = value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits && value.len().is_multiple_of(2) && length.contains(&value.len()) {
        Ok(value.to_owned())
    } else {
        Err(VerityError::Value {
            key,
            value: value.to_owned(),
            expected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "8cb1217c6098035d424d56be2219d822a4e02d277ca67f886d591b75207f60c0";

    fn text() -> String {
        format!("data_blocks=14893\nhash_offset=61001728\nsalt=aaaa\nroot_hash={HASH}\n")
    }

    #[test]
    fn the_table_is_the_one_that_dmsetup_shows() {
        let verity = Verity::parse(&text()).expect("a good file");
        // From `dmsetup table` (boards.md 3.3), one block earlier: no superblock.
        let expected = format!("1 7:0 7:0 4096 4096 14893 14893 sha256 {HASH} aaaa");
        assert_eq!(verity.table("7:0"), expected);
        assert_eq!(verity.sectors(), 119_144);
    }

    #[test]
    fn the_file_is_as_long_as_veritysetup_makes_it() {
        // What `veritysetup format` left of a file of so many blocks.
        for (blocks, file) in [(1, 4096), (2, 12_288), (129, 540_672), (14_893, 61_485_056)] {
            let text = text().replace("14893", &blocks.to_string());
            let text = text.replace("61001728", &(blocks * BLOCK).to_string());
            assert_eq!(Verity::parse(&text).unwrap().bytes(), file, "{blocks}");
        }
    }

    #[test]
    fn an_unknown_or_doubled_key_is_named_with_its_line() {
        for (extra, key) in [("salz=aa\n", "salz"), ("salt=bb\n", "salt"), ("\n", "")] {
            let error = Verity::parse(&(text() + extra)).expect_err("a bad file");
            assert_eq!(
                error,
                VerityError::Key {
                    line: 5,
                    key: key.to_owned()
                }
            );
        }
    }

    #[test]
    fn a_space_in_a_value_cannot_become_a_parameter() {
        let bad = text().replace("salt=aaaa", "salt=aa 1 ignore_corruption");
        let error = Verity::parse(&bad).expect_err("a bad file").to_string();
        assert!(error.starts_with("/system.verity: salt: "), "{error}");
    }

    #[test]
    fn a_tree_inside_the_data_is_refused() {
        let bad = text().replace("61001728", "4096");
        let error = Verity::parse(&bad).expect_err("a bad file").to_string();
        assert!(error.contains("at or after the end of the data"), "{error}");
    }

    #[test]
    fn a_short_root_hash_and_a_missing_one_are_refused() {
        let short = Verity::parse(&text().replace(HASH, "8cb1")).expect_err("a bad file");
        assert!(short.to_string().contains("64 hexadecimal digits"));
        let none =
            Verity::parse("data_blocks=1\nhash_offset=4096\nsalt=aa\n").expect_err("a bad file");
        assert_eq!(none, VerityError::Missing("root_hash"));
    }
}
