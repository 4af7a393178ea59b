//! The swap cache and the counts: what is in an area's slots.
//!
//! The cache is the swap table itself. A slot in use holds a folio (it is cached) or a shadow (it is not); a slot that
//! is not cached has a count of at least 1, so a slot without a count is freed in the same critical section that
//! takes the folio out. The cache holds one reference to each folio in it, however many slots the folio has.
//!
//! A folio enters and leaves the cache while it is locked, under the lock of its cluster: a task that has locked a folio
//! knows that it stays where [`FolioState::entry`](crate::folio::FolioState::entry) says.

use core::iter::Peekable;
use core::ops::Range;

use crate::area::Area;
use crate::cluster::{Cluster, ClusterGuard, TableView};
use crate::entry::Entry;
use crate::folio::{Folio, FolioFlag, Locked};
use crate::geometry::{are_in_one_cluster, cluster_of, offset, slots};
use crate::heap::NoMemory;
use crate::machine::{Level, Machine};
use crate::panicking::assert_unless_panicking;
use crate::release::Freed;
use crate::table_entry::{SlotState, TableEntry};

/// What was found in the slots of a folio that was added to the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// What the eviction before left there.
    pub shadow: u64,
    /// The pages are zero and not stored anywhere.
    pub zero: bool,
}

/// What is in a slot.
pub(crate) enum InSlot<F> {
    /// This folio.
    Folio(F),
    /// No folio, though a PTE holds the slot, for which this one pays.
    Nothing(u8),
    /// No folio, and no PTE holds the slot.
    Gone,
}

/// Why a folio cannot be added to the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// The slot is not in use any more.
    Gone,
    /// The slot has a folio.
    Exists,
    /// Some of the folio's other slots are free, cached, zero while others are not, paid for by another, or beyond the cluster.
    Conflict,
}

/// Why a slot's count was not raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicateError {
    /// The slot is not in use, or not in an area (Linux: `ENOENT`).
    NotInUse(Entry),
    /// The slot is the header, a bad page or owned by a backend (Linux: `EINVAL`).
    Bad(Entry),
    /// The count needs the cluster's extension, for which there is no memory (Linux: `ENOMEM`).
    NoMemory,
}

impl<M: Machine> Area<M> {
    /// The slot's table entry as it was a moment ago.
    #[inline]
    pub(crate) fn peek(&self, slot: u32) -> Option<TableEntry> {
        Some(self.cluster(slot)?.peek(offset(slot)))
    }

    /// [`Swap::payer`](crate::Swap::payer) of one of its slots.
    #[inline]
    pub fn payer(&self, slot: u32) -> u8 {
        self.peek(slot).map_or(0, TableEntry::payer)
    }

    /// Whether PTEs hold any of a folio's slots, and whether any of these is a zero page's, as it was a moment ago.
    pub(crate) fn glance(&self, entry: Entry, order: u8) -> (bool, bool) {
        let Some(cluster) = self.cluster(entry.slot()) else { return (false, false) };
        let view = cluster.view();
        slots(entry, order)
            .map(|slot| view.get(offset(slot)))
            .fold((false, false), |(is_held, is_zero), table_entry| {
                (is_held || table_entry.count() > 0, is_zero || table_entry.is_zero())
            })
    }

    /// The folio in the slot, with a reference. Takes no lock and never waits.
    #[inline]
    pub fn lookup(&self, slot: u32) -> Option<M::Folio> {
        match self.clusters.get_fixed(cluster_of(slot)) {
            Some(cluster) => cached_folio(cluster, slot),
            None => self.lookup_on_demand(slot),
        }
    }

    #[inline(never)]
    fn lookup_on_demand(&self, slot: u32) -> Option<M::Folio> {
        cached_folio(&*self.cluster(slot)?, slot)
    }

    /// [`Area::lookup`] that also says whether the slot is in use if there is no folio in it.
    pub(crate) fn find(&self, slot: u32) -> InSlot<M::Folio> {
        let Some(cluster) = self.cluster(slot) else { return InSlot::Gone };
        let view = cluster.view();
        let table_entry = view.get(offset(slot));
        match table_entry.folio().map(|number| take_reference::<M>(&view, offset(slot), number)) {
            Some(Some(folio)) => InSlot::Folio(folio),
            None if table_entry.count() == 0 => InSlot::Gone,
            // Or the folio has just gone.
            Some(None) | None => InSlot::Nothing(table_entry.payer()),
        }
    }

