//! What an arm64 ELF file asks of the loader: its interpreter and the
//! libraries it needs. Only little-endian ELF64 is read; see elf(5).

/// The names of the interpreter (a path) and of the needed libraries. `None`
/// for anything that is not an ELF64 file or is malformed; empty when static.
pub fn needs(file: &[u8]) -> Option<Vec<String>> {
    const LOAD: u64 = 1;
    const DYNAMIC: u64 = 2;
    const INTERPRETER: u64 = 3;
    const NEEDED: u64 = 1;
    const STRING_TABLE: u64 = 5;

    if !file.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = number(file, 0x20, 8)?;
    let size = number(file, 0x36, 2)?;
    let count = number(file, 0x38, 2)?;
    let mut loads = Vec::new();
    let mut dynamic = None;
    let mut names = Vec::new();
    for index in 0..count {
        let at = table + index * size;
        let field = |offset| number(file, at + offset, 8);
        let (offset, address, length) = (field(8)?, field(16)?, field(32)?);
        match number(file, at, 4)? {
            LOAD => loads.push((offset, address, length)),
            DYNAMIC => dynamic = Some((offset, length)),
            INTERPRETER => names.push(text(file, offset)?),
            _ => {}
        }
    }
    let Some((start, length)) = dynamic else {
        return Some(names);
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
    for (_, name) in entries.iter().filter(|(tag, _)| *tag == NEEDED) {
        names.push(text(file, strings - address + offset + name)?);
    }
    Some(names)
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
    use super::needs;

    #[test]
    fn a_dynamic_program_names_its_loader_and_libraries() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let names = needs(&own).expect("the test program is ELF64");
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
}
