//! What a root is put together for: the box, or the machine here, on which the
//! same services run without an emulator (`cargo xtask campaign`).

use anyhow::{Result, bail};
use sandbox::policy::Arch;

/// One of the two kinds of machine that sandbox policies are written for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Architecture {
    /// The box's.
    #[default]
    Arm64,
    /// A PC's.
    Amd64,
}

impl Architecture {
    /// This machine's.
    ///
    /// # Errors
    /// When it is neither.
    pub fn here() -> Result<Self> {
        match std::env::consts::ARCH {
            "aarch64" => Ok(Self::Arm64),
            "x86_64" => Ok(Self::Amd64),
            other => bail!("the services do not run on {other}, only on x86_64 and aarch64"),
        }
    }

    /// Debian's name.
    pub fn debian(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::Amd64 => "amd64",
        }
    }

    /// What sandbox policies are compiled for.
    pub fn of_policies(self) -> Arch {
        match self {
            Self::Arm64 => Arch::Aarch64,
            Self::Amd64 => Arch::X86_64,
        }
    }

    /// Rust's target.
    pub fn target(self) -> &'static str {
        match self {
            Self::Arm64 => super::toolchain::TARGET,
            Self::Amd64 => "x86_64-unknown-linux-gnu",
        }
    }

    /// The name of Debian's folder of libraries, below `/usr/lib`.
    pub fn libraries(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-linux-gnu",
            Self::Amd64 => "x86_64-linux-gnu",
        }
    }
}
