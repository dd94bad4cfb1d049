//! Single bytes between the supervisor and PID 1. PID 1 parses nothing longer.

/// Supervisor to PID 1: every part of the supervisor is running. Sent every
/// 2 seconds; PID 1 stops feeding the watchdog when none came for 10 seconds.
pub const HEALTHY: u8 = b'h';
/// Supervisor to PID 1: shut down in order, then restart the box.
pub const REBOOT: u8 = b'r';
/// Supervisor to PID 1: shut down in order, then switch the power off.
pub const POWER_OFF: u8 = b'p';
/// PID 1 to supervisor: stop every service, close the disk and exit.
pub const STOP: u8 = b's';
/// The descriptor at which the supervisor finds its end of the pair.
pub const FD: i32 = 3;
