//! What memory asks of the rooms above it: who has memory, and what else is to happen when it is short. One table, which the top
//! fills in at its start.

use alloc::sync::Arc;
use core::fmt;

use quire_swap::Disk;
use spin::Once;

use crate::swap::Quire;

/// A process, as far as its memory goes. It is shown as messages name it.
pub trait Process: fmt::Display + Send + Sync {
    /// Its number.
    fn pid(&self) -> u32;

    /// Its memory, which another process may share.
    fn memory(&self) -> Option<Arc<dyn Memory>>;

    /// The number of its memory cgroup.
    fn memory_cgroup(&self) -> u8;

    /// What is added to its badness, in thousandths of all memory.
    fn oom_score_adjustment(&self) -> i32;

    /// Whether nothing may kill it: it is process 1.
    fn is_immortal(&self) -> bool;

    /// Whether its memory is lent by its parent, which waits for it.
    fn borrows_memory(&self) -> bool;

    /// Whether it has been killed, and ends.
    fn is_killed(&self) -> bool;

    /// Kills it, whatever it ignores.
    fn kill(&self);
}

/// What the killing of a process would free, and how that is done.
pub trait Memory: Send + Sync {
    /// Pages in memory and in swap, and page tables. Waits for nothing.
    fn weight(&self) -> usize;

    /// What makes up its weight. Waits for nothing.
    fn usage(&self) -> Weights;

    /// Takes away the private memory, which no program uses again; returns how many pages that were. Waits for no lock that
    /// sleeps.
    fn reap(&self) -> usize;

    /// Whether [`Self::reap`] was called.
    fn is_reaped(&self) -> bool;

    /// It was reaped, and what it has still is not waited for any more.
    fn give_up(&self);

    /// Whether [`Self::give_up`] was called (Linux: `MMF_OOM_SKIP`).
    fn is_given_up(&self) -> bool;
}

/// What a process weighs, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// In memory.
    pub resident: usize,
    /// In swap.
    pub swapped: usize,
    /// Page tables.
    pub tables: usize,
}

/// Who answers what.
pub struct Upcalls {
    /// The process with the next larger number, if there is one. Takes a lock for that alone.
    pub process_after: fn(pid: u32) -> Option<Arc<dyn Process>>,
    /// Fewer frames are free than the low watermark: asked by `kswapd`, before it reclaims.
    pub memory_is_low: fn(),
    /// Compressed pages are to be written back (`Zswap::shrink`), which sleeps: wakes the thread that does it.
    pub wake_shrinker: fn(),
    /// The block device with this path.
    pub find_disk: fn(path: &str) -> Option<Arc<dyn Disk<Quire>>>,
}

static UPCALLS: Once<&'static Upcalls> = Once::new();

/// Fills the table in, before the first program starts.
pub fn install(upcalls: &'static Upcalls) {
    UPCALLS.call_once(|| upcalls);
}

/// The table.
///
/// # Panics
/// Before [`install`].
pub(crate) fn upcalls() -> &'static Upcalls {
    UPCALLS.get().expect("the table is filled in before anything is asked of it")
}

/// Every process, by number. Those that come and go meanwhile may be among them.
pub(crate) fn processes() -> impl Iterator<Item = Arc<dyn Process>> {
    let mut last = 0;
    core::iter::from_fn(move || {
        let next = (upcalls().process_after)(last)?;
        last = next.pid();
        Some(next)
    })
}