    /// Adds a new folio to the cache at the slots from `entry` on, which must be in use and not cached.
    ///
    /// # Errors
    /// [`InsertError`]; the folio is not in the cache then.
    pub fn insert(&self, entry: Entry, folio: &Locked<M::Folio>) -> Result<Inserted, InsertError> {
        let (first, length) = (offset(entry.slot()), 1 << folio.order());
        let cluster = self.cluster(entry.slot()).ok_or(InsertError::Gone)?;
        let mut cluster = cluster.lock();
        let table_entry = cluster.table_entry(first);
        let shadow = match table_entry.state() {
            SlotState::Shadow(shadow) => shadow,
            // The first slot is not the one that a large folio is wanted for.
            _ if length > 1 => return Err(InsertError::Conflict),
            SlotState::Folio(_) => return Err(InsertError::Exists),
            SlotState::Free | SlotState::Owned(_) | SlotState::Bad => return Err(InsertError::Gone),
        };
        let alike = |other: TableEntry| {
            let key = |entry: TableEntry| (entry.is_zero(), entry.payer());
            other.is_out() && key(other) == key(table_entry)
        };
        if !first.is_multiple_of(length) || !(first..first + length).all(|offset| alike(cluster.table_entry(offset))) {
            return Err(InsertError::Conflict);
        }
        let number = folio.number();
        for offset in first..first + length {
            let cached = cluster.table_entry(offset).with_state(SlotState::Folio(number));
            cluster.set(offset, cached);
        }
        folio.enter_cache(entry);
        Ok(Inserted { shadow, zero: table_entry.is_zero() })
    }

    /// Takes a clean folio out of the cache if only the caller knows of it: `references` are the cache's and the
    /// caller's. Slots with a count keep `shadow`, the others are freed. On success the caller has one reference less.
    pub(crate) fn evict(&self, entry: Entry, folio: &Locked<M::Folio>, references: u32, shadow: u64) -> bool {
        self.cluster(entry.slot())
            .is_some_and(|cluster| self.evict_in(&mut cluster.lock(), entry, folio, references, |_| shadow))
    }

    /// [`Area::evict`] for `first` and those of `others` behind it that are in the same cluster, up to one that stays. The
    /// cluster is locked once; `shadow` is asked for each one that goes.
    pub(crate) fn evict_run(
        &self,
        (entry, first): (Entry, Locked<M::Folio>),
        others: &mut Peekable<impl Iterator<Item = Locked<M::Folio>>>,
        references: u32,
        mut shadow: impl FnMut(&M::Folio) -> u64,
        done: &mut impl FnMut(Result<M::Folio, Locked<M::Folio>>),
    ) {
        let Some(cluster) = self.cluster(entry.slot()) else { return done(Err(first)) };
        let mut cluster = cluster.lock();
        let mut next = Some((entry, first));
        while let Some((entry, folio)) = next {
            if !self.evict_in(&mut cluster, entry, &folio, references, &mut shadow) {
                drop(cluster);
                return done(Err(folio));
            }
            done(Ok(folio.unlock_unknown()));
            let follows = others.peek().and_then(|folio| folio.state().entry());
            next = follows
                .filter(|other| are_in_one_cluster(entry, *other))
                .and_then(|entry| Some((entry, others.next()?)));
        }
    }

    #[inline]
    fn evict_in(
        &self,
        cluster: &mut ClusterGuard<'_, M>,
        entry: Entry,
        folio: &Locked<M::Folio>,
        references: u32,
        shadow: impl FnOnce(&M::Folio) -> u64,
    ) -> bool {
        let state = folio.state();
        if state.is(FolioFlag::Writeback) || !folio.try_freeze(references) {
            return false;
        }
        // Looked at while no task can write to the page and mark it.
        if state.is(FolioFlag::Dirty) {
            folio.thaw();
            return false;
        }
        self.leave_shadow(entry, folio, cluster, shadow(folio));
        folio.thaw();
        true
    }

    /// Takes a folio that could not be read out of the cache, though others may know of it: there is nothing in it to lose.
    pub fn withdraw(&self, entry: Entry, folio: &Locked<M::Folio>) {
        self.withdraw_leaving(entry, folio, 0);
    }

