//! `SwapOps`: what a swap area asks of the backend that keeps its pages.

use crate::area::Area;
use crate::batch::{ReadBatch, WriteBatch};
pub use crate::direction::Direction;
use crate::machine::Machine;
use crate::slot_request::{NoSlot, SlotRequest, Taken};

/// A backend for swap areas (Linux: `struct swap_ops`).
///
/// An area takes its backend at `swapon` and keeps it until `swapoff`. Batches arrive by value: a backend completes
/// each by [`ReadBatch::complete`] or [`WriteBatch::complete`], at once or later and from any task, or moves it to
/// another backend which then does. A batch that is dropped is completed as failed.
pub trait SwapOps<M: Machine>: Send + Sync {
    /// How the core must treat areas of this backend.
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags::default()
    }

    /// How many bits of its own the backend keeps for each slot, for [`Area::metadata`]: 0 or a power of two up to 64.
    /// They exist only in clusters that are in use, are 0 when a slot is allocated, and go with it.
    fn metadata_bits(&self) -> u8 {
        0
    }

    /// How many slots an area has whose header speaks of so many pages, the header's own included in both; not more than
    /// there are pages. A backend that needs pages for itself has fewer.
    fn slots(&self, pages: u64) -> u64 {
        pages
    }

    /// Takes the slots for a folio; only a backend with [`SwapOpsFlags::allocates_slots`] is asked. It says where, and the core
    /// takes what is free there, or leaves it to the core.
    ///
    /// # Errors
    /// [`NoSlot`]: the folio gets slots of another area.
    fn allocate_slots(&self, request: &SlotRequest<'_, M>) -> Result<Taken, NoSlot> {
        request.usual()
    }

    /// Whether `next` may join a batch that ends with `previous`. Both are runs of slots of `area`. Without an
    /// implementation everything on the area merges.
    fn can_merge(&self, _area: &Area<M>, _previous: SlotRun, _next: SlotRun, _direction: Direction) -> bool {
        true
    }

    /// Whether the pages in these slots are where they are best read together, if they left memory together. Otherwise each comes
    /// when it is wanted.
    fn reads_together(&self, _area: &Area<M>, _run: SlotRun) -> bool {
        true
    }

    /// Brings the pages of the batch in.
    fn submit_read(&self, batch: ReadBatch<M>);

    /// Stores the pages of the batch. They may be written in any order, and on failure some of them may be stored; all
    /// of them stay in memory then.
    fn submit_write(&self, batch: WriteBatch<M>);

    /// Whether it has anywhere to keep pages. One that says no may still be asked, and refuses.
    fn keeps_pages(&self) -> bool {
        true
    }

    /// The slot was freed, once for each time it was allocated; its contents are of no use any more. `metadata` is what
    /// [`Area::metadata`] would have said.
    ///
    /// Called with the slot's cluster locked and possibly a folio: it must neither sleep nor ask the area anything.
    fn slot_free_notify(&self, _area: &Area<M>, _slot: u32, _metadata: u64) {}

    /// The slot's page is all zero now, which the core knows without the backend; what the backend has is of no use any
    /// more. Only for a backend with bits of its own, which are 0 from here on. Called as above.
    fn slot_zeroed(&self, _area: &Area<M>, _slot: u32, _metadata: u64) {}

    /// Shows what it counts, by names that begin with that of its type.
    fn show_counts(&self, _show: &mut dyn FnMut(&'static str, u64)) {}
}

/// How a backend wants to be treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a backend, not states of one thing")]
pub struct SwapOpsFlags {
    /// It stores pages by way of a file system (Linux: `SWAP_OPS_F_NOFS`), so reclaim through it must not come from inside of one:
    /// a thread that [must not enter any](Machine::may_enter_file_systems) gets no slots of its areas and writes no page there.
    pub no_file_systems: bool,
    /// Requests are over when submission returns, at the speed of memory: readahead is not worth it (Linux:
    /// `SWP_SYNCHRONOUS_IO`).
    pub synchronous: bool,
    /// A page must not change while it is written (Linux: `SWP_STABLE_WRITES`): until then no PTE lets its task write
    /// ([`FolioState::may_be_written`](crate::FolioState::may_be_written)). A backend that looks at pages asks for this.
    pub stable_writes: bool,
    /// It need not be told of freed slots: [`SwapOps::slot_free_notify`] does nothing.
    pub ignores_frees: bool,
    /// A page of the area is a page of its disk, where others can read and write it too: a layer can be before the area
    /// ([`Frontswap`](crate::Frontswap)), and areas without a disk can keep pages there.
    pub pages_on_disk: bool,
    /// It is the layer before other backends ([`Frontswap`](crate::Frontswap)), whose bits of each slot they are.
    pub frontswap: bool,
    /// It chooses the slots of a folio: [`SwapOps::allocate_slots`].
    pub allocates_slots: bool,
    /// All folios of its areas have one page.
    pub single_pages: bool,
    /// It chooses where on the disk a page goes, so that the core knows of no page what is in it, and discards none.
    pub places_pages: bool,
}

/// Consecutive slots of one folio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRun {
    /// The first slot.
    pub first: u32,
    /// How many, a power of two.
    pub length: u32,
}

impl SlotRun {
    /// The slot after the last; beyond 32 bits for the last run of the largest area.
    pub fn end(self) -> u64 {
        u64::from(self.first) + u64::from(self.length)
    }
}
