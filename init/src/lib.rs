//! What PID 1 (`init`), the initramfs stage (`early`) and the supervisor
//! share: small modules, one concept each, no YAML.
//!
//! [`sys`] is the only file with unsafe code. [`plan`], [`health`],
//! [`restart`], [`cmdline`] and [`verity`] decide and touch nothing, so that
//! they are tested on any machine; the others make system calls.

pub mod app_image;
pub mod cmdline;
pub mod console_log;
pub mod console_sandbox;
pub mod device_mapper;
pub mod health;
pub mod kept_log;
pub mod loop_device;
pub mod modules;
pub mod plan;
pub mod power;
pub mod restart;
pub mod sys;
pub mod verity;
pub mod watchdog;
