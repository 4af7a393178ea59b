//! Emptying PTEs: what they owned is released after the processors have forgotten it, some PTEs at a time.

use core::ops::Range;

use arrayvec::ArrayVec;
use quire_machine::arch::translations;
use quire_machine::user_tables::PteCell;
use quire_swap::Entry;
use quire_swap::header::PAGE_SIZE;

use super::layout::Link;
use super::{AddressSpace, SPACES};
use crate::object::Object;
use crate::page_tables::{self, Pte};
use crate::swap::references;
use crate::vmas::Vmas;
use crate::{lru, progress};

const PAGE: u64 = PAGE_SIZE as u64;

/// How many PTEs are emptied at a time.
const GONE: usize = 64;

impl AddressSpace {
    /// Empties the PTEs of VMAs that are not in the layout any more.
    pub(crate) fn release(&self, removed: &Vmas<Link>) {
        self.tables.mappings_changed();
        for vma in removed.iter() {
            self.zap(vma.range.clone());
        }
    }

    /// Calls `change` with each PTE of `range` that there is a table for. The caller flushes.
    pub(crate) fn for_each_pte(&self, range: Range<u64>, mut change: impl FnMut(PteCell<'_>)) {
        let mut walk = self.tables.walk(range);
        while let Some(run) = walk.next_run() {
            run.iter().for_each(&mut change);
        }
    }

    /// Empties the PTEs of `range` and releases what they owned.
    pub(crate) fn zap(&self, range: Range<u64>) {
        self.zap_where(range, |pte| pte != 0);
    }

    /// Empties the PTEs of `range` that `is_meant` chooses and releases what they owned.
    #[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
    pub(crate) fn zap_where(&self, range: Range<u64>, is_meant: impl Fn(u64) -> bool) {
        let mut walk = self.tables.walk(range);
        while let Some(run) = walk.next_run() {
            let mut gone = ArrayVec::<Pte, GONE>::new();
            for cell in run.iter().filter(|cell| is_meant(cell.bits())) {
                if gone.is_full() {
                    walk.go_back_to(cell.address());
                    break;
                }
                let before = cell.take();
                self.tables.counts.remove(before.bits());
                gone.push(before);
            }
            drop(run);
            translations::flush_stale();
            if !gone.is_empty() {
                let mut entries = ArrayVec::<u64, GONE>::new();
                entries.extend(gone.into_iter().filter_map(forget_folio));
                references::forget_ptes(&entries);
                progress::frames_freed();
            }
        }
    }

    /// Releases everything in the user half: folios, swap counts, page tables. No thread runs in the space any more,
    /// or only the caller, which does not touch the user half again.
    pub fn tear_down(&self) {
        let vmas = core::mem::take(&mut self.layout().vmas);
        self.release_all(&vmas);
        self.tables.free_tables(&mut self.layout().keyed.key);
        progress::frames_freed();
    }

    pub(super) fn release_all(&self, vmas: &Vmas<Link>) {
        // Before the first frame goes: from here on no processor walks these tables, nor remembers what they said.
        self.tables.leave();
        self.tables.mappings_changed();
        for vma in vmas.iter() {
            self.zap(vma.range.clone());
        }
    }
}

/// Takes pages from index `from` on of an object that has become shorter out of all spaces, private copies included (Linux:
/// `unmap_mapping_range` with `even_cows`). Holds no lock but a layout's at a time.
///
/// A space that is made meanwhile by `fork` has a higher number than its parent, and is known before the parent's layout can be
/// locked here: going over the spaces by number misses none.
pub(crate) fn forget_beyond(object: &Object, from: u64) {
    let next = |after: u32| {
        let spaces = SPACES.lock();
        let mut known = spaces.range(after + 1..).filter_map(|(number, space)| Some((*number, space.upgrade()?)));
        known.next()
    };
    let mut last = 0;
    while let Some((number, space)) = next(last) {
        last = number;
        if object.rmap().has(&space.tables) {
            space.forget_beyond(object, from);
        }
    }
}

impl AddressSpace {
    fn forget_beyond(&self, object: &Object, from: u64) {
        let layout = self.layout();
        // A fault that saw the old length starts over.
        self.tables.mappings_changed();
        for vma in layout.vmas.iter() {
            let link = vma.object.as_ref().filter(|link| link.is_to(object));
            let Some(link) = link else { continue };
            let first = link.index(vma.range.start);
            let kept = from.saturating_sub(first).min(vma.length() / PAGE);
            self.zap(vma.range.start + kept * PAGE..vma.range.end);
        }
        drop(layout);
        progress::frames_freed();
    }
}

/// Drops what a PTE owned that was in a table, after the processors have forgotten it.
pub(crate) fn forget(pte: Pte) {
    if let Some(entry) = forget_folio(pte) {
        references::forget_pte(entry);
    }
}

/// Drops the folio that a PTE owned, after the processors have forgotten it; returns a PTE that owns a count of a slot.
fn forget_folio(pte: Pte) -> Option<u64> {
    let bits = pte.bits();
    match pte.into_folio() {
        Ok(folio) => {
            page_tables::hand_on_dirty(bits, &folio);
            if page_tables::is_locked(bits) {
                lru::unkeep(&folio);
            }
            if !folio.is_of_object() {
                references::forget_folio(folio);
            }
            None
        }
        Err(bits) => Entry::from_pte(bits).map(|_| bits),
    }
}
