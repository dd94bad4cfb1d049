//! What an arm64 ELF file asks of the loader: its interpreter and the
//! libraries it needs. Only little-endian ELF64 is read; see elf(5).

/// What a file asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The interpreter (a path) and the needed libraries; empty when static.
    pub names: Vec<String>,
    /// Folders to look for libraries in first, from RUNPATH or its older form
    /// RPATH; `$ORIGIN` stands for the folder of the file itself.
    pub search: Vec<String>,
}

/// Reads them. `None` for anything that is not an ELF64 file or is malformed.
pub fn needs(file: &[u8]) -> Option<Needs> {
    const LOAD: u64 = 1;
    const DYNAMIC: u64 = 2;
    const INTERPRETER: u64 = 3;
    const NEEDED: u64 = 1;
    const STRING_TABLE: u64 = 5;
    const RPATH: u64 = 15;
    const RUNPATH: u64 = 29;

    if !file.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = number(file, 0x20, 8)?;
    let size = number(file, 0x36, 2)?;
    let count = number(file, 0x38, 2)?;
    let mut loads = Vec::new();
    let mut dynamic = None;
    let mut found = Needs::default();
    for index in 0..count {
        let at = table + index * size;
        let field = |offset| number(file, at + offset, 8);
        let (offset, address, length) = (field(8)?, field(16)?, field(32)?);
        match number(file, at, 4)? {
            LOAD => loads.push((offset, address, length)),
            DYNAMIC => dynamic = Some((offset, length)),
            INTERPRETER => found.names.push(text(file, offset)?),
            _ => {}
        }
    }
    let Some((start, length)) = dynamic else {
        return Some(found);
    };
    let entries: Vec<(u64, u64)> = (0..length / 16)
        .map(|index| {
            Some((
                number(file, start + index * 16, 8)?,
                number(file, start + index * 16 + 8, 8)?,
            ))
        })
        .collect::<Option<_>>()?;
    let strings = entries.iter().find(|(tag, _)| *tag == STRING_TABLE)?.1;
    let (offset, address, _) = loads
        .iter()
        .find(|(_, address, length)| (*address..address + length).contains(&strings))?;
    let string = |at: u64| text(file, (strings - address + offset).checked_add(at)?);
    for (tag, value) in &entries {
        match *tag {
            NEEDED => found.names.push(string(*value)?),
            RPATH | RUNPATH => {
                let folders = string(*value)?;
                found.search.extend(folders.split(':').map(str::to_owned));
            }
            _ => {}
        }
    }
    Some(found)
}

fn number(file: &[u8], at: u64, bytes: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let field = file.get(at..at.checked_add(bytes)?)?;
    Some(
        field
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    )
}

fn text(file: &[u8], at: u64) -> Option<String> {
    let rest = file.get(usize::try_from(at).ok()?..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_names_its_loader_and_libraries() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let names = needs(&own).expect("the test program is ELF64").names;
        assert!(
            names.iter().any(|name| name.contains("ld-linux")),
            "{names:?}"
        );
        assert!(names.iter().any(|name| name == "libc.so.6"), "{names:?}");
    }

    #[test]
    fn a_script_and_a_cut_off_program_need_nothing() {
        assert_eq!(needs(b"#!/bin/sh\n"), None);
        assert_eq!(needs(b"\x7fELF\x02\x01\x01"), None);
    }

    #[test]
    fn a_program_s_own_search_path_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("a");
        std::fs::write(folder.path().join("a.rs"), "fn main() {}\n").unwrap();
        crate::tool::tool("rustc", "rustup or cargo")
            .args([
                "-Clink-arg=-Wl,-rpath,/usr/lib/dovecot:$ORIGIN/../lib",
                "a.rs",
            ])
            .in_folder(folder.path())
            .run()
            .unwrap();
        let needs = needs(&std::fs::read(program).unwrap()).unwrap();
        assert_eq!(needs.search, ["/usr/lib/dovecot", "$ORIGIN/../lib"]);
    }
}
