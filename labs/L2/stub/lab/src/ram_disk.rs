//! The RAM disk: keeps the pages of its area in memory.

use alloc::sync::Arc;

use quire_swap::{Area, Direction, Machine, ReadBatch, SlotRun, SwapOps, SwapOpsFlags, WriteBatch};

use crate::memory::PageMemory;

/// The disk.
pub struct RamDisk {
    _memory: Arc<PageMemory>,
    // To be written: which slot has which page? What is changed by several tasks is behind a lock:
    // `quire_swap::sync::Lock<…, M, { Rank::Backend1 as u8 }>`, for a `RamDisk<M: Machine>`.
}

impl RamDisk {
    /// An empty disk.
    pub fn new(memory: Arc<PageMemory>) -> Self {
        Self { _memory: memory }
    }
}

impl<M: Machine> SwapOps<M> for RamDisk {
    fn flags(&self) -> SwapOpsFlags {
        // To be written: what does the core have to know of this disk?
        SwapOpsFlags::default()
    }

    fn can_merge(&self, _area: &Area<M>, _previous: SlotRun, _next: SlotRun, _direction: Direction) -> bool {
        // To be written.
        true
    }

    fn submit_read(&self, batch: ReadBatch<M>) {
        // To be written. A batch that is dropped has failed.
        drop(batch);
    }

    fn submit_write(&self, batch: WriteBatch<M>) {
        // To be written.
        drop(batch);
    }

    fn slot_free_notify(&self, _area: &Area<M>, _slot: u32, _metadata: u64) {
        // To be written.
    }
}
