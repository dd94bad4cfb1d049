//! Measures how fast the kernel encrypts and decrypts sectors with each cipher that
//! the disk could have, for `cargo xtask bench card`. No image holds it.
//!
//! ```text
//! ciphers SECONDS
//! ```
//!
//! The kernel is asked by AF_ALG (Documentation/crypto/userspace-if.rst), [`SECTOR`]
//! bytes a request, as dm-crypt asks it on this disk. The time of the request itself
//! counts with it, alike for all. It prints one JSON object: for each cipher megabytes
//! (10^6 bytes) a second, or why it does not work here.
//!
//! A Raspberry Pi 3 has no AES instructions, which an emulated processor may have; so
//! AES is asked for by the name of the fastest driver that uses none (`xts-aes-neonbs`,
//! bit-sliced), whose module the box holds and does not load.

mod sys;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::sys::socket::sockopt::AlgSetKey;
use nix::sys::socket::{
    AddressFamily, AlgAddr, ControlMessage, MsgFlags, SockFlag, SockType, bind, sendmsg,
    setsockopt, socket,
};
use nix::sys::utsname::uname;
use nix::unistd::read;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use sys::session;

/// Bytes of one request: the disk's sector (`--sector-size` of cryptsetup). dm-crypt has
/// no system calls around each; here they count.
const SECTOR: usize = 512;
/// linux/if_alg.h
const ALG_OP_DECRYPT: i32 = 0;
const ALG_OP_ENCRYPT: i32 = 1;
/// Below the folder of the kernel's modules.
const MODULE: &str = "kernel/arch/arm64/crypto/aes-neon-bs.ko.xz";
/// linux/module.h
const MODULE_INIT_COMPRESSED_FILE: u32 = 4;

/// One that the disk could have: its name, the kernel's, bytes of key and of IV.
struct Cipher {
    name: &'static str,
    kernel: &'static str,
    key: usize,
    iv: usize,
}

const CIPHERS: [Cipher; 5] = [
    Cipher {
        name: "xchacha12,aes-adiantum",
        kernel: "adiantum(xchacha12,aes)",
        key: 32,
        iv: 32,
    },
    Cipher {
        name: "xchacha20,aes-adiantum",
        kernel: "adiantum(xchacha20,aes)",
        key: 32,
        iv: 32,
    },
    Cipher {
        name: "aes-xts, 128 bits, no AES instructions",
        kernel: "xts-aes-neonbs",
        key: 32,
        iv: 16,
    },
    Cipher {
        name: "aes-xts, 256 bits, no AES instructions",
        kernel: "xts-aes-neonbs",
        key: 64,
        iv: 16,
    },
    Cipher {
        name: "aes-cbc, 256 bits, no AES instructions",
        kernel: "cbc-aes-neonbs",
        key: 32,
        iv: 16,
    },
];

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let Some(seconds) = argument.and_then(|text| text.parse().ok()) else {
        eprintln!("usage: ciphers SECONDS");
        return ExitCode::FAILURE;
    };
    if let Err(error) = load_module() {
        eprintln!("ciphers: {MODULE}: {error}");
    }
    let each = Duration::from_secs_f64(seconds);
    let of = |cipher: &Cipher| match measure(cipher, each) {
        Ok([encrypted, decrypted]) => json!({ "encrypt": encrypted, "decrypt": decrypted }),
        Err(error) => json!({ "error": format!("{}: {error}", cipher.kernel) }),
    };
    let all: Map<String, Value> = CIPHERS
        .iter()
        .map(|cipher| (cipher.name.to_owned(), of(cipher)))
        .collect();
    println!("{}", Value::Object(all));
    ExitCode::SUCCESS
}

/// Loads AES without instructions, from the box's own system.
fn load_module() -> std::io::Result<()> {
    let release = uname()?.release().to_owned();
    // The test agent runs programs beside the box's root.
    let folder = Path::new("/proc/1/root/usr/lib/modules").join(release);
    let module = File::open(folder.join(MODULE))?;
    let flags = ModuleInitFlags::from_bits_retain(MODULE_INIT_COMPRESSED_FILE);
    match finit_module(module, c"", flags) {
        Err(Errno::EEXIST) => Ok(()),
        other => Ok(other?),
    }
}

/// Megabytes a second, encrypted and decrypted.
fn measure(cipher: &Cipher, each: Duration) -> Result<[f64; 2], Errno> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let algorithm = socket(AddressFamily::Alg, SockType::SeqPacket, flags, None)?;
    bind(
        algorithm.as_raw_fd(),
        &AlgAddr::new("skcipher", cipher.kernel),
    )?;
    // Two halves alike are refused for XTS.
    let key: Vec<u8> = (1..).take(cipher.key).collect();
    setsockopt(&algorithm, AlgSetKey::default(), &key)?;
    let session = session(&algorithm)?;
    let mut plain: Vec<u8> = (0..=u8::MAX).cycle().take(SECTOR).collect();
    let kept = plain.clone();
    let mut speeds = [0.0; 2];
    let mut sector = plain.clone();
    for (speed, operation) in speeds.iter_mut().zip([ALG_OP_ENCRYPT, ALG_OP_DECRYPT]) {
        request(&session, operation, cipher.iv, &plain, &mut sector)?;
        let (begun, mut count) = (Instant::now(), 0u32);
        while begun.elapsed() < each {
            for _ in 0..16 {
                request(&session, operation, cipher.iv, &plain, &mut sector)?;
            }
            count += 16;
        }
        let megabytes = f64::from(count) * SECTOR as f64 / 1e6;
        *speed = (megabytes / begun.elapsed().as_secs_f64() * 100.0).round() / 100.0;
        // What was encrypted is decrypted next.
        plain.clone_from(&sector);
    }
    // A cipher that does nothing would be the fastest.
    match sector == kept {
        true => Ok(speeds),
        false => Err(Errno::EBADMSG),
    }
}

/// One sector.
fn request(
    session: &OwnedFd,
    operation: i32,
    iv: usize,
    from: &[u8],
    to: &mut [u8],
) -> Result<(), Errno> {
    let iv = vec![7; iv];
    let control = [
        ControlMessage::AlgSetOp(&operation),
        ControlMessage::AlgSetIv(&iv),
    ];
    let bytes = [IoSlice::new(from)];
    let sent = sendmsg::<()>(
        session.as_raw_fd(),
        &bytes,
        &control,
        MsgFlags::empty(),
        None,
    )?;
    let got = read(session, to)?;
    match (sent, got) {
        (SECTOR, SECTOR) => Ok(()),
        _ => Err(Errno::EMSGSIZE),
    }
}
