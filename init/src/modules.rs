//! Kernel modules from a list of files, in the list's order.
//!
//! The list is made at build time with every dependency before its user, so
//! no `modules.dep`, no alias and no `modprobe` is needed. Files stay
//! compressed: the kernel unpacks `.ko.xz` itself (Linux 5.17 and later).

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use std::fs::File;
use std::path::{Path, PathBuf};

/// `MODULE_INIT_COMPRESSED_FILE` of `include/uapi/linux/module.h`; nix has no
/// name for it yet.
const COMPRESSED_FILE: u32 = 4;

/// Loads every module named in `list`, whose lines are paths below `base`.
/// What cannot be loaded is said to `log` and does not stop the rest.
pub fn load_list(list: &Path, base: &Path, log: &mut dyn FnMut(&str)) {
    for module in read_list(list, base, log) {
        load(&module, log);
    }
}

/// The files named in `list`, which are paths below `base`, one a line.
pub fn read_list(list: &Path, base: &Path, log: &mut dyn FnMut(&str)) -> Vec<PathBuf> {
    match std::fs::read_to_string(list) {
        Ok(text) => paths(&text, base),
        Err(error) => {
            log(&format!("{}: no modules loaded: {error}", list.display()));
            Vec::new()
        }
    }
}

/// Loads one module, and says to `log` if that failed in a way that matters.
pub fn load(module: &Path, log: &mut dyn FnMut(&str)) {
    let result = File::open(module).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)));
    let result = result.map(|file| {
        let compressed = module.extension().is_some_and(|kind| kind != "ko");
        let flags = if compressed { COMPRESSED_FILE } else { 0 };
        finit_module(file, c"", ModuleInitFlags::from_bits_retain(flags))
    });
    match result {
        Ok(Ok(())) => {}
        // Not for this board, or already there: what one list for all boards means.
        Ok(Err(Errno::ENODEV | Errno::EEXIST | Errno::ENXIO)) => {}
        Ok(Err(error)) | Err(error) => {
            log(&format!(
                "{}: not loaded: {}",
                module.display(),
                error.desc()
            ));
        }
    }
}

/// A leading slash is the root of the tree below `base`; blank lines and
/// comments are skipped.
fn paths(text: &str, base: &Path) -> Vec<PathBuf> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| base.join(line.trim_start_matches('/')))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_its_order_and_stays_below_the_base() {
        let found = paths(
            "/modules/z.ko.xz\n\n# why\nmodules/a.ko.xz\n",
            Path::new("/base"),
        );
        assert_eq!(
            found,
            ["/base/modules/z.ko.xz", "/base/modules/a.ko.xz"].map(PathBuf::from)
        );
    }

    #[test]
    fn a_missing_list_and_a_missing_module_are_said_and_survived() {
        let mut said = Vec::new();
        load_list(
            Path::new("/nonexistent/list"),
            Path::new("/"),
            &mut |line| said.push(line.to_owned()),
        );
        load(Path::new("/nonexistent/x.ko.xz"), &mut |line| {
            said.push(line.to_owned())
        });
        assert_eq!(said.len(), 2);
        assert!(
            said[0].starts_with("/nonexistent/list: no modules loaded: "),
            "{}",
            said[0]
        );
        assert_eq!(
            said[1],
            "/nonexistent/x.ko.xz: not loaded: No such file or directory"
        );
    }
}
