//! Services that run to their end before others start.

use super::{RuntimeError, Shared, journal};
use manifest::{Lifetime, Service};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sandbox::{Child, Exit};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// Runs `service` to its end.
///
/// # Errors
/// When it can't be started, takes longer than its deadline, or fails.
pub(super) fn run(shared: &Shared, service: &Service) -> Result<(), RuntimeError> {
    let Lifetime::Once { deadline } = service.lifetime else {
        return Ok(());
    };
    let errors = journal::standard_error(&shared.journal, service.name.as_str())?;
    let mut child = sandbox::spawn(&shared.spec(service, "")?, vec![(errors, 2)])?;
    let how = match wait_or_stop(shared, &mut child, Instant::now() + deadline)? {
        Some(Exit::Code(0)) => return Ok(()),
        Some(exit) => format!("{exit:?}"),
        None => format!("not done in {deadline:?}; killed"),
    };
    Err(RuntimeError::Ended {
        service: service.name.to_string(),
        how,
    })
}

/// Waits until `child` has ended or the time is `end`.
///
/// # Errors
/// What the kernel says.
pub(super) fn wait(child: &mut Child, end: Instant) -> Result<Option<Exit>, RuntimeError> {
    wait_beside(child, &[], end)
}

/// As [`wait`], and no longer than until one of `others` can be read.
pub(super) fn wait_beside(
    child: &mut Child,
    others: &[BorrowedFd<'_>],
    end: Instant,
) -> Result<Option<Exit>, RuntimeError> {
    let failed = |errno: nix::errno::Errno| RuntimeError::Io {
        what: child_name(errno),
        source: errno.into(),
    };
    loop {
        if let Some(exit) = child.try_wait().map_err(failed)? {
            return Ok(Some(exit));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        // Rounded up, or the last millisecond would be spent spinning.
        let left = left.min(Duration::from_secs(3600)).as_millis() + 1;
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let watched = [child.pidfd()].into_iter().chain(others.iter().copied());
        let mut watched: Vec<PollFd<'_>> = watched
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut watched, left) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let mut ready = watched.iter().map(|fd| fd.any().unwrap_or(false));
        let ended = ready.next().unwrap_or(false);
        if !ended && ready.any(|ready| ready) {
            return Ok(None);
        }
    }
}

/// As [`wait`], and no longer than the app runs.
pub(super) fn wait_or_stop(
    shared: &Shared,
    child: &mut Child,
    end: Instant,
) -> Result<Option<Exit>, RuntimeError> {
    loop {
        let look = end.min(Instant::now() + Duration::from_secs(1));
        match wait(child, look)? {
            None if look < end && !shared.is_stopping() => {}
            other => return Ok(other),
        }
    }
}

fn child_name(errno: nix::errno::Errno) -> String {
    format!("waiting for a sandbox ({errno})")
}
