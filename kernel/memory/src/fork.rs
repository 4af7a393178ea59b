//! `fork`: a second address space with the same contents, of which nothing is copied until one of the two writes.
//!
//! Private pages are mapped for reading only in both spaces from now on, and have a reference more; what is in swap has a
//! count more. Shared VMAs are attached to the same objects and left for faults to fill. The PTEs are copied a table at
//! a time: the child's table is made first, then filled under the parent's lock, so no two tables are locked at once. The
//! frames for the child's tables are reserved before anything is locked, because a task that waits for a frame may have to wait
//! for another space's layout ([`crate::oom`]).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::Ordering;

use quire_machine::AllocationError;
use quire_machine::arch::translations;
use quire_machine::fallible::{self, NoMemory, TryMap};
use quire_machine::task::{HeedKill, Killed};
use quire_machine::user_tables::{Leaf, TablesKey};
use quire_swap::Entry;
use quire_swap::header::PAGE_SIZE;

use crate::address_space::{AddressSpace, Layout};
use crate::overcommit::Commitment;
use crate::page_tables::PageTables;
use crate::rmap::RmapLink;
use crate::swap;
use crate::upcall::Memory as _;
use crate::vma::Vma;

const PAGE: u64 = PAGE_SIZE as u64;

impl AddressSpace {
    /// A copy of the space.
    ///
    /// # Errors
    /// [`AllocationError`] when there is no memory for it; what was made of it is freed.
    pub fn fork(&self) -> Result<Arc<Self>, AllocationError> {
        let mut child = Self::with_relative(Some(self))?;
        child.tables.reserve_tables(self.tables.count())?;
        let layout = self.layout();
        let vmas = layout.vmas.count();
        fallible::ask(vmas * 2 * size_of::<Vma<Arc<RmapLink>>>())?;
        let mut inherited = Layout::new();
        inherited.copy_heap(&layout);
        let mut links = ChildLinks { child: &child, pairs: BTreeMap::new() };
        for vma in layout.vmas.iter().filter(|vma| !vma.not_inherited).heed_kill() {
            let vma = vma.map_err(|Killed| AllocationError)?;
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
            copied = copied.and_then(|()| self.copy_ptes(child.keyed_tables(), vma.range.clone()));
        }
        // The parent's PTEs may be writable in what the processor remembers.
        translations::flush_stale();
        // Known before the parent's layout is unlocked: who goes over all spaces and has seen the parent's without what is taken
        // out of both comes to the child's as well.
        let child = child.publish()?;
        drop(layout);
        child.tables.free_reserved();
        copied?;
        // Of a space that was reaped meanwhile, some pages are missing.
        if self.is_reaped() { Err(AllocationError) } else { Ok(child) }
    }

    fn copy_ptes(&self, child: (&PageTables, &TablesKey), range: Range<u64>) -> Result<(), AllocationError> {
        let (tables, key) = child;
        let mut walk = self.tables.walk(range);
        while let Some(run) = walk.next_run_unless_killed().map_err(|Killed| AllocationError)? {
            let pages = run.range();
            let is_empty = run.iter().all(|cell| cell.bits() == 0);
            // No two tables are locked at once.
            drop(run);
            if !is_empty {
                // Enough was reserved: the child has no more tables than its parent.
                tables.lock().find_or_create(pages.start).ok_or(AllocationError)?;
                let table = tables.leaf(key, pages.start).ok_or(AllocationError)?;
                self.copy_run(tables, pages, table)?;
            }
        }
        Ok(())
    }

    /// Copies the PTEs of `range`, which lie in one table, to the child's table for it.
    fn copy_run(&self, child: &PageTables, range: Range<u64>, table: Leaf<'_>) -> Result<(), AllocationError> {
        // Tables stay: the layout is locked.
        let Some(run) = self.tables.walk(range).next_run() else { return Ok(()) };
        let (mut anonymous, mut object, mut swapped) = (0, 0, 0);
        let copied = run.share_each(|address, pte, folio| {
            if let Some(folio) = folio {
                if folio.is_of_object() { object += 1 } else { anonymous += 1 }
            } else if let Some(entry) = Entry::from_pte(pte.bits()) {
                let count = swap::core().duplicate(entry).map_err(|_| AllocationError)?;
                let _ = count.into_pte();
                swapped += 1;
            }
            let filled = table.fill(address, pte);
            debug_assert!(filled.is_ok(), "nothing is mapped in a new space");
            Ok(())
        });
        child.counts.anonymous.fetch_add(anonymous, Ordering::Relaxed);
        child.counts.object.fetch_add(object, Ordering::Relaxed);
        child.counts.count_swapped(swapped);
        copied
    }
}

/// The child's link for each of the parent's.
struct ChildLinks<'a> {
    child: &'a AddressSpace,
    /// By where the parent's is: a program has as many as it has mappings.
    pairs: BTreeMap<usize, Arc<RmapLink>>,
}

impl ChildLinks<'_> {
    fn of_child(&mut self, parents: &Arc<RmapLink>) -> Result<Arc<RmapLink>, NoMemory> {
        if parents.is_unmoved() {
            return Ok(Arc::clone(self.child.anonymous()));
        }
        let place = Arc::as_ptr(parents).addr();
        if let Some(found) = self.pairs.get(&place) {
            return Ok(Arc::clone(found));
        }
        let made = parents.for_child(&self.child.tables)?;
        self.pairs.insert_if_memory(place, Arc::clone(&made))?;
        Ok(made)
    }
}
