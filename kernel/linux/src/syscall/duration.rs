//! Times as programs give them.

use core::time::Duration;

use quire_machine::user::{UserPtr, Word};

use crate::errno::Errno;

pub(super) const MICROSECONDS: u32 = 1_000_000;
pub(super) const NANOSECONDS: u32 = 1_000_000_000;

/// A C structure of a time: seconds and a part of a second (`struct timespec`, `struct timeval`).
pub(super) type Time = [Word; 2];

/// The time of a structure with `parts` parts in a second: one that is not negative, of less than a second's parts.
pub(super) fn duration([seconds, part]: Time, parts: u32) -> Result<Duration, Errno> {
    let seconds = u64::try_from(seconds.long()).map_err(|_| Errno::EINVAL)?;
    let part = part.count(parts as usize - 1).ok_or(Errno::EINVAL)?;
    Ok(Duration::new(seconds, part as u32 * (NANOSECONDS / parts)))
}

/// Reads Linux's `struct timespec`.
pub(super) fn read_duration(from: UserPtr<Time>) -> Result<Duration, Errno> {
    duration(from.read()?, NANOSECONDS)
}

/// Writes Linux's `struct timespec`.
pub(super) fn write_duration(to: UserPtr<[u64; 2]>, duration: Duration) -> Result<(), Errno> {
    Ok(to.write([duration.as_secs(), duration.subsec_nanos().into()])?)
}

pub(super) fn microseconds(duration: Duration) -> [u64; 2] {
    [duration.as_secs(), duration.subsec_micros().into()]
}
