//! The mirror: keeps each page on two disks. A copy that could not be written is marked, and is read no more until it has been
//! written; one that could not be read is written again from the other. Each disk reads what is near its head.

use alloc::{boxed::Box, collections::BTreeSet, sync::Arc, vec::Vec};

use quire_swap::{
    Area, IoError, Machine, Rank, ReadBatch, SwapOps, WriteBatch,
    header::{PAGE_SIZE, Page},
    sync::Lock,
};

use crate::disk::Disk;

/// The mirror.
pub struct Mirror<M: Machine> {
    disks: [Arc<Disk<M>>; 2],
    /// Copies that are not what was stored last: disk and slot. The lock is never held while a disk works.
    stale: Lock<BTreeSet<(usize, u32)>, M, { Rank::Backend1 as u8 }>,
}

impl<M: Machine> Mirror<M> {
    /// A mirror of two disks that hold nothing.
    pub fn new(disks: [Arc<Disk<M>>; 2]) -> Self {
        Self { disks, stale: Lock::new(BTreeSet::new()) }
    }

    /// Writes one copy, and remembers whether that went well.
    fn write_copy(&self, disk: usize, slot: u32, page: &Page) -> bool {
        let is_written = self.disks[disk].write(slot, page).is_ok();
        let mut stale = self.stale.lock();
        if is_written {
            stale.remove(&(disk, slot));
        } else {
            stale.insert((disk, slot));
        }
        is_written
    }

    /// Whether the page is on a disk now.
    fn write_page(&self, slot: u32, page: &Page) -> bool {
        let written = [0, 1].map(|disk| self.write_copy(disk, slot, page));
        written.contains(&true)
    }

    /// The disk that has the slot under its head, or else the one that has had less to do.
    fn nearest(&self, slot: u32) -> usize {
        let [near, other] = [0, 1].map(|disk| self.disks[disk].head() == slot);
        if near != other { usize::from(other) } else { usize::from(self.disks[1].time() < self.disks[0].time()) }
    }

    fn read_page(&self, slot: u32, page: &mut Page) -> Result<(), IoError> {
        let first = self.nearest(slot);
        let mut failed: Option<usize> = None;
        for disk in [first, 1 - first] {
            if self.stale.lock().contains(&(disk, slot)) {
                continue;
            }
            if self.disks[disk].read(slot, page).is_ok() {
                // A copy that cannot be mended either is what it was, and not older: the disk may be back with it.
                if let Some(other) = failed {
                    _ = self.disks[other].write(slot, page);
                }
                return Ok(());
            }
            failed = Some(disk);
        }
        Err(IoError::Device)
    }

    fn read_folio(&self, batch: &mut ReadBatch<M>, position: usize) -> Option<()> {
        let run = batch.batch().run(position)?;
        for index in 0..run.length {
            let mut page = Box::new([0; PAGE_SIZE]);
            self.read_page(run.first + index, &mut page).ok()?;
            batch.with_page_mut(position, index as usize, |memory| memory.copy_from_slice(&*page))?;
        }
        Some(())
    }

    /// Whether each page of the folio is on a disk now.
    fn write_folio(&self, batch: &WriteBatch<M>, position: usize) -> bool {
        let Some(run) = batch.batch().run(position) else { return false };
        let write = |index| batch.with_page(position, index as usize, |page| self.write_page(run.first + index, page));
        (0..run.length).all(|index| write(index) == Some(true))
    }
}

impl<M: Machine> SwapOps<M> for Mirror<M> {
    fn submit_read(&self, mut batch: ReadBatch<M>) {
        let mut position = 0;
        while position < batch.batch().len() {
            if self.read_folio(&mut batch, position).is_some() {
                position += 1;
            } else {
                batch.complete_one(position, Err(IoError::Device));
            }
        }
        batch.complete(Ok(()));
    }

    fn submit_write(&self, mut batch: WriteBatch<M>) {
        let stored: Vec<bool> = (0..batch.batch().len()).map(|position| self.write_folio(&batch, position)).collect();
        batch.complete_some(|position| stored[position], Ok(()));
        if !batch.batch().is_empty() {
            batch.complete(Err(IoError::Device));
        }
    }

    fn slot_free_notify(&self, _area: &Area<M>, slot: u32, _metadata: u64) {
        self.stale.lock().retain(|(_, other)| *other != slot);
        self.disks.iter().for_each(|disk| disk.forget(slot));
    }
}
