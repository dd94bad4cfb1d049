//! The folders of an app on the encrypted disk, and whose they are.
//!
//! A folder belongs to the service that writes it. Where one other service
//! reads it, the folder's group is that reader's, and files made in it get the
//! same group (inode(7), the set-group-ID bit); the writer decides by the
//! file's mode whether the reader may have it. In a folder of a service with
//! many ids, each of them finds the way to what is its own. What no service
//! writes is the supervisor's own. Only root gets to the folders at all; a
//! sandbox has them bound.

use crate::ids::{Ids, IdsError};
use crate::spec::ONE;
use manifest::{App, ChannelKind, Ids as IdsKind, Mode, Service};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// A folder that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A service has no ids.
    #[error(transparent)]
    Ids(#[from] IdsError),
}

/// Makes the folders of all volumes of `app` below `folder`, with their owners
/// and modes, and gives every service and every relay its ids. Returns the first
/// id of each, by name.
///
/// # Errors
/// When a folder can't be made or an id not be written down.
pub fn make(app: &App, folder: &Path) -> Result<BTreeMap<String, u32>, VolumeError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| VolumeError::Io { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(failed(folder))?;
    let mut ids = Ids::open(&folder.join("ids"))?;
    let mut first = BTreeMap::new();
    for service in &app.services {
        let name = service.name.to_string();
        first.insert(name.clone(), ids.first(&name)?);
    }
    let channels = app.services.iter().flat_map(|service| &service.provides);
    for channel in channels {
        if let ChannelKind::Relay { .. } = channel.kind {
            let name = relay_name(channel.name.as_str());
            first.insert(name.clone(), ids.first(&name)?);
        }
    }
    let runs_as = |service: &Service| {
        let base = first[service.name.as_str()];
        match service.ids {
            IdsKind::Range => base,
            IdsKind::One => base + ONE,
        }
    };
    let mut volumes: BTreeMap<&str, Vec<(&Service, Mode)>> = BTreeMap::new();
    for service in &app.services {
        for volume in &service.volumes {
            let users = volumes.entry(volume.name.as_str()).or_default();
            users.push((service, volume.mode));
        }
    }
    for (name, users) in volumes {
        let writer = users.iter().find(|(_, mode)| *mode == Mode::ReadWrite);
        let readers: Vec<_> = users
            .iter()
            .filter(|(_, mode)| *mode == Mode::ReadOnly)
            .collect();
        let (owner, group, mode) = match (writer, readers.as_slice()) {
            (Some((writer, _)), [(reader, _)]) => {
                (runs_as(writer), runs_as(reader), 0o2750 | passage(writer))
            }
            (Some((writer, _)), _) => (runs_as(writer), runs_as(writer), 0o700 | passage(writer)),
            (None, _) => (0, 0, 0o755),
        };
        let path = folder.join(name);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(&path)(error));
            }
            _ => {}
        }
        // What is so already is left alone: in a folder that no service writes,
        // the supervisor may have mounted something that can't be changed.
        let now = fs::metadata(&path).map_err(failed(&path))?;
        if (now.uid(), now.gid(), now.mode() & 0o7777) == (owner, group, mode) {
            continue;
        }
        // The owner first: chown(2) takes the set-group-ID bit away.
        chown(&path, Some(owner), Some(group)).map_err(failed(&path))?;
        fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(failed(&path))?;
    }
    Ok(first)
}

/// What the ids of a writer with many need to get to what is their own.
fn passage(writer: &Service) -> u32 {
    match writer.ids {
        IdsKind::Range => 0o011,
        IdsKind::One => 0,
    }
}

/// What a channel's relay is called beside services: as none of them can be.
pub(crate) fn relay_name(channel: &str) -> String {
    format!("relay:{channel}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_folder_is_its_writer_s_and_its_one_reader_is_the_group() {
        let text = include_str!("../../apps/email/app.yaml");
        let app = manifest::read("app.yaml", text).unwrap();
        let disk = tempfile::tempdir().unwrap();
        let folder = disk.path().join("email");
        // The second time finds what the first made.
        let first = make(&app, &folder).unwrap();
        assert_eq!(make(&app, &folder).unwrap(), first);
        let of = |name: &str| {
            let meta = fs::metadata(folder.join(name)).unwrap();
            (meta.uid(), meta.gid(), meta.mode() & 0o7777)
        };
        let (signer, maker) = (first["signer"] + ONE, first["imap-certificate"] + ONE);
        let dovecot = first["dovecot"];
        assert_eq!(of("keys"), (signer, signer, 0o700));
        assert_eq!(of("tls"), (maker, dovecot, 0o2750));
        assert_eq!(of("mail"), (dovecot, dovecot, 0o711));
        let gate = first["gate"] + ONE;
        assert_eq!(of("learned"), (dovecot, gate, 0o2751));
        assert_eq!(of("."), (0, 0, 0o700));
        assert_eq!(of("people"), (0, 0, 0o755));
        assert_eq!(of("rules"), (0, 0, 0o755));
        assert_eq!(of("door"), (0, 0, 0o755));
    }

    #[test]
    fn what_is_mounted_read_only_in_a_folder_that_no_service_writes_stays() {
        use nix::mount::{MntFlags, MsFlags, mount, umount2};
        let text = include_str!("../../apps/email/app.yaml");
        let app = manifest::read("app.yaml", text).unwrap();
        let disk = tempfile::tempdir().unwrap();
        let rules = disk.path().join("rules");
        fs::create_dir(&rules).unwrap();
        let (kind, data) = (Some("tmpfs"), Some("mode=0755"));
        mount(kind, &rules, kind, MsFlags::MS_RDONLY, data).unwrap();
        let made = make(&app, disk.path());
        umount2(&rules, MntFlags::empty()).unwrap();
        made.unwrap();
    }
}