    /// The same, leaving in the slots what eviction had left there.
    pub fn withdraw_leaving(&self, entry: Entry, folio: &Locked<M::Folio>, shadow: u64) {
        debug_assert!(
            !folio.state().is(FolioFlag::UpToDate),
            "a folio that has contents is read from its slot once more"
        );
        let Some(cluster) = self.cluster(entry.slot()) else { return };
        self.leave_shadow(entry, folio, &mut cluster.lock(), shadow);
    }

    fn leave_shadow(&self, entry: Entry, folio: &Locked<M::Folio>, cluster: &mut ClusterGuard<'_, M>, shadow: u64) {
        for slot in slots(entry, folio.order()) {
            let evicted = cluster.table_entry(offset(slot)).with_state(SlotState::Shadow(shadow));
            cluster.set(offset(slot), evicted);
            if evicted.count() == 0 {
                self.free_run(cluster, slot, 1);
            }
        }
        // Not the last one: the caller has the folio locked.
        drop(folio.leave_cache());
    }

    /// Takes a folio out of the cache and frees its slots if no PTE holds any of them and it is not being
    /// written. Then memory has the only copy, so the folio is dirty.
    pub(crate) fn try_free(&self, entry: Entry, folio: &Locked<M::Folio>) -> bool {
        self.cluster(entry.slot()).is_some_and(|cluster| self.try_free_in(&mut cluster.lock(), entry, folio))
    }

    fn try_free_in(&self, cluster: &mut ClusterGuard<'_, M>, entry: Entry, folio: &Locked<M::Folio>) -> bool {
        let mut run = slots(entry, folio.order());
        if folio.state().is(FolioFlag::Writeback) || run.any(|slot| cluster.count(offset(slot)) > 0) {
            return false;
        }
        folio.state().set(FolioFlag::Dirty);
        self.remove(entry, folio, cluster);
        true
    }

    /// Frees the slots of a cached folio whose counts are all 0, and takes the cache's reference back.
    pub(crate) fn remove(&self, entry: Entry, folio: &Locked<M::Folio>, cluster: &mut ClusterGuard<'_, M>) {
        let reference = folio.leave_cache();
        self.free_run(cluster, entry.slot(), 1 << folio.order());
        // Not the last one: the caller has the folio locked.
        drop(reference);
    }

    /// [`Area::try_free`] for a folio that another task may have locked: then that one has to see to it. For a folio that is
    /// under writeback it is the end of that.
    pub(crate) fn drop_if_unused(&self, folio: &M::Folio) {
        if let Some(locked) = Locked::try_lock_or_orphan(folio)
            && let Some(entry) = locked.state().entry()
            && entry.area() == self.index
        {
            self.try_free(entry, &locked);
        }
    }

    /// [`Area::drop_if_unused`] when the folio's writeback has ended, which is needed only if its last count went meanwhile.
    pub(crate) fn drop_if_unheld(&self, folio: &M::Folio) {
        let table_entry = folio.state().entry().and_then(|entry| self.peek(entry.slot()));
        if table_entry.is_some_and(|table_entry| table_entry.count() == 0) {
            self.drop_if_unused(folio);
        }
    }

    /// Drops every folio in these slots that only the cache holds.
    pub(crate) fn drop_unused_in(&self, slots: Range<u64>) {
        for slot in slots {
            let slot = slot as u32;
            if self.peek(slot).is_some_and(|table_entry| table_entry.count() == 0 && table_entry.folio().is_some())
                && let Some(folio) = self.lookup(slot)
            {
                self.drop_if_unused(&folio);
            }
        }
    }

    /// One more PTE holds the slot.
    #[inline]
    pub(crate) fn duplicate(&self, entry: Entry) -> Result<(), DuplicateError> {
        if let Some(cluster) = self.clusters.get_fixed(cluster_of(entry.slot())) {
            return duplicate_in(&mut cluster.lock(), entry);
        }
        self.duplicate_on_demand(entry)
    }

    #[inline(never)]
    fn duplicate_on_demand(&self, entry: Entry) -> Result<(), DuplicateError> {
        duplicate_in(&mut self.cluster(entry.slot()).ok_or(DuplicateError::NotInUse(entry))?.lock(), entry)
    }

