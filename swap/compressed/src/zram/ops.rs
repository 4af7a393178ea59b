//! The device as swap and the block layer see it.

use alloc::sync::Arc;
use core::ops::Range;

use quire_swap::header::Page;
use quire_swap::{
    Area, DeviceState, Direction, Disk, DiskProperties, DiskRequest, DriverId, IoError, ReadBatch, SECTORS_PER_PAGE,
    SwapOps, SwapOpsFlags, WriteBatch,
};

use super::disk::ZramDisk;
use crate::machine::PoolMachine;

/// The driver under which zram registers its operations.
pub const ZRAM: DriverId = DriverId("zram");

/// Slots are pages of the device: no requests, no sectors, and nothing that could merge.
impl<M: PoolMachine> SwapOps<M> for ZramDisk<M> {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { synchronous: true, stable_writes: true, ..SwapOpsFlags::default() }
    }

    fn submit_read(&self, mut batch: ReadBatch<M>) {
        let result = self.read_all(&mut batch);
        batch.complete(result);
    }

    fn submit_write(&self, batch: WriteBatch<M>) {
        let result = batch.batch().folios().enumerate().try_for_each(|(position, (_, run))| {
            (0..run.length).try_for_each(|index| {
                let write = |page: &Page| self.write(u64::from(run.first + index), page);
                batch.with_page(position, index as usize, write).unwrap_or(Err(IoError::Unsupported))
            })
        });
        batch.complete(result);
    }

    fn slot_free_notify(&self, _area: &Area<M>, slot: u32, _metadata: u64) {
        self.slot_freed(slot);
    }
}

impl<M: PoolMachine> Disk<M> for ZramDisk<M> {
    fn name(&self) -> &str {
        self.name()
    }

    fn driver(&self) -> DriverId {
        ZRAM
    }

    fn pages(&self) -> u64 {
        self.pages()
    }

    fn properties(&self) -> DiskProperties {
        properties(&self.device_state)
    }

    fn read_page(&self, page: u64, buffer: &mut Page) -> Result<(), IoError> {
        self.read(page, buffer)
    }

    fn write_pages(&self, first: u64, pages: &[Page]) -> Result<(), IoError> {
        (first..).zip(pages).try_for_each(|(page, contents)| self.write(page, contents))
    }

    fn device_state(&self) -> &Arc<DeviceState> {
        &self.device_state
    }

    fn submit(&self, mut request: DiskRequest<M>) {
        let result = match request.direction() {
            Direction::Read => self.read_all(&mut request),
            Direction::Write => self.write_all(&request),
        };
        request.complete(result);
    }

    fn discard(&self, pages: Range<u64>) -> Result<(), IoError> {
        self.discard(pages);
        Ok(())
    }
}

impl<M: PoolMachine> ZramDisk<M> {
    fn write_all(&self, request: &DiskRequest<M>) -> Result<(), IoError> {
        let mut page = request.first_sector() / SECTORS_PER_PAGE;
        (0..request.len()).try_for_each(|position| {
            for index in 0.. {
                let Some(written) = request.with_page(position, index, |contents| self.write(page, contents)) else {
                    break;
                };
                written?;
                page += 1;
            }
            Ok(())
        })
    }
}

/// What a device is like.
pub(super) fn properties(state: &DeviceState) -> DiskProperties {
    DiskProperties {
        read_only: state.is_read_only(),
        synchronous: true,
        stable_writes: true,
        discard: true,
        ..DiskProperties::default()
    }
}
