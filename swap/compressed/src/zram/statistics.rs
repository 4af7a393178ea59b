//! What a device counts: the numbers of `mm_stat` and `io_stat`.

use crate::level::Level;

#[derive(Default)]
pub(super) struct Statistics {
    /// Slots that have a page.
    pub(super) stored: Level,
    /// Slots whose page is one repeated word.
    pub(super) same: Level,
    /// Slots whose page would not get shorter.
    pub(super) huge: Level,
    /// Such pages ever.
    pub(super) huge_ever: Level,
    pub(super) failed_reads: Level,
    pub(super) failed_writes: Level,
    /// Slots freed by swap, or by discarding.
    pub(super) notify_free: Level,
    /// Slots that were busy when swap freed them.
    pub(super) miss_free: Level,
}
