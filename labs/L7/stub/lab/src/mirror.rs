//! The mirror: keeps each page on two disks.

use alloc::sync::Arc;

use quire_swap::{Area, Machine, ReadBatch, SwapOps, WriteBatch};

use crate::disk::Disk;

/// The mirror.
pub struct Mirror<M: Machine> {
    _disks: [Arc<Disk<M>>; 2],
    // To be written: which slot of which disk holds what is old? What is changed by several tasks is behind a lock:
    // `quire_swap::sync::Lock<…, M, { Rank::Backend1 as u8 }>`.
}

impl<M: Machine> Mirror<M> {
    /// A mirror of two disks that hold nothing.
    pub fn new(disks: [Arc<Disk<M>>; 2]) -> Self {
        Self { _disks: disks }
    }
}

impl<M: Machine> SwapOps<M> for Mirror<M> {
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