    /// [`Area::duplicate`] for `first` and those of `others` behind it in the same cluster, which is locked once.
    pub(crate) fn duplicate_run<T>(
        &self,
        (entry, whose): (Entry, T),
        others: &mut Peekable<impl Iterator<Item = (Entry, T)>>,
        mut done: impl FnMut(Entry, T, Result<(), DuplicateError>),
    ) {
        let Some(cluster) = self.cluster(entry.slot()) else {
            return done(entry, whose, Err(DuplicateError::NotInUse(entry)));
        };
        let mut cluster = cluster.lock();
        done(entry, whose, duplicate_in(&mut cluster, entry));
        while let Some((entry, whose)) = others.next_if(|(other, _)| are_in_one_cluster(entry, *other)) {
            done(entry, whose, duplicate_in(&mut cluster, entry));
        }
    }

    /// One PTE less holds the slot; it is freed with the last one, unless its folio is busy.
    #[inline]
    pub(crate) fn put(&self, entry: Entry) {
        if let Some(cluster) = self.clusters.get_fixed(cluster_of(entry.slot())) {
            self.put_in(cluster.lock(), entry);
        } else {
            self.put_on_demand(entry);
        }
    }

    #[inline(never)]
    fn put_on_demand(&self, entry: Entry) {
        if let Some(cluster) = self.cluster(entry.slot()) {
            self.put_in(cluster.lock(), entry);
        }
    }

    #[expect(clippy::inline_always, reason = "the usual way of every count")]
    #[inline(always)]
    fn put_in(&self, mut cluster: ClusterGuard<'_, M>, entry: Entry) {
        match lower_count(&mut cluster, entry) {
            Lowered::Held => {}
            Lowered::Unheld => self.free_run(&mut cluster, entry.slot(), 1),
            other => self.put_slowly(cluster, entry, other),
        }
    }

    /// [`Area::put`] for `first` and those of `others` behind it in the same cluster, which is locked once unless one is in the
    /// swap cache.
    pub(crate) fn put_run(&self, first: Entry, others: &mut Peekable<impl Iterator<Item = Entry>>) {
        let Some(cluster) = self.cluster(first.slot()) else { return };
        let mut cluster = cluster.lock();
        let (mut freed, mut next) = (Freed::default(), Some(first));
        while let Some(entry) = next {
            match lower_count(&mut cluster, entry) {
                Lowered::Held => {}
                Lowered::Unheld => self.free_slot(&mut cluster, entry.slot(), &mut freed),
                other => {
                    self.note_freed(&mut cluster, freed);
                    return self.put_slowly(cluster, entry, other);
                }
            }
            next = others.next_if(|other| are_in_one_cluster(first, *other));
        }
        self.note_freed(&mut cluster, freed);
    }

    /// What is left to do without the cluster's lock when a count was lowered.
    fn put_slowly(&self, cluster: ClusterGuard<'_, M>, entry: Entry, lowered: Lowered) {
        let Lowered::Cached(number) = lowered else {
            drop(cluster);
            M::log(Level::Error, format_args!("{entry} lost a count that it did not have: a PTE let go of it twice"));
            assert_unless_panicking!(false, "{entry} lost a count that it did not have: a PTE let go of it twice");
            return;
        };
        // The table entry cannot change now, so the cache's reference keeps the folio what it is.
        let folio = M::Folio::try_from_number(number);
        drop(cluster);
        if let Some(folio) = folio {
            self.drop_if_unused(&folio);
        }
    }

    /// One PTE less holds the slot, whose folio the caller has locked: with it, the slot stays, unless it
    /// `is_worthless`: then [`Area::try_free`].
    #[inline]
    pub(crate) fn put_mapped(&self, entry: Entry, folio: &Locked<M::Folio>, is_worthless: bool) {
        let Some(cluster) = self.cluster(entry.slot()) else { return };
        self.put_mapped_in(&mut cluster.lock(), entry, folio, is_worthless);
    }

    #[inline]
    fn put_mapped_in(
        &self,
        cluster: &mut ClusterGuard<'_, M>,
        entry: Entry,
        folio: &Locked<M::Folio>,
        is_worthless: bool,
    ) {
        debug_assert!(
            matches!(cluster.table_entry(offset(entry.slot())).state(), SlotState::Folio(_)),
            "the folio of {entry} is mapped, but the swap cache has none there: it left the cache while it was locked"
        );
        debug_assert!(
            cluster.count(offset(entry.slot())) > 0,
            "a PTE lets go of {entry}, but no PTE is counted there: one let go of it twice, or was not counted"
        );
        cluster.remove_count(offset(entry.slot()));
        if is_worthless && let Some(first) = folio.state().entry() {
            self.try_free_in(cluster, first, folio);
        }
    }

