//! The images behind dm-verity, and how they are.

use control::DamageKind;
use init::device_mapper;
use std::fs;
use std::path::Path;

/// The system's device, as `early` calls it.
const SYSTEM: &str = "system";

/// The names of the images in which a block was read that is not what was signed.
/// The kernel says `C` until the device is gone.
pub fn corrupted() -> Vec<String> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let names = devices.filter_map(|entry| name_of(&entry.path()));
    names
        .filter(|name| {
            let status = device_mapper::status(name);
            status.is_ok_and(|(target, says)| target == "verity" && says.starts_with('C'))
        })
        .collect()
}

/// The name of the image that lies on a device, `7:0` say: of whatever the kernel
/// holds on it. `None` when it is gone.
pub fn on_device(number: &str) -> Option<String> {
    let holders = format!("/sys/dev/block/{number}/holders");
    let mut holders = fs::read_dir(holders).ok()?.flatten();
    holders.find_map(|entry| name_of(&Path::new("/sys/block").join(entry.file_name())))
}

/// Damage of an image of that name; an app's is taken away when it can't be mounted,
/// so one without a name is an app's.
pub fn kind(name: Option<&str>) -> DamageKind {
    match name {
        Some(SYSTEM) => DamageKind::System,
        _ => DamageKind::App,
    }
}

fn name_of(device: &Path) -> Option<String> {
    let name = fs::read_to_string(device.join("dm/name")).ok()?;
    Some(name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_image_is_told_from_an_apps() {
        assert_eq!(kind(Some("system")), DamageKind::System);
        for app in [Some("app-email"), Some("email-rules-0123"), None] {
            assert_eq!(kind(app), DamageKind::App);
        }
    }
}
