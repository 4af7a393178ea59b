//! Whether reclaim gets anywhere: frames that have come free, and writes that are on their way.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use quire_machine::task::WaitQueue;

static FREED: WaitQueue = WaitQueue::new();
static FREED_FRAMES: AtomicU64 = AtomicU64::new(0);
static WRITES_UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
/// Writes that a disk refused.
static FAILED_WRITES: AtomicUsize = AtomicUsize::new(0);

/// Frames are free that were not: of a reclaimed folio, or of a task that has ended.
pub fn frames_freed() {
    FREED_FRAMES.fetch_add(1, Ordering::Release);
    FREED.wake_all();
}

/// Sleeps until `condition` holds, which is looked at when frames have come free, or `deadline` has passed; returns whether it
/// holds.
pub(crate) fn wait_for_freed_until(deadline: Duration, condition: impl FnMut() -> bool) -> bool {
    FREED.wait_until_or(deadline, condition)
}

/// Writes of folios that were started and have not ended.
pub fn writes_under_way() -> usize {
    WRITES_UNDER_WAY.load(Ordering::Acquire)
}

/// How often frames have come free.
pub(crate) fn freed() -> u64 {
    FREED_FRAMES.load(Ordering::Acquire)
}

/// How many writes disks have refused.
pub(crate) fn failed_writes() -> usize {
    FAILED_WRITES.load(Ordering::Acquire)
}

/// A write of a folio begins.
pub(crate) fn write_started() {
    WRITES_UNDER_WAY.fetch_add(1, Ordering::AcqRel);
}

/// The writes of so many folios are over, whatever came of them: those who wait for one look again.
pub(crate) fn writes_are_over(folios: usize) {
    WRITES_UNDER_WAY.fetch_sub(folios, Ordering::AcqRel);
}

/// Those who wait for frames look again: a write is over that freed none.
pub(crate) fn look_again() {
    FREED.wake_all();
}

/// An area refused to take a folio.
pub(crate) fn write_failed() {
    FAILED_WRITES.fetch_add(1, Ordering::Release);
}
