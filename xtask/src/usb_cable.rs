//! The network cable of `rpi3`: pulled out and put in again at every boot.
//!
//! QEMU's USB controller (hw/usb/hcd-dwc2.c) ignores the core reset with which
//! a driver begins, and so keeps from Linux that something is plugged in once
//! U-Boot has seen it: Linux then says `dwc2 3f980000.usb: Not connected` and
//! has no network. A board's controller starts anew for each driver. So the
//! network adapter is plugged in anew when PID 1 says its first words, which
//! is after U-Boot and before Linux's driver for the controller; later would
//! be too late, for Linux then drowns in the controller's interrupts.

use crate::qemu::qmp;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// QEMU's options for the adapter on the network `net`.
pub const DEVICE: [&str; 2] = ["-device", "usb-net,id=cable,netdev=net,port=1"];
/// PID 1's first line.
const LINUX_IS_UP: &str = "init: mounting";
/// Modules take seconds to come to the controller's driver.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Whoever holds this has a hand at the cable; it lets go when dropped.
#[derive(Debug)]
pub struct Cable {
    _lets_go: Sender<()>,
}

impl Cable {
    /// Plugs in anew at every boot that the serial log tells of after its first
    /// `skip` bytes.
    pub fn hold(qmp_socket: PathBuf, serial: PathBuf, skip: usize) -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || watch(&receiver, &qmp_socket, &serial, skip));
        Self { _lets_go: sender }
    }
}

fn watch(end: &Receiver<()>, qmp_socket: &Path, serial: &Path, skip: usize) {
    let mut boots_seen = 0;
    while end.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let log = fs::read(serial).unwrap_or_default();
        let boots = boots(log.get(skip..).unwrap_or_default());
        if boots > boots_seen {
            boots_seen = boots;
            if let Err(error) = plug_in_anew(qmp_socket) {
                eprintln!("the box's network cable: {error}");
            }
        }
    }
}

/// How often Linux came up.
fn boots(log: &[u8]) -> usize {
    memchr::memmem::find_iter(log, LINUX_IS_UP).count()
}

fn plug_in_anew(qmp_socket: &Path) -> std::io::Result<()> {
    let adapter = json!({ "driver": "usb-net", "id": "cable", "netdev": "net",
                          "bus": "usb-bus.0", "port": "1" });
    qmp(
        qmp_socket,
        &[
            json!({ "execute": "device_del", "arguments": { "id": "cable" } }),
            json!({ "execute": "device_add", "arguments": adapter }),
        ],
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_board_gets_its_cable_again() {
        let golden = fs::read(crate::workspace::root().join("ci/golden/boot.txt")).unwrap();
        assert_eq!(boots(b"U-Boot 2025.01\nStarting kernel ...\n"), 0);
        assert_eq!(boots(&golden), 1);
        assert_eq!(boots(&[golden.clone(), golden].concat()), 2);
    }
}
