//! What zswap counts: the numbers that Linux has in debugfs and in `/proc/vmstat`.

use quire_swap::Counter;

use crate::level::Level;

/// Counters that only grow, but for one.
#[derive(Default)]
pub(super) struct Statistics {
    /// Pages stored.
    pub(super) stored: Counter,
    /// Pages loaded from memory.
    pub(super) loaded: Counter,
    /// Pages that went from memory to an area's slot.
    pub(super) written_back: Counter,
    /// Of these, pages whose bytes were written as they were stored.
    pub(super) written_compressed: Counter,
    /// Of these, pages that went to blocks with others.
    pub(super) written_packed: Counter,
    /// Those blocks.
    pub(super) written_blocks: Counter,
    /// Pages that were decompressed to be written.
    pub(super) decompressed_to_write: Counter,
    /// Pages dropped from memory because their slot was freed or written again, or a load took them over.
    pub(super) dropped: Counter,
    /// Pages in memory that repeat 8 bytes.
    pub(super) same: Level,
    pub(super) pool_limit_hit: Counter,
    /// Refused while the pool was shrinking to the threshold of acceptance.
    pub(super) reject_reclaim_fail: Counter,
    pub(super) reject_alloc_fail: Counter,
    pub(super) reject_compress_poor: Counter,
    pub(super) decompress_fail: Counter,
    /// Pages read that had been written as they were stored.
    pub(super) read_compressed: Counter,
    /// Pages that are in memory again, compressed, because another one of their block was read.
    pub(super) taken_back: Counter,
}
