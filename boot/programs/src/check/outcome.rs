//! What a check says, and what it requires.

use std::{
    ptr,
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{errno::Errno, libc, sys::signal::Signal};

use crate::process::End;

/// A check: its name and what it does, which returns what did not hold.
pub(super) type Check = (&'static str, fn() -> Outcome);

/// What a check found.
pub(super) type Outcome = Result<(), Failure>;

/// What did not hold, for a person.
#[derive(Debug)]
pub(super) struct Failure(pub(super) String);

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Fails a check unless `condition` holds.
macro_rules! require {
    ($condition:expr, $($why:tt)*) => {
        if !$condition {
            return Err($crate::check::outcome::Failure(format!($($why)*)));
        }
    };
}
pub(super) use require;

/// Against an event that never comes: far longer than any takes on a slow and busy machine.
pub(super) const LONGEST_WAIT: Duration = Duration::from_mins(2);

/// Waits for an event, however long that takes.
pub(super) fn wait_until(what: &str, mut has_come: impl FnMut() -> Result<bool, Failure>) -> Outcome {
    let start = Instant::now();
    while !has_come()? {
        require!(start.elapsed() < LONGEST_WAIT, "waited for {what} in vain");
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Has SIGALRM come again and again, so that one comes after the next call has begun to wait, however late that is.
pub(super) fn alarm_every(interval: Duration) -> nix::Result<()> {
    let each = libc::timeval { tv_sec: interval.as_secs().cast_signed(), tv_usec: i64::from(interval.subsec_micros()) };
    let timer = libc::itimerval { it_interval: each, it_value: each };
    // SAFETY: the timer is an `itimerval`, and the old one is not asked for.
    Errno::result(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) }).map(drop)
}

/// Fails unless `work`, in a process of its own, is ended by `signal`.
pub(super) fn require_killed(by: Signal, what: &str, work: impl FnOnce() -> i32) -> Outcome {
    let end = crate::process::end_of(work)?;
    require!(end == End::Killed(by), "{what} gave {end}, not {by}");
    Ok(())
}

/// Fails unless `work`, in a process of its own, exits with status 0.
pub(super) fn require_success(what: &str, work: impl FnOnce() -> Outcome) -> Outcome {
    let end = crate::process::end_of(|| match work() {
        Ok(()) => 0,
        Err(Failure(why)) => {
            println!("  {what}: {why}");
            1
        }
    })?;
    require!(end == End::Exited(0), "{what}: {end}");
    Ok(())
}
