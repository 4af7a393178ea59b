//! `fork`: a second address space with the same contents, of which nothing is copied until one of the two writes.
//!
//! Private pages are mapped for reading only in both spaces from now on, and have a reference more; what is in swap has a
//! count more. Shared regions are attached to the same objects and left for faults to fill. The words are copied a table at
//! a time: the child's table is made first, then filled under the parent's lock, so no two tables are locked at once.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering;

use quire_swap::Entry;
use x86_64::structures::paging::PageTableFlags as Flags;

use super::address_space::{AddressSpace, Layout};
use super::frame::Kind;
use super::page_tables;
use super::region::Region;
use super::rmap::Attachment;
use super::{AllocationError, heap, physical, reclaim};
use crate::arch::page_table::{self, Table};
use crate::swap;

impl AddressSpace {
    /// A copy of the space.
    ///
    /// # Errors
    /// [`AllocationError`] when there is no memory for it; what was made of it is given back.
    pub fn fork(&self) -> Result<Arc<Self>, AllocationError> {
        let mut child = Self::of_lineage(Some(self))?;
        let layout = self.layout();
        let regions = layout.regions.iter().count();
        if !heap::may_allocate(regions * 2 * size_of::<Region<Arc<Attachment>>>()) {
            return Err(AllocationError);
        }
        let mut inherited = Layout::new();
        inherited.copy_heap(&layout);
        let mut attachments = Attachments { child: &child, pairs: Vec::new() };
        for region in layout.regions.iter().filter(|region| !region.not_inherited) {
            let region = Region {
                locked: false,
                object: region.object.as_ref().map(|object| attachments.of_child(object)),
                anonymous: attachments.of_child(&region.anonymous),
                ..region.clone()
            };
            inherited.regions.insert(region).map_err(|_| AllocationError)?;
        }
        child.set_layout(inherited);
        let mut copied = Ok(());
        for region in layout.regions.iter().filter(|region| !region.not_inherited && !region.shared) {
            copied = copied.and_then(|()| self.copy_words(&child, region.range.clone()));
        }
        // The parent's words may be writable in what the processor remembers.
        page_table::flush_user_everywhere();
        drop(layout);
        copied?;
        Ok(child.publish())
    }

    fn copy_words(&self, child: &Self, range: Range<u64>) -> Result<(), AllocationError> {
        let mut address = range.start;
        while address < range.end {
            let (is_empty, next) = {
                let words = self.tables.lock();
                let (part, next) = words.part(address..range.end);
                (part.iter().all(|word| word.load(Ordering::Relaxed) == 0), next)
            };
            if !is_empty {
                let table = child.own_leaf_table(address)?;
                self.copy_part(child, address..next, table)?;
            }
            address = next;
        }
        Ok(())
    }

    /// The table for the page at `address`, for words that nobody has yet. Reclaim may change them as soon as they are set.
    fn own_leaf_table(&self, address: u64) -> Result<&Table, AllocationError> {
        loop {
            let words = self.tables.lock();
            if let Some(table) = words.leaf_table(address) {
                return Ok(table);
            }
            drop(words);
            // Not for the frame itself: once one can be had, the next attempt will find one.
            drop(reclaim::wait_for_frame()?);
        }
    }

    fn copy_part(&self, child: &Self, range: Range<u64>, table: &Table) -> Result<(), AllocationError> {
        let words = self.tables.lock();
        let (part, _) = words.part(range.clone());
        let targets = &table[page_table::index(range.start, 1)..];
        let (mut anonymous, mut object, mut swapped) = (0, 0, 0);
        let mut copied = Ok(());
        for (word, target) in part.iter().zip(targets) {
            let current = word.load(Ordering::Relaxed);
            if current == 0 {
                continue;
            }
            if let Some(frame) = page_tables::folio_frame(current) {
                let metadata = &physical::frames()[frame.index()];
                metadata.references.fetch_add(1, Ordering::Relaxed);
                if metadata.kind() == Kind::Object { object += 1 } else { anonymous += 1 }
            } else if let Some(entry) = Entry::from_word(current) {
                let Ok(count) = swap::core().duplicate(entry) else {
                    copied = Err(AllocationError);
                    break;
                };
                let _ = count.into_word();
                swapped += 1;
            }
            let mut inherited = page_tables::with_locked(current, false);
            if page_tables::is_writable(current) {
                inherited &= !Flags::WRITABLE.bits();
                word.fetch_and(!Flags::WRITABLE.bits(), Ordering::Relaxed);
            }
            target.store(inherited, Ordering::Release);
        }
        child.tables.counts.anonymous.fetch_add(anonymous, Ordering::Relaxed);
        child.tables.counts.object.fetch_add(object, Ordering::Relaxed);
        child.tables.counts.count_swapped(swapped);
        copied
    }
}

/// The child's attachment for each of the parent's.
struct Attachments<'a> {
    child: &'a AddressSpace,
    pairs: Vec<(*const Attachment, Arc<Attachment>)>,
}

impl Attachments<'_> {
    fn of_child(&mut self, parents: &Arc<Attachment>) -> Arc<Attachment> {
        if parents.is_home() {
            return Arc::clone(self.child.home());
        }
        if let Some((_, found)) = self.pairs.iter().find(|(pointer, _)| *pointer == Arc::as_ptr(parents)) {
            return Arc::clone(found);
        }
        let made = parents.for_other(&self.child.tables);
        self.pairs.push((Arc::as_ptr(parents), Arc::clone(&made)));
        made
    }
}