    /// [`Area::put_mapped`] for `first` and `others`, whose slots are in one cluster, which is locked once.
    pub(crate) fn put_mapped_run<'a>(
        &self,
        first: (Entry, &'a Locked<M::Folio>, bool),
        others: impl Iterator<Item = (Entry, &'a Locked<M::Folio>, bool)>,
    ) {
        let Some(cluster) = self.cluster(first.0.slot()) else { return };
        let mut cluster = cluster.lock();
        for (entry, folio, is_worthless) in core::iter::once(first).chain(others) {
            debug_assert!(are_in_one_cluster(first.0, entry));
            self.put_mapped_in(&mut cluster, entry, folio, is_worthless);
        }
    }

    /// Marks all slots of a folio in the cache as zero pages, or frees them if no PTE holds any of them ([`Area::try_free`]); whether
    /// they are in use still.
    pub(crate) fn set_zero(&self, entry: Entry, folio: &Locked<M::Folio>) -> bool {
        let Some(cluster) = self.cluster(entry.slot()) else { return true };
        let mut cluster = cluster.lock();
        if self.try_free_in(&mut cluster, entry, folio) {
            return false;
        }
        for slot in slots(entry, folio.order()) {
            let table_entry = cluster.table_entry(offset(slot)).with_zero(true);
            cluster.set(offset(slot), table_entry);
            if self.metadata_bits > 0 {
                let metadata = cluster.take_metadata(offset(slot), self.metadata_bits);
                self.ops.slot_zeroed(self, slot, metadata);
            }
        }
        true
    }

    /// The slots of a folio in the cache, which were marked as zero pages, are stored ones.
    pub(crate) fn set_stored(&self, entry: Entry, order: u8) {
        let Some(cluster) = self.cluster(entry.slot()) else { return };
        let mut cluster = cluster.lock();
        for slot in slots(entry, order) {
            let table_entry = cluster.table_entry(offset(slot)).with_zero(false);
            cluster.set(offset(slot), table_entry);
        }
    }
}

/// What is left of a slot that one PTE less holds.
#[derive(Clone, Copy)]
enum Lowered {
    /// Other PTEs hold it.
    Held,
    /// Nothing.
    Unheld,
    /// The swap cache has its folio, with this number.
    Cached(u64),
    /// There was no count.
    Missing,
}

/// One PTE less holds the slot.
#[inline]
fn lower_count<M: Machine>(cluster: &mut ClusterGuard<'_, M>, entry: Entry) -> Lowered {
    let offset = offset(entry.slot());
    let state = cluster.table_entry(offset).state();
    if !matches!(state, SlotState::Shadow(_) | SlotState::Folio(_)) || cluster.count(offset) == 0 {
        return Lowered::Missing;
    }
    match (cluster.remove_count(offset), state) {
        (0, SlotState::Folio(number)) => Lowered::Cached(number),
        (0, _) => Lowered::Unheld,
        _ => Lowered::Held,
    }
}

#[expect(clippy::inline_always, reason = "the usual way of every count")]
#[inline(always)]
fn duplicate_in<M: Machine>(cluster: &mut ClusterGuard<'_, M>, entry: Entry) -> Result<(), DuplicateError> {
    match cluster.table_entry(offset(entry.slot())).state() {
        SlotState::Free => Err(DuplicateError::NotInUse(entry)),
        SlotState::Bad | SlotState::Owned(_) => Err(DuplicateError::Bad(entry)),
        SlotState::Shadow(_) | SlotState::Folio(_) => {
            cluster.add_count(offset(entry.slot())).map_err(|NoMemory| DuplicateError::NoMemory)
        }
    }
}

/// The folio in a slot of the cluster, with a reference.
#[inline]
fn cached_folio<M: Machine>(cluster: &Cluster<M>, slot: u32) -> Option<M::Folio> {
    let view = cluster.view();
    let number = view.get(offset(slot)).folio()?;
    take_reference::<M>(&view, offset(slot), number)
}

/// A reference to the folio that was in the slot, if it is still there when it has been taken.
#[inline(never)]
fn take_reference<M: Machine>(view: &TableView<'_>, offset: usize, number: u64) -> Option<M::Folio> {
    M::overtaken();
    let folio = M::Folio::try_from_number(number)?;
    M::overtaken();
    // Without this look the frame might have become another folio before the reference was taken.
    (view.get(offset).folio() == Some(number)).then_some(folio)
}
