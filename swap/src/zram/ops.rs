//! The device as swap and the block layer see it.

use alloc::sync::Arc;
use core::ops::Range;

use super::control::Control;
use super::disk::ZramDisk;
use crate::area::Area;
use crate::batch::{BATCH_FOLIOS, Batch, ReadBatch, WriteBatch};
use crate::disk::{Disk, DiskProperties, DiskRequest, SECTOR_SIZE};
use crate::folio::Folio;
use crate::header::{PAGE_SIZE, Page};
use crate::machine::{IoError, Machine};
use crate::ops::{Direction, SlotRun, SwapOps, SwapOpsFlags};
use crate::registry::{BlockDriver, DriverId};

/// The driver under which zram registers its operations.
pub const ZRAM: DriverId = DriverId("zram");

const SECTORS_PER_PAGE: u64 = (PAGE_SIZE / SECTOR_SIZE) as u64;

/// Every page of a batch: its folio's position, its place there, its slot.
fn pages<M: Machine>(batch: &Batch<M>) -> impl Iterator<Item = (usize, usize, u64)> {
    let slots = |run: SlotRun| (0..run.length).map(move |index| (index as usize, u64::from(run.first + index)));
    let folios = batch.folios().map(|(_, run)| run).enumerate();
    folios.flat_map(move |(position, run)| slots(run).map(move |(index, slot)| (position, index, slot)))
}

/// Slots are pages of the device: no requests, no sectors, and nothing that could merge.
impl<M: Machine> SwapOps<M> for ZramDisk<M> {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { synchronous: true, ..SwapOpsFlags::default() }
    }

    fn submit_read(&self, mut batch: ReadBatch<M>) {
        let mut runs = [SlotRun { first: 0, length: 0 }; BATCH_FOLIOS];
        for (place, (_, run)) in runs.iter_mut().zip(batch.batch().folios()) {
            *place = run;
        }
        let slots = runs
            .iter()
            .enumerate()
            .flat_map(|(position, run)| (0..run.length).map(move |index| (position, index, run.first + index)));
        let result = slots.into_iter().try_for_each(|(position, index, slot)| {
            let read = |page: &mut Page| self.read(slot.into(), page);
            batch.with_page_mut(position, index as usize, read).unwrap_or(Err(IoError::Unsupported))
        });
        batch.complete(result);
    }

    fn submit_write(&self, batch: WriteBatch<M>) {
        let result = pages(batch.batch()).try_for_each(|(position, index, slot)| {
            batch.with_page(position, index, |page| self.write(slot, page)).unwrap_or(Err(IoError::Unsupported))
        });
        batch.complete(result);
    }

    fn slot_free_notify(&self, _area: &Area<M>, slot: u32, _metadata: u64) {
        self.slot_freed(slot);
    }
}

impl<M: Machine> Disk<M> for ZramDisk<M> {
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
        DiskProperties { synchronous: true, stable_writes: true, discard: true, ..DiskProperties::default() }
    }

    fn read_page(&self, page: u64, buffer: &mut Page) -> Result<(), IoError> {
        self.read(page, buffer)
    }

    fn submit(&self, request: DiskRequest<M>) {
        let mut page = request.first_sector() / SECTORS_PER_PAGE;
        let mut result = Ok(());
        'request: for folio in request.folios() {
            for index in 0..1 << folio.order() {
                result = match request.direction() {
                    Direction::Read => folio.with_page_mut(index, |contents| self.read(page, contents)),
                    Direction::Write => folio.with_page(index, |contents| self.write(page, contents)),
                };
                if result.is_err() {
                    break 'request;
                }
                page += 1;
            }
        }
        request.complete(result);
    }

    fn discard(&self, pages: Range<u64>) -> Result<(), IoError> {
        self.discard(pages);
        Ok(())
    }
}

impl<M: Machine> BlockDriver<M> for Control<M> {
    fn swap_ops(&self, disk: &Arc<dyn Disk<M>>) -> Option<Arc<dyn SwapOps<M>>> {
        let disk: Arc<dyn SwapOps<M>> = self.open(disk.name())?;
        Some(disk)
    }
}
