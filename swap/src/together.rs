//! The way in for pages that left memory together: those in a run of slots, each with a folio of its own.
//!
//! All of the folios enter the cache in one critical section, or none does, and they are read in one batch. From there on each is a
//! folio like any other: one that could not be read stays in the cache, where the fault that needs it reads it once more, alone.

use crate::area::Area;
use crate::cache::Inserted;
use crate::entry::Entry;
use crate::folio::{Folio, FolioFlag, Locked};
use crate::geometry::offset;
use crate::machine::Machine;
use crate::ops::{Direction, SlotRun};
use crate::plug::Plug;
use crate::read::FaultKind;
use crate::statistics::count;
use crate::swap::Swap;
use crate::table_entry::{SlotState, TableEntry};

/// Pages that are back together.
#[derive(Debug)]
pub struct FaultInTogether<M: Machine, const PAGES: usize> {
    /// Their folios in the order of their slots, as in [`FaultIn`](crate::FaultIn); none for a page that could not be read, or that has
    /// gone meanwhile.
    pub folios: [Option<Locked<M::Folio>>; PAGES],
    /// Where they came from; if they were not all zero, from the backend.
    pub kind: FaultKind,
}

/// A folio that was mapped, and whether it is written, for [`Swap::put_mapped_together`]; none for one that was not.
pub type Mapped<'a, M> = Option<(&'a Locked<<M as Machine>::Folio>, bool)>;

impl<M: Machine> Swap<M> {
    /// Whether the pages in so many slots from `first` on are all out of memory, one pays for all of them, and their backend
    /// has them where it reads them together. Takes no lock: certain only to a caller that looks again.
    pub fn are_out_together(&self, first: Entry, pages: u32) -> bool {
        let run = SlotRun { first: first.slot(), length: pages };
        self.area(first.area()).is_some_and(|area| area.are_out(run) && area.ops().reads_together(&area, run))
    }

    /// [`Swap::fault_in`] for the pages in the slots from `first` on, of which the caller has PTEs, into these new folios of one page each;
    /// who pays for the first slot pays for them. `None` if that cannot be done with all of them: nothing was done then.
    ///
    /// Sleeps; the caller holds no spinning lock and has an empty plug.
    pub fn fault_in_together<const PAGES: usize>(
        &self,
        first: Entry,
        folios: [M::Folio; PAGES],
    ) -> Option<FaultInTogether<M, PAGES>> {
        enum Coming<F: Folio> {
            Here(Locked<F>),
            Read(F),
        }
        let area = self.area(first.area())?;
        let folios = folios.map(Locked::lock);
        let inserted = area.insert_together(first, &folios)?;
        M::added_together(folios.iter().map(|folio| &**folio).zip(inserted.iter().map(|inserted| inserted.shadow)));
        let (mut plug, mut kind) = (Plug::new(), FaultKind::Zero);
        let mut slots = (first.slot()..).zip(inserted);
        let coming = folios.map(|mut folio| {
            if let Some((slot, Inserted { zero: false, .. })) = slots.next() {
                kind = FaultKind::Read;
                let read = M::Folio::clone(&folio);
                plug.add(&area, folio.into_read(), slot, Direction::Read);
                return Coming::Read(read);
            }
            area.fill_with_zeros(&mut folio);
            Coming::Here(folio)
        });
        plug.submit();
        count!(area, cache_misses, 1);
        let mut entries = (first.slot()..).map(|slot| area.entry(slot));
        let folios = coming.map(|coming| {
            let entry = entries.next().flatten();
            let folio = match coming {
                Coming::Here(folio) => folio,
                // Each waits for the end of its read. Who has locked one of them waits for no other folio's lock.
                Coming::Read(folio) => Locked::lock(folio),
            };
            let is_here = folio.state().entry() == entry && folio.state().is(FolioFlag::UpToDate);
            is_here.then_some(folio)
        });
        Some(FaultInTogether { folios, kind })
    }

    /// [`Swap::put_mapped`] for folios that [`Swap::fault_in_together`] has brought in; those that were mapped say whether they are
    /// written.
    pub fn put_mapped_together<const PAGES: usize>(&self, mapped: [Mapped<'_, M>; PAGES]) {
        let Some((_, area)) = mapped.iter().flatten().find_map(|(folio, _)| self.area_of(folio)) else { return };
        let worthless = mapped
            .map(|mapped| mapped.is_some_and(|(folio, is_written)| self.is_worthless_after(&area, folio, is_written)));
        let mapped = mapped.into_iter().zip(worthless);
        let mut mapped = mapped.filter_map(|(mapped, worthless)| {
            let (folio, _) = mapped?;
            Some((folio.state().entry()?, folio, worthless))
        });
        if let Some(first) = mapped.next() {
            area.put_mapped_run(first, mapped);
        }
    }
}

impl<M: Machine> Area<M> {
    /// Whether the pages in these slots are all out of memory, and one pays for all.
    fn are_out(&self, run: SlotRun) -> bool {
        let Some(cluster) = self.cluster(run.first) else { return false };
        let view = cluster.view();
        let payer = view.get(offset(run.first)).payer();
        (run.first..run.first + run.length).all(|slot| is_out(view.get(offset(slot)), payer))
    }

    /// [`Area::insert`] for folios of one page in the slots from `first` on, which lie in one cluster: all of them, or none.
    fn insert_together<const PAGES: usize>(
        &self,
        first: Entry,
        folios: &[Locked<M::Folio>; PAGES],
    ) -> Option<[Inserted; PAGES]> {
        let (index, slot) = (self.index(), first.slot());
        let cluster = self.cluster(slot)?;
        let mut cluster = cluster.lock();
        let payer = cluster.table_entry(offset(slot)).payer();
        let mut entries = [(first, 0, TableEntry(0)); PAGES];
        for (slot, place) in (slot..).zip(&mut entries) {
            let table_entry = cluster.table_entry(offset(slot));
            let SlotState::Shadow(shadow) = table_entry.state() else { return None };
            *place = (Entry::new(index, slot).filter(|_| is_out(table_entry, payer))?, shadow, table_entry);
        }
        for (folio, (entry, _, table_entry)) in folios.iter().zip(&entries) {
            let cached = table_entry.with_state(SlotState::Folio(folio.number()));
            cluster.set(offset(entry.slot()), cached);
            folio.enter_cache(*entry);
        }
        Some(entries.map(|(_, shadow, table_entry)| Inserted { shadow, zero: table_entry.is_zero() }))
    }
}

/// Whether this is a page out of memory, for which this one pays.
fn is_out(table_entry: TableEntry, payer: u8) -> bool {
    table_entry.is_out() && table_entry.payer() == payer
}
