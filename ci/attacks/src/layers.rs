//! Protections that can be taken away.

use sandbox::weak::{self, Protection};
use std::fmt;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Of the sandbox.
    Sandbox(Protection),
    /// A step of SpamAssassin's child: `zygote::weak::REMOVABLE`.
    Child(&'static str),
    /// The size of folders in memory.
    ScratchSize,
}

impl Layer {
    /// The one that a line names.
    pub fn named(name: &str) -> Self {
        let found = all(true).into_iter().find(|l| l.to_string() == name);
        found.unwrap_or_else(|| panic!("{name:?} is no protection"))
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layer::Sandbox(protection) => {
                for (index, letter) in format!("{protection:?}").chars().enumerate() {
                    if index > 0 && letter.is_uppercase() {
                        out.write_str("-")?;
                    }
                    write!(out, "{}", letter.to_ascii_lowercase())?;
                }
                Ok(())
            }
            Layer::Child(name) => write!(out, "child-{name}"),
            Layer::ScratchSize => out.write_str("scratch-size"),
        }
    }
}

/// Those that keep it apart, in the order in which a line has them after the policy.
const APART: [Protection; 4] = [
    Protection::Root,
    Protection::PidNamespace,
    Protection::NetworkNamespace,
    Protection::IpcNamespace,
];

/// All in the order of a line: the child's first where there is one, then the
/// policy and what keeps it apart.
pub fn all(child: bool) -> Vec<Layer> {
    let steps = zygote::weak::REMOVABLE.into_iter().rev();
    let steps = steps.filter(|_| child).map(Layer::Child);
    let first = [Protection::Seccomp].into_iter().chain(APART);
    let named: Vec<Protection> = first.collect();
    let rest = weak::ALL.into_iter().filter(|p| !named.contains(p));
    let sandbox: Vec<Protection> = named.iter().copied().chain(rest).collect();
    let sandbox = sandbox.into_iter().map(Layer::Sandbox);
    steps.chain(sandbox).chain([Layer::ScratchSize]).collect()
}

/// The same in the order in which they are given back, to see which are needed:
/// the wide ones first, so that a line rather names narrow ones.
pub fn to_give_back(child: bool) -> Vec<Layer> {
    let root = [Protection::UserNamespace, Protection::Capabilities];
    let wide: Vec<Layer> = APART.into_iter().chain(root).map(Layer::Sandbox).collect();
    let rest = all(child).into_iter().filter(|l| !wide.contains(l)).rev();
    wide.iter().copied().chain(rest).collect()
}
