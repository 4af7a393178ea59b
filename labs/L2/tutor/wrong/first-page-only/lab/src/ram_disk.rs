//! The RAM disk: keeps the pages of its area in memory.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

use quire_swap::{
    Area, Direction, IoError, Machine, Rank, ReadBatch, SlotRun, SwapOps, SwapOpsFlags, WriteBatch, sync::Lock,
};

use crate::{
    BANK_SLOTS,
    memory::{PageBox, PageMemory},
};

/// The disk.
pub struct RamDisk<M: Machine> {
    memory: Arc<PageMemory>,
    /// By slot. The lock is never held when a batch completes: completion takes locks of higher ranks.
    pages: Lock<BTreeMap<u32, PageBox>, M, { Rank::Backend1 as u8 }>,
}

impl<M: Machine> RamDisk<M> {
    /// An empty disk.
    pub fn new(memory: Arc<PageMemory>) -> Self {
        Self { memory, pages: Lock::new(BTreeMap::new()) }
    }

    /// Brings one folio in; none if a page is lost.
    fn read(&self, batch: &mut ReadBatch<M>, position: usize) -> Option<()> {
        let run = batch.batch().run(position)?;
        for index in 0..run.length {
            let pages = self.pages.lock();
            let contents = pages.get(&(run.first + index))?.contents()?;
            batch.with_page_mut(position, index as usize, |page| page.copy_from_slice(contents))?;
        }
        Some(())
    }

    /// Stores one folio, or nothing of it.
    fn write(&self, batch: &WriteBatch<M>, position: usize) -> Option<()> {
        let run = batch.batch().run(position)?;
        let mut stored = self.pages.lock();
        let slots = run.first..run.first + run.length;
        let missing = slots.clone().take(1).filter(|slot| !stored.contains_key(slot));
        // Those that were taken return if one is not to be had.
        let mut taken = missing.map(|_| self.memory.take()).collect::<Option<Vec<_>>>()?;
        for (index, slot) in slots.enumerate().take(1) {
            if !stored.contains_key(&slot) {
                stored.insert(slot, taken.pop()?);
            }
            let place = stored.get_mut(&slot)?.contents_mut();
            batch.with_page(position, index, |page| place.copy_from_slice(page))?;
        }
        Some(())
    }
}

impl<M: Machine> SwapOps<M> for RamDisk<M> {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { synchronous: true, stable_writes: true, ..SwapOpsFlags::default() }
    }

    fn can_merge(&self, _area: &Area<M>, previous: SlotRun, next: SlotRun, _direction: Direction) -> bool {
        previous.end() == u64::from(next.first) && previous.first / BANK_SLOTS == next.first / BANK_SLOTS
    }

    fn submit_read(&self, mut batch: ReadBatch<M>) {
        let mut position = 0;
        while position < batch.batch().len() {
            if self.read(&mut batch, position).is_some() {
                position += 1;
            } else {
                batch.complete_one(position, Err(IoError::Device));
            }
        }
        batch.complete(Ok(()));
    }

    fn submit_write(&self, mut batch: WriteBatch<M>) {
        let stored: Vec<bool> = (0..batch.batch().len()).map(|position| self.write(&batch, position).is_some()).collect();
        batch.complete_some(|position| stored[position], Ok(()));
        if !batch.batch().is_empty() {
            batch.complete(Err(IoError::NoSpace));
        }
    }

    fn slot_free_notify(&self, _area: &Area<M>, slot: u32, _metadata: u64) {
        self.pages.lock().remove(&slot);
    }
}
