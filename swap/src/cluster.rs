//! A cluster: 512 consecutive slots with one lock and one table.
//!
//! The table appears when the first slot is taken and vanishes with the last, so an unused cluster costs its own 48
//! bytes, and one in use 8 bytes and a bit for each slot more.
//!
//! Locks: [`Cluster::lock`] guards everything, and all changes of table entries happen under it. [`Cluster::peek`] reads a
//! table entry without it and never waits: the table's own lock is only ever *tried*, and a task that finds it held for
//! writing knows that the table is just appearing or vanishing, which means that no slot is in use.

use alloc::boxed::Box;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::{RwLock, RwLockReadGuard};

use crate::availability::Availability;
use crate::free::{self, FREE, FreeSlots, Table};
use crate::geometry::{CLUSTER_SLOTS, FEW, run_length};
use crate::heap::{self, NoMemory};
use crate::list_id::{Links, ListId};
use crate::machine::Machine;
use crate::panicking::assert_unless_panicking;
use crate::rank::Rank;
use crate::sync::{Guard, Lock};
use crate::table_entry::{COUNT_EXTENDED, INLINE_COUNT_MAX, TableEntry};

/// The cluster's part of an area's array of clusters.
pub(crate) struct Cluster<M: Machine> {
    table: RwLock<Option<Box<Table>>>,
    state: Lock<ClusterState, M, { Rank::Cluster as u8 }>,
    /// The neighbours on the list that [`ClusterState::list`] names; changed only under the area's lists' lock.
    pub(crate) links: Links,
}

pub(crate) struct ClusterState {
    /// What few clusters need.
    extension: Option<Box<[ClusterExtension; 1]>>,
    /// Slots that are not free, the bad ones included.
    used: u16,
    free: FreeSlots,
    /// The class of the folios that the cluster is for, fixed when its first slot is taken.
    class: u8,
    list: ListId,
}

impl ClusterState {
    #[inline]
    fn is_full(&self) -> bool {
        usize::from(self.used) == CLUSTER_SLOTS
    }

    #[inline]
    fn free_slots(&self) -> usize {
        CLUSTER_SLOTS - usize::from(self.used)
    }

    /// Where the cluster belongs while it is neither empty nor full. `fragmented`: the last search found no free run of its class.
    /// One for single slots counts as fragmented from when it was full until it has [`FEW`] free slots again.
    fn list_of_partly_used(&self, fragmented: bool) -> ListId {
        let was_fragmented = self.list == ListId::fragmented(self.class);
        let is_fragmented = if run_length(self.class) == 1 {
            (was_fragmented || self.list == ListId::FULL) && self.free_slots() < FEW
        } else {
            was_fragmented || fragmented
        };
        if is_fragmented { ListId::fragmented(self.class) } else { ListId::partly_used(self.class) }
    }

    #[inline]
    fn free(&mut self, table: &Table, offset: usize) {
        free::store(table, offset, FREE);
        self.free.free(table, offset);
        self.used -= 1;
    }
}

#[derive(Default)]
struct ClusterExtension {
    /// Counts above [`INLINE_COUNT_MAX`], by slot; 0 for those that fit into their table entry.
    counts: Option<Box<[u32; CLUSTER_SLOTS]>>,
    /// How many of `counts` are not 0.
    extended: u16,
    /// The backend's bits for its slots.
    metadata: Option<Box<[u64]>>,
}

/// The locked cluster.
pub(crate) struct ClusterGuard<'a, M: Machine> {
    // Declared first, so dropped first: the table may be taken away only while the cluster's lock is free.
    table: Option<RwLockReadGuard<'a, Option<Box<Table>>>>,
    state: Guard<'a, ClusterState, M, { Rank::Cluster as u8 }>,
    cluster: &'a Cluster<M>,
}

impl<M: Machine> Cluster<M> {
    /// An unused cluster that belongs on `list`.
    pub(crate) const fn new(list: ListId) -> Self {
        const { assert!(size_of::<Self>() * 10 <= CLUSTER_SLOTS, "an unused slot costs at most 0.1 byte") };
        Self {
            table: RwLock::new(None),
            state: Lock::new(ClusterState { extension: None, used: 0, free: FreeSlots::none(), class: 0, list }),
            links: Links::new(),
        }
    }

    /// Where in it the address of its table is, 0 while it has none.
    pub(crate) fn table_offset(&self) -> usize {
        const { assert!(size_of::<Option<Box<Table>>>() == size_of::<usize>()) };
        self.table.as_mut_ptr().addr() - ptr::from_ref(self).addr()
    }

