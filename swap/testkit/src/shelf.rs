//! A backend without a device: pages in a map, by slot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::{
    Area, Deviceless, IoError, ReadBatch, SlotRun, Swap, SwapOnError, SwapOnOptions, SwapOps, SwapOpsFlags, WriteBatch,
};

use crate::{Fake, Memory};

/// The pages.
pub struct Shelf {
    pages: Mutex<HashMap<u32, Box<Page>>>,
    memory: &'static Memory,
}

impl Shelf {
    /// Without a page; requests fail with those of the memory's devices.
    pub fn new(memory: &'static Memory) -> Arc<Self> {
        Arc::new(Self { pages: Mutex::default(), memory })
    }

    /// How many pages it has.
    pub fn pages(&self) -> usize {
        self.pages.lock().unwrap().len()
    }

    /// Enables an area of so many slots on it; returns its number.
    ///
    /// # Errors
    /// What `swapon` says.
    pub fn enable(self: &Arc<Self>, swap: &Swap<Fake>, slots: u64) -> Result<u8, SwapOnError> {
        let area = Deviceless { name: "/dev/shelf", slots, ops: self.clone() };
        swap.swapon_without_disk(&area, SwapOnOptions::default())
    }
}

fn slots(run: SlotRun) -> impl Iterator<Item = (usize, u32)> {
    (0..run.length).map(move |index| (index as usize, run.first + index))
}

/// 32 bits of its own for each slot: the slot's complement while it holds a page.
impl SwapOps<Fake> for Shelf {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { synchronous: true, stable_writes: true, ..SwapOpsFlags::default() }
    }

    fn metadata_bits(&self) -> u8 {
        32
    }

    fn submit_read(&self, mut batch: ReadBatch<Fake>) {
        let runs: Vec<_> = batch.batch().folios().map(|(_, run)| run).collect();
        let failed = self.memory.io.next_fails();
        let pages = self.pages.lock().unwrap();
        for (position, run) in runs.into_iter().enumerate() {
            for (index, slot) in slots(run) {
                assert_eq!(batch.batch().area().metadata(slot), u64::from(!slot));
                batch.with_page_mut(position, index, |page| page.copy_from_slice(&*pages[&slot])).unwrap();
            }
        }
        drop(pages);
        batch.complete(if failed { Err(IoError::Device) } else { Ok(()) });
    }

    fn submit_write(&self, batch: WriteBatch<Fake>) {
        if self.memory.io.next_fails() {
            return batch.complete(Err(IoError::NoSpace));
        }
        for (position, (_, run)) in batch.batch().folios().enumerate() {
            for (index, slot) in slots(run) {
                let mut copy = Box::new([0; PAGE_SIZE]);
                batch.with_page(position, index, |page| copy.copy_from_slice(page)).unwrap();
                self.pages.lock().unwrap().insert(slot, copy);
                batch.batch().area().set_metadata(slot, (!slot).into());
            }
        }
        batch.complete(Ok(()));
    }

    fn slot_free_notify(&self, _area: &Area<Fake>, slot: u32, metadata: u64) {
        let held = self.pages.lock().unwrap().remove(&slot).is_some();
        assert_eq!(metadata, if held { u64::from(!slot) } else { 0 });
    }
}
