//! `fork`: a second address space with the same contents, of which nothing is copied until one of the two writes.
//!
//! Private pages are mapped for reading only in both spaces from now on, and have a reference more; what is in swap has a
//! count more. Shared VMAs are attached to the same objects and left for faults to fill. The PTEs are copied a table at
//! a time: the child's table is made first, then filled under the parent's lock, so no two tables are locked at once. The
//! frames for the child's tables are set aside before anything is locked, because whoever waits for a frame may have to wait
//! for another space's layout ([`super::oom`]).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering;

use quire_machine::arch::page_table::{self, Table};
use quire_machine::fallible::{self, NoMemory, TryVec};
use quire_machine::frame::Kind;
use quire_machine::physical;
use quire_machine::task::Killed;
use quire_swap::Entry;
use quire_swap::header::PAGE_SIZE;
use x86_64::structures::paging::PageTableFlags as Flags;

use super::AllocationError;
use super::address_space::{AddressSpace, Layout};
use super::overcommit::Commitment;
use super::page_tables;
use super::rmap::RmapLink;
use super::vma::Vma;
use crate::swap;

const PAGE: u64 = PAGE_SIZE as u64;

impl AddressSpace {
    /// A copy of the space.
    ///
    /// # Errors
    /// [`AllocationError`] when there is no memory for it; what was made of it is given back.
    pub fn fork(&self) -> Result<Arc<Self>, AllocationError> {
        let mut child = Self::of_lineage(Some(self))?;
        child.tables.set_aside(self.tables.counts.tables.load(Ordering::Relaxed))?;
        let layout = self.layout();
        let vmas = layout.vmas.count();
        fallible::ask(vmas * 2 * size_of::<Vma<Arc<RmapLink>>>())?;
        let mut inherited = Layout::new();
        inherited.copy_heap(&layout);
        let mut links = Attachments { child: &child, pairs: Vec::new() };
        for vma in layout.vmas.iter().filter(|vma| !vma.not_inherited) {
            let vma = Vma {
                locked: false,
                object: vma.object.as_ref().map(|object| links.of_child(object)).transpose()?,
                anonymous: links.of_child(&vma.anonymous)?,
                ..vma.clone()
            };
            // One by one, as Linux does: the guess of mode 0 is about one mapping.
            let promised = vma.totals().promised / PAGE;
            inherited.promised.join(Commitment::new(promised, layout.vmas.totals().mapped / PAGE)?);
            inherited.vmas.insert(vma).map_err(|_| AllocationError)?;
        }
        child.set_layout(inherited);
        let mut copied = Ok(());
        for vma in layout.vmas.iter().filter(|vma| !vma.not_inherited && !vma.shared) {
            copied = copied.and_then(|()| self.copy_ptes(&child, vma.range.clone()));
        }
        // The parent's PTEs may be writable in what the processor remembers.
        page_table::flush_user_everywhere();
        // Known before the parent's layout is unlocked: who goes over all spaces and has seen the parent's without what is taken
        // out of both comes to the child's as well.
        let child = child.publish()?;
        drop(layout);
        child.tables.free_set_aside();
        copied?;
        // Of a space that was reaped meanwhile, some pages are missing.
        if self.is_reaped() { Err(AllocationError) } else { Ok(child) }
    }

    fn copy_ptes(&self, child: &Self, range: Range<u64>) -> Result<(), AllocationError> {
        let mut walk = self.tables.walk(range);
        while let Some(part) = walk.next_part_unless_killed().map_err(|Killed| AllocationError)? {
            let pages = part.range();
            let is_empty = part.iter().all(|(_, pte)| pte.load(Ordering::Relaxed) == 0);
            // No two tables are locked at once.
            drop(part);
            if !is_empty {
                // Enough was set aside: the child has no more tables than its parent.
                let table = child.tables.lock().leaf_table(pages.start).ok_or(AllocationError)?;
                self.copy_part(child, pages, table)?;
            }
        }
        Ok(())
    }

    /// Copies the PTEs of `range`, which lie in one table, to the child's table for it.
    fn copy_part(&self, child: &Self, range: Range<u64>, table: &Table) -> Result<(), AllocationError> {
        let targets = &table[page_table::index(range.start, 1)..];
        // Tables stay: the layout is locked.
        let Some(part) = self.tables.walk(range).next_part() else { return Ok(()) };
        let (mut anonymous, mut object, mut swapped) = (0, 0, 0);
        let mut copied = Ok(());
        for ((_, pte), target) in part.iter().zip(targets) {
            let current = pte.load(Ordering::Relaxed);
            if current == 0 {
                continue;
            }
            if let Some(frame) = page_tables::folio_frame(current) {
                let metadata = &physical::frames()[frame.index()];
                metadata.references.fetch_add(1, Ordering::Relaxed);
                if metadata.kind() == Kind::Object { object += 1 } else { anonymous += 1 }
            } else if let Some(entry) = Entry::from_pte(current) {
                let Ok(count) = swap::core().duplicate(entry) else {
                    copied = Err(AllocationError);
                    break;
                };
                let _ = count.into_pte();
                swapped += 1;
            }
            let mut inherited = page_tables::with_locked(current, false);
            if page_tables::is_writable(current) {
                inherited &= !Flags::WRITABLE.bits();
                pte.fetch_and(!Flags::WRITABLE.bits(), Ordering::Relaxed);
            }
            target.store(inherited, Ordering::Release);
        }
        child.tables.counts.anonymous.fetch_add(anonymous, Ordering::Relaxed);
        child.tables.counts.object.fetch_add(object, Ordering::Relaxed);
        child.tables.counts.count_swapped(swapped);
        copied
    }
}

/// The child's link for each of the parent's.
struct Attachments<'a> {
    child: &'a AddressSpace,
    pairs: Vec<(*const RmapLink, Arc<RmapLink>)>,
}

impl Attachments<'_> {
    fn of_child(&mut self, parents: &Arc<RmapLink>) -> Result<Arc<RmapLink>, NoMemory> {
        if parents.is_home() {
            return Ok(Arc::clone(self.child.home()));
        }
        if let Some((_, found)) = self.pairs.iter().find(|(pointer, _)| *pointer == Arc::as_ptr(parents)) {
            return Ok(Arc::clone(found));
        }
        let made = parents.for_other(&self.child.tables)?;
        self.pairs.try_push((Arc::as_ptr(parents), Arc::clone(&made)))?;
        Ok(made)
    }
}