    #[inline]
    pub(crate) fn lock(&self) -> ClusterGuard<'_, M> {
        self.locked(self.state.lock())
    }

    /// Locks the cluster of a slot that belongs to a slot of another area, whose cluster may be locked.
    pub(crate) fn lock_inside(&self) -> ClusterGuard<'_, M> {
        self.locked(self.state.lock_as(Rank::InnerCluster))
    }

    /// Takes the slot at `wanted` or the next free one and sets its table entry, if the cluster is one of the partly used
    /// ones and the area is open; it is one more `in_area` then. Says also whether the cluster is full now, and takes it off its list then.
    #[expect(clippy::inline_always, reason = "the usual way of every slot")]
    #[inline(always)]
    pub(crate) fn take_usual(
        &self,
        wanted: usize,
        table_entry: TableEntry,
        availability: &Availability,
        in_area: &AtomicU64,
        move_to: impl FnOnce(ListId, ListId),
    ) -> Option<(usize, bool)> {
        let mut state = self.state.lock();
        if !state.list.is_partly_used() || !availability.is_open() {
            return None;
        }
        let table = self.table.try_read()?;
        let table = table.as_deref()?;
        let offset = state.free.take(table, wanted)?;
        free::store(table, offset, table_entry);
        state.used += 1;
        // Before the cluster is unlocked: to `swapoff` an area without slots in use is empty.
        in_area.fetch_add(1, Ordering::AcqRel);
        let full = state.is_full();
        if full {
            move_to(mem::replace(&mut state.list, ListId::FULL), ListId::FULL);
        }
        Some((offset, full))
    }

    /// Makes a slot free again that is not the last one in use; the cluster may belong on another list then. False if nothing
    /// was done.
    #[expect(clippy::inline_always, reason = "the usual way of every slot")]
    #[inline(always)]
    pub(crate) fn free_usual(&self, offset: usize, move_to: impl FnOnce(ListId, ListId)) -> bool {
        let mut state = self.state.lock();
        let table = self.table.try_read();
        let Some(Some(table)) = table.as_deref() else { return false };
        if state.used <= 1 {
            return false;
        }
        state.free(table, offset);
        if state.list == ListId::FULL || state.free_slots() == FEW {
            let list = state.list_of_partly_used(false);
            if list != state.list {
                move_to(mem::replace(&mut state.list, list), list);
            }
        }
        true
    }

    #[inline]
    fn locked<'a>(&'a self, state: Guard<'a, ClusterState, M, { Rank::Cluster as u8 }>) -> ClusterGuard<'a, M> {
        // The table's lock is written only under the cluster's, so this fails only for want of a table.
        let table = self.table.try_read().filter(|table| table.is_some());
        ClusterGuard { table, state, cluster: self }
    }

    /// The slot's table entry as it was a moment ago; a free one if the cluster has no table.
    #[inline]
    pub(crate) fn peek(&self, offset: usize) -> TableEntry {
        self.view().get(offset)
    }

    /// Looks at several table entries, or at one several times. As long as the value lives the table cannot vanish.
    #[inline]
    pub(crate) fn view(&self) -> TableView<'_> {
        TableView(self.table.try_read())
    }
}

/// A cluster's table as it changes.
pub(crate) struct TableView<'a>(Option<RwLockReadGuard<'a, Option<Box<Table>>>>);

impl TableView<'_> {
    #[inline]
    pub(crate) fn get(&self, offset: usize) -> TableEntry {
        match self.0.as_deref() {
            Some(Some(table)) => TableEntry(table[offset % CLUSTER_SLOTS].load(Ordering::Acquire)),
            _ => FREE,
        }
    }
}

