//! What compressed pages need of the machine beside what the core does: frames, disks by name, and a thread that writes back.

use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::AtomicU64;

use quire_swap::header::Page;
use quire_swap::{Counter, Disk, MAX_CPUS, Machine, page};

/// The backend that stores a compressed page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredBy {
    /// A zram device.
    Zram,
    /// zswap, in the pool before the areas.
    Zswap,
}

/// Where the figures of a pool are, for those who look at memory from outside.
#[derive(Clone, Copy, Debug)]
pub struct PoolLayout<'a> {
    /// The path of the zram device; `zswap`.
    pub name: &'a str,
    /// The size of the device, in pages; 0 for zswap.
    pub pages: u64,
    /// How many pages it holds, on its backing device too; of zswap how many objects.
    pub stored: &'a AtomicU64,
    /// How many pages are one repeated word; of zswap these are beside `stored`, of zram among it.
    pub same: &'a AtomicU64,
    /// How many would not get shorter. zswap does not take them.
    pub incompressible: Option<&'a AtomicU64>,
    /// How many bytes the objects have.
    pub compressed: &'a AtomicU64,
    /// How many frames these take.
    pub frames: &'a AtomicU64,
    /// What else is counted, by name; it stays.
    pub counters: &'a [(&'static str, &'a Counter)],
}

/// A machine that pages can be compressed on.
pub trait PoolMachine: Machine {
    /// How many processors there are, at least 1: each gets its own workspace for compression.
    fn cpus() -> usize {
        MAX_CPUS
    }

    /// [`Machine::now`] in seconds, for the age of pages.
    fn seconds() -> u32 {
        Self::now().as_secs() as u32
    }

    /// A frame for compressed pages, contents undefined; `None` when even the reserve for this has none. Called on the way
    /// out and under spinning locks: it must not sleep.
    fn allocate_frame() -> Option<u64>;

    /// Takes back a frame from [`PoolMachine::allocate_frame`]; panics if it is none.
    fn free_frame(frame: u64);

    /// Reads some bytes of such a frame, when no task writes to it; panics if it is none. The caller has its own reasons to know
    /// that these bytes are not written meanwhile, but the machine does not rely on them.
    fn with_frame<R>(frame: u64, bytes: Range<usize>, read: impl FnOnce(&[u8]) -> R) -> R;

    /// Writes some bytes of such a frame, when no task reads it or writes to it; as [`PoolMachine::with_frame`]. One frame may be
    /// read by the caller meanwhile, but not the same.
    fn with_frame_mut<R>(frame: u64, bytes: Range<usize>, write: impl FnOnce(&mut [u8]) -> R) -> R;

    /// The 8-byte word that the whole page repeats, if there is one, found in the way that the machine does it best.
    fn repeated_word(page: &Page) -> Option<u64> {
        page::repeated_word(page)
    }

    /// Makes the whole page repeat one word.
    fn fill(page: &mut Page, word: u64) {
        page::fill(page, word);
    }

    /// The block device or file with this path, if there is one: for zram's backing device.
    fn find_disk(_path: &str) -> Option<Arc<dyn Disk<Self>>> {
        None
    }

    /// A page was compressed and stored, in so many bytes.
    #[inline]
    fn stored(_by: StoredBy, _bytes: usize) {}

    /// These of a batch's folios were stored before their area's own backend, in the order of the batch; the others were not.
    fn stored_of_batch<'a>(_folios: impl Iterator<Item = (&'a Self::Folio, bool)>) {}

    /// A page that was stored in so many bytes was loaded.
    #[inline]
    fn loaded(_by: StoredBy, _bytes: usize) {}

    /// A pool is in use, and its figures are where this says until [`Self::pool_gone`].
    fn pool_made(_pool: &PoolLayout<'_>) {}

    /// The pool with this [`PoolLayout::stored`] is about to go, if it was ever in use.
    fn pool_gone(_stored: &AtomicU64) {}

    /// Whether the task that runs this was killed: what a long loop has left to do for it is of no use to any other.
    fn is_killed() -> bool {
        false
    }

    /// Pages are to be written back by [`Zswap::shrink`](crate::zswap::Zswap::shrink), which sleeps: wakes the thread that
    /// calls it.
    fn wake_shrinker();
}
