//! The system image: the host root, the kernel's modules and the keys that an
//! app may be signed with, packed as [`squashfs`].

use super::assemble::{self, Assembled};
use super::board::Board;
use super::kernel::Kernel;
use super::programs::Programs;
use super::root::Root;
use super::sign::AppKey;
use super::squashfs;
use super::step::{Key, Steps};
use crate::tool::tool;
use crate::workspace;
use anyhow::Result;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Our files in the image.
const OURS: &str = "usr/lib/projectx";
/// Where the system looks for the public halves.
const APP_KEYS: &str = "usr/share/projectx/app-keys";

/// The parts of a finished system image.
#[derive(Debug)]
pub struct System {
    /// The image with its hash tree.
    pub image: PathBuf,
    /// The lines that the early stage opens it with.
    pub verity: PathBuf,
    /// Packages and their versions, for people.
    pub packages: PathBuf,
}

/// Makes it. Apps signed with `app_key` will be taken.
pub fn make(
    steps: &Steps,
    root: &Root,
    board: &Board,
    host_tar: Option<&Path>,
    kernel: &Kernel,
    programs: &Programs,
    app_key: &AppKey,
) -> Result<System> {
    let folder = steps.cache().join(format!("{}-system", board.name));
    let build_time = build_time();
    let key = Key::new(include_str!("system.rs"))
        .text(include_str!("squashfs.rs"))
        .text(&build_time.to_string())
        .text(&kernel.system_load_list.join("\n"))
        .text(&app_key.public_text())
        .folder(&kernel.system_modules)?;
    let key = assemble::key(key, root, host_tar, programs)?;
    let system = System {
        image: folder.join("system.img"),
        verity: folder.join("system.verity"),
        packages: folder.join("system.txt"),
    };
    steps.make("system image", key, &folder, |new| {
        fs::create_dir_all(new)?;
        let Assembled {
            mut tree,
            packages,
            licences,
        } = assemble::assemble(root, host_tar, programs)?;
        for (package, text) in licences {
            tree.put_file(&format!("usr/share/doc/{package}/copyright"), text);
        }
        tree.lay_over(&kernel.system_modules)?;
        tree.put_file(
            &format!("{OURS}/modules.txt"),
            kernel.system_load_list.join("\n") + "\n",
        );
        tree.put_file(&format!("{OURS}/build-time"), format!("{build_time}\n"));
        tree.put_file(
            &format!("{APP_KEYS}/{}", app_key.public_file()),
            app_key.public_text(),
        );
        let linux = ("linux".to_owned(), kernel.version.clone());
        let lines: BTreeSet<String> = packages
            .into_iter()
            .chain([linux])
            .map(|(name, version)| format!("{name} {version}\n"))
            .collect();
        fs::write(
            new.join("system.txt"),
            lines.into_iter().collect::<String>(),
        )?;
        squashfs::make(&tree, &new.join("system.img"), &new.join("system.verity"))
    })?;
    Ok(system)
}

/// Seconds since 1970 that the box, which has no clock, starts from: that of
/// SOURCE_DATE_EPOCH or of the last commit, else this morning.
fn build_time() -> u64 {
    let commit = || {
        let output = tool("git", "git")
            .args(["log", "-1", "--format=%ct"])
            .in_folder(workspace::root())
            .output();
        output
            .ok()
            .and_then(|text| String::from_utf8(text).ok())?
            .trim()
            .parse()
            .ok()
    };
    let today = || {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        now.as_secs() / 86400 * 86400
    };
    let given = std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|text| text.parse().ok());
    given.or_else(commit).unwrap_or_else(today)
}