impl<M: Machine> ClusterGuard<'_, M> {
    #[inline]
    pub(crate) fn table_entry(&self, offset: usize) -> TableEntry {
        self.table().map_or(FREE, |table| free::load(table, offset))
    }

    /// Changes the table entry of a slot that is not free into one that is not free.
    #[inline]
    pub(crate) fn set(&mut self, offset: usize, table_entry: TableEntry) {
        assert_unless_panicking!(
            !self.table_entry(offset).is_free(),
            "slot {offset} of a cluster is free, but something is stored for it: it was freed too early"
        );
        debug_assert!(
            !table_entry.is_free(),
            "slot {offset} of a cluster is made free by a change, and nothing is told so"
        );
        self.store(offset, table_entry);
    }

    #[inline]
    pub(crate) fn list(&self) -> ListId {
        self.state.list
    }

    pub(crate) fn set_list(&mut self, list: ListId) {
        self.state.list = list;
    }

    #[inline]
    pub(crate) fn class(&self) -> u8 {
        self.state.class
    }

    /// Whether no slot is in use.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.state.used == 0
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.state.is_full()
    }

    /// Where the cluster belongs now; `fragmented` if it had free slots, but no run of its class.
    pub(crate) fn list_that_fits(&self, fragmented: bool) -> ListId {
        if self.is_empty() {
            ListId::FREE
        } else if self.is_full() {
            ListId::FULL
        } else {
            self.state.list_of_partly_used(fragmented)
        }
    }

    #[inline]
    pub(crate) fn has_more_used_than(&self, length: u16) -> bool {
        self.state.used > length
    }

    /// Makes sure that there is a table, for slots of folios of `class` if the cluster is empty, with
    /// `metadata_bits` for each slot.
    #[inline]
    pub(crate) fn prepare(&mut self, class: u8, metadata_bits: u8) -> Result<(), NoMemory> {
        if self.is_empty() {
            self.state.class = class;
        }
        if self.table.is_some() { Ok(()) } else { self.make_table(metadata_bits) }
    }

    #[cold]
    fn make_table(&mut self, metadata_bits: u8) -> Result<(), NoMemory> {
        if metadata_bits > 0 {
            let view = CLUSTER_SLOTS * usize::from(metadata_bits) / 64;
            let metadata = heap::slice::<M, _>(view, |_| 0)?;
            self.extension()?.metadata = Some(metadata);
        }
        let table = heap::array::<M, _, { size_of::<Table>() / size_of::<AtomicU64>() }>(free::initial)?;
        // A reader who looks at this cluster right now holds the lock for a few instructions; it may be interrupted, so
        // waiting for it here, where nothing may be preempted, could be for ever.
        *self.cluster.table.try_write().ok_or(NoMemory)? = Some(table);
        self.table = self.cluster.table.try_read();
        self.state.free = FreeSlots::all();
        Ok(())
    }

    /// Frees the table of an empty cluster.
    pub(crate) fn forget_table(&mut self) {
        debug_assert!(self.is_empty());
        self.table = None;
        // With a reader in the way the table stays: it says that all slots are free, and serves again.
        if let Some(mut table) = self.cluster.table.try_write() {
            *table = None;
            self.state.extension = None;
        }
        self.table = self.cluster.table.try_read().filter(|table| table.is_some());
    }

    /// Takes a free, aligned run of slots for a folio of `class`, at `wanted` if that is free, and sets their table entries.
    #[inline]
    pub(crate) fn take(&mut self, class: u8, wanted: usize, table_entry: TableEntry) -> Option<usize> {
        if run_length(class) == 1 {
            self.take_one(wanted, table_entry)
        } else {
            self.take_run(class, wanted, table_entry)
        }
    }

    /// [`ClusterGuard::take`] for a single slot, or the next free one.
    #[inline]
    pub(crate) fn take_one(&mut self, wanted: usize, table_entry: TableEntry) -> Option<usize> {
        let table = self.table.as_ref()?.as_deref()?;
        let state = &mut *self.state;
        let offset = state.free.take(table, wanted)?;
        free::store(table, offset, table_entry);
        state.used += 1;
        Some(offset)
    }

    fn take_run(&mut self, class: u8, wanted: usize, table_entry: TableEntry) -> Option<usize> {
        let table = self.table.as_ref()?.as_deref()?;
        let length = run_length(class) as usize;
        let state = &mut *self.state;
        let first = state.free.take_run(table, wanted, length)?;
        (first..first + length).for_each(|offset| free::store(table, offset, table_entry));
        state.used += length as u16;
        Some(first)
    }

    /// Makes the slot free again.
    #[inline]
    pub(crate) fn free(&mut self, offset: usize) {
        assert_unless_panicking!(!self.table_entry(offset).is_free(), "slot {offset} of a cluster was freed twice");
        if let Some(table) = self.table.as_ref().and_then(|table| table.as_deref()) {
            self.state.free(table, offset);
        }
    }

    /// How many PTEs hold the slot.
    #[inline]
    pub(crate) fn count(&self, offset: usize) -> u32 {
        match self.table_entry(offset).count() {
            COUNT_EXTENDED => self
                .state
                .extension
                .as_ref()
                .and_then(|extension| extension[0].counts.as_ref())
                .map_or(u32::from(COUNT_EXTENDED), |counts| counts[offset]),
            count => u32::from(count),
        }
    }

    /// One more PTE holds the slot.
    #[inline]
    pub(crate) fn add_count(&mut self, offset: usize) -> Result<(), NoMemory> {
        let table_entry = self.table_entry(offset);
        if table_entry.count() < INLINE_COUNT_MAX {
            self.store(offset, table_entry.with_count(table_entry.count() + 1));
            return Ok(());
        }
        self.add_extended_count(offset, table_entry)
    }

    /// One PTE less holds the slot; how many are left.
    #[inline]
    pub(crate) fn remove_count(&mut self, offset: usize) -> u32 {
        let table_entry = self.table_entry(offset);
        match table_entry.count() {
            0 => {
                assert_unless_panicking!(
                    false,
                    "slot {offset} of a cluster lost a count that it did not have: a PTE let go of it twice"
                );
                0
            }
            COUNT_EXTENDED => self.remove_extended_count(offset, table_entry),
            count => {
                self.store(offset, table_entry.with_count(count - 1));
                u32::from(count) - 1
            }
        }
    }

    #[cold]
    fn add_extended_count(&mut self, offset: usize, table_entry: TableEntry) -> Result<(), NoMemory> {
        let extension = self.extension()?;
        let counts = match &mut extension.counts {
            Some(counts) => counts,
            none => none.insert(heap::array::<M, _, CLUSTER_SLOTS>(|_| 0)?),
        };
        if table_entry.count() == COUNT_EXTENDED {
            counts[offset] = counts[offset].checked_add(1).ok_or(NoMemory)?;
            return Ok(());
        }
        counts[offset] = u32::from(COUNT_EXTENDED);
        extension.extended += 1;
        self.store(offset, table_entry.with_count(COUNT_EXTENDED));
        Ok(())
    }

    #[cold]
    fn remove_extended_count(&mut self, offset: usize, table_entry: TableEntry) -> u32 {
        let Some([extension]) = self.state.extension.as_deref_mut() else { return u32::from(COUNT_EXTENDED) };
        let Some(counts) = &mut extension.counts else { return u32::from(COUNT_EXTENDED) };
        counts[offset] -= 1;
        let left = counts[offset];
        if left <= u32::from(INLINE_COUNT_MAX) {
            counts[offset] = 0;
            extension.extended -= 1;
            if extension.extended == 0 {
                extension.counts = None;
            }
            self.store(offset, table_entry.with_count(left as u8));
        }
        left
    }

    /// The backend's `bits` for the slot; 0 until it sets them.
    pub(crate) fn metadata(&self, offset: usize, bits: u8) -> u64 {
        let Some([ClusterExtension { metadata: Some(view), .. }]) = self.state.extension.as_deref() else { return 0 };
        let (index, shift, mask) = metadata_position(offset, bits);
        view[index] >> shift & mask
    }

    /// The backend's `bits` for the slot, which are 0 from here on.
    #[cold]
    pub(crate) fn take_metadata(&mut self, offset: usize, bits: u8) -> u64 {
        let metadata = self.metadata(offset, bits);
        self.set_metadata(offset, bits, 0);
        metadata
    }

    /// Sets the backend's `bits` for the slot.
    pub(crate) fn set_metadata(&mut self, offset: usize, bits: u8, value: u64) {
        let Some([ClusterExtension { metadata: Some(view), .. }]) = self.state.extension.as_deref_mut() else { return };
        let (index, shift, mask) = metadata_position(offset, bits);
        view[index] = view[index] & !(mask << shift) | (value & mask) << shift;
    }

    fn extension(&mut self) -> Result<&mut ClusterExtension, NoMemory> {
        let extension = &mut self.state.extension;
        Ok(match extension {
            Some(extension) => &mut extension[0],
            none => &mut none.insert(heap::array::<M, _, 1>(|_| ClusterExtension::default())?)[0],
        })
    }

    #[inline]
    fn store(&mut self, offset: usize, table_entry: TableEntry) {
        if let Some(table) = self.table() {
            free::store(table, offset, table_entry);
        }
    }

    #[inline]
    fn table(&self) -> Option<&Table> {
        self.table.as_ref().and_then(|table| table.as_deref())
    }
}

/// Index, shift and mask of a slot's metadata in an array of 64 bits each; `bits` is a power of two up to 64, so no slot's
/// bits lie in two of them.
fn metadata_position(offset: usize, bits: u8) -> (usize, usize, u64) {
    let bit = offset * usize::from(bits);
    (bit / 64, bit % 64, u64::MAX >> (64 - bits))
}
