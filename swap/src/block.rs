//! The block backend: requests of the device, made of batches.

use alloc::sync::Arc;

use crate::area::Area;
use crate::batch::{ReadBatch, WriteBatch};
use crate::disk::{Disk, contiguous, submit_run};
use crate::machine::Machine;
use crate::ops::{Direction, SlotRun, SwapOps, SwapOpsFlags};

/// The backend of block devices that take requests and complete them later (Linux: `swap_bdev_ops`).
pub struct BlockBackend<M: Machine>(Arc<dyn Disk<M>>);

/// The backend of block devices at the speed of memory: requests are over when submission returns.
pub struct SynchronousBlockBackend<M: Machine>(pub(crate) Arc<dyn Disk<M>>);

impl<M: Machine> BlockBackend<M> {
    /// The backend of `disk`, also for another backend to hand batches on to: those need not be contiguous.
    pub fn new(disk: Arc<dyn Disk<M>>) -> Self {
        Self(disk)
    }
}

impl<M: Machine> SwapOps<M> for BlockBackend<M> {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { pages_on_disk: true, ignores_frees: true, ..SwapOpsFlags::default() }
    }

    fn can_merge(&self, area: &Area<M>, previous: SlotRun, next: SlotRun, _direction: Direction) -> bool {
        contiguous(area, previous, next)
    }

    fn submit_read(&self, batch: ReadBatch<M>) {
        submit_run(&self.0, batch.0, 0);
    }

    fn submit_write(&self, batch: WriteBatch<M>) {
        submit_run(&self.0, batch.0, 0);
    }
}

impl<M: Machine> SwapOps<M> for SynchronousBlockBackend<M> {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { synchronous: true, pages_on_disk: true, ignores_frees: true, ..SwapOpsFlags::default() }
    }

    fn can_merge(&self, area: &Area<M>, previous: SlotRun, next: SlotRun, _direction: Direction) -> bool {
        contiguous(area, previous, next)
    }

    fn submit_read(&self, batch: ReadBatch<M>) {
        submit_run(&self.0, batch.0, 0);
    }

    fn submit_write(&self, batch: WriteBatch<M>) {
        submit_run(&self.0, batch.0, 0);
    }
}
