//! The programs that others run, as the internet of all tests has them
//! (`ci/internet/src/tree.rs`), and what only this world adds: the box's name.

use super::internet::BOX;
use super::readers::SERVER;
use crate::tool::Tool;
pub(super) use ::internet::Daemon;
pub(super) use ::internet::tree::{EXIM, Peers, WORLD};
use anyhow::Result;
use std::fs;
use std::ops::Deref;
use std::path::Path;

/// A tree of programs.
#[derive(Debug, Clone)]
pub(super) struct Tree(::internet::tree::Tree);

impl Tree {
    /// Unpacks the tree if it is not there. Needs the network, so not for inside
    /// of the test's world.
    pub(super) fn unpack(which: Peers) -> Result<Self> {
        ::internet::tree::Tree::unpack(which).map(Self)
    }

    /// Makes the tree ready for programs, which know the box's name, and shares
    /// `folder` with them. The mounts go with this process's mount namespace,
    /// which must be its own.
    pub(super) fn enter(&self, folder: &Path) -> Result<()> {
        self.0.enter(folder)?;
        let hosts = folder.join("hosts");
        fs::write(&hosts, format!("{BOX} {SERVER}\n"))?;
        self.lay_over(&hosts, "/etc/hosts")
    }

    /// A program of the tree, to be run to its end.
    pub(super) fn tool(&self, program: &str) -> Tool {
        Tool::of(self.command(&[program]), "coreutils")
    }
}

impl Deref for Tree {
    type Target = ::internet::tree::Tree;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
