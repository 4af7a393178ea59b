//! The block backend: requests of the device, made of batches.

use alloc::sync::Arc;

use crate::area::Area;
use crate::batch::{ReadBatch, WriteBatch};
use crate::disk::{Disk, contiguous, submit_run};
use crate::machine::Machine;
use crate::ops::{Direction, SlotRun, SwapOps, SwapOpsFlags};

/// The backend of block devices (Linux: `swap_bdev_async_ops` and `swap_bdev_sync_ops`).
pub struct BlockBackend<M: Machine> {
    disk: Arc<dyn Disk<M>>,
    flags: SwapOpsFlags,
}

impl<M: Machine> BlockBackend<M> {
    /// The backend of `disk`, also for another backend to hand batches on to: those need not be contiguous.
    pub fn new(disk: Arc<dyn Disk<M>>) -> Self {
        let properties = disk.properties();
        let flags = SwapOpsFlags {
            synchronous: properties.synchronous,
            stable_writes: properties.stable_writes,
            pages_on_disk: true,
            ignores_frees: true,
            ..SwapOpsFlags::default()
        };
        Self { disk, flags }
    }

    /// The same, treated as if its requests were not over when submission returns, whatever the device is.
    pub(crate) fn asynchronous(disk: Arc<dyn Disk<M>>) -> Self {
        let mut backend = Self::new(disk);
        backend.flags.synchronous = false;
        backend
    }
}

impl<M: Machine> SwapOps<M> for BlockBackend<M> {
    fn flags(&self) -> SwapOpsFlags {
        self.flags
    }

    fn can_merge(&self, area: &Area<M>, previous: SlotRun, next: SlotRun, _direction: Direction) -> bool {
        contiguous(area, previous, next)
    }

    fn submit_read(&self, batch: ReadBatch<M>) {
        submit_run(&self.disk, batch.0, 0);
    }

    fn submit_write(&self, batch: WriteBatch<M>) {
        submit_run(&self.disk, batch.0, 0);
    }
}
