//! A swap area: one enabled device, its clusters and its backend.
//!
//! Slots are taken in [`crate::allocate`] and freed in [`crate::release`]; reading and changing what is in them is in
//! [`crate::cache`]. Everything about a slot happens under its cluster's lock; the lists of clusters have their own lock
//! inside it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::availability::Availability;
use crate::batch::BatchPool;
use crate::cluster::ClusterGuard;
use crate::clusters::{ClusterRef, Clusters};
use crate::disk::{Claim, Disk, DiskProperties};
use crate::entry::Entry;
use crate::extents::Extents;
use crate::geometry::{CLASSES, CLUSTER_SLOTS, cluster_of, first_slot, offset};
use crate::heap::NoMemory;
use crate::list_id::ListId;
use crate::lists::Lists;
use crate::machine::{Level, Machine};
use crate::ops::{SwapOps, SwapOpsFlags};
use crate::priorities::Priorities;
use crate::rank::Rank;
use crate::ratelimit::RateLimit;
use crate::sparse::Sparse;
use crate::statistics::{Statistics, count};
use crate::sync::Lock;
use crate::table_entry::{SlotState, TableEntry};

/// An enabled swap area.
pub struct Area<M: Machine> {
    pub(crate) index: u8,
    pub(crate) priority: i16,
    pub(crate) name: Box<str>,
    /// An area whose backend needs none has none.
    pub(crate) disk: Option<Claim<M>>,
    pub(crate) properties: DiskProperties,
    /// Captured at `swapon`, kept until the area is gone.
    pub(crate) ops: Arc<dyn SwapOps<M>>,
    /// The backend's.
    pub(crate) flags: SwapOpsFlags,
    pub(crate) metadata_bits: u8,
    /// The backend keeps nothing for each slot, and need not be told of freed ones.
    pub(crate) is_plain: bool,
    /// Clusters are discarded when they become empty.
    pub(crate) discard_clusters: bool,
    pub(crate) extents: Extents,
    /// For the layer before an area on a disk: a byte for each page of the disk, whatever becomes of the slot of the same number.
    pub(crate) page_notes: Option<Sparse<AtomicU8, M>>,
    /// Slots, the header and the bad ones included.
    pub(crate) slots: u64,
    /// Slots that can be used.
    pub(crate) usable: u64,
    pub(crate) clusters: Clusters<M>,
    pub(crate) lists: Lock<Lists, M, { Rank::Lists as u8 }>,
    /// Slots in use. Raised while the slot's cluster is locked, and lowered only after the backend was told that it is free, so that
    /// `swapoff` cannot miss one.
    pub(crate) used: AtomicU64,
    /// Whether slots may be taken; read under a cluster's lock before a slot of it is.
    pub(crate) availability: Availability,
    /// On a rotational device, where the last slot of each class was taken, by any processor.
    pub(crate) sequential: [AtomicU32; CLASSES],
    pub(crate) statistics: Statistics,
    /// Lines about batches that failed.
    pub(crate) failures: RateLimit,
    pub(crate) shared: Arc<Shared<M>>,
}

/// What all areas share.
pub(crate) struct Shared<M: Machine> {
    /// The areas that slots are taken from.
    pub(crate) priorities: Lock<Priorities, M, { Rank::Priorities as u8 }>,
    pub(crate) pool: BatchPool<M>,
    pub(crate) statistics: Statistics,
}

impl<M: Machine> Area<M> {
    /// Its index, as in its entries.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// The path of its device.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its backend.
    pub fn ops(&self) -> &Arc<dyn SwapOps<M>> {
        &self.ops
    }

    /// Its device; an area may have none ([`Swap::swapon_without_disk`](crate::Swap::swapon_without_disk)).
    pub fn disk(&self) -> Option<&Arc<dyn Disk<M>>> {
        self.disk.as_deref()
    }

    /// What its device is like.
    pub fn properties(&self) -> DiskProperties {
        self.properties
    }

    /// Where its pages lie on the device.
    pub fn extents(&self) -> &Extents {
        &self.extents
    }

    /// What the layer before the area notes of each page of its disk; none if there is no layer, or no disk that has pages as
    /// they are.
    pub fn page_notes(&self) -> Option<&Sparse<AtomicU8, M>> {
        self.page_notes.as_ref()
    }

    /// Whether its device is told of clusters that become empty, and loses what is in them.
    pub fn discards_clusters(&self) -> bool {
        self.discard_clusters
    }

    /// Whether there is such a slot, and not a bad one.
    pub fn is_usable(&self, slot: u32) -> bool {
        self.peek(slot).is_some_and(|table_entry| table_entry.state() != SlotState::Bad)
    }

    /// Its own counters.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Slots, the header's and the bad ones included.
    pub fn slots(&self) -> u64 {
        self.slots
    }

    /// Slots that can be used: without the header and bad pages.
    pub fn usable(&self) -> u64 {
        self.usable
    }

    /// Its priority: higher ones are filled first, equal ones in turn.
    pub fn priority(&self) -> i16 {
        self.priority
    }

    /// Slots in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Whether a slot that can be used is not in use.
    pub(crate) fn has_free_slots(&self) -> bool {
        self.used() < self.usable
    }

    /// How many of its clusters exist: all, or in an area without a device those in use and a few beside them.
    pub fn existing_clusters(&self) -> usize {
        self.clusters.existing().count()
    }

    /// The backend's own bits for a slot, 0 if it set none since the slot was allocated. Not from inside
    /// [`SwapOps::slot_free_notify`], which is told them.
    pub fn metadata(&self, slot: u32) -> u64 {
        if self.metadata_bits == 0 {
            return 0;
        }
        self.cluster(slot).map_or(0, |cluster| cluster.lock().metadata(offset(slot), self.metadata_bits))
    }

    /// Sets the backend's own bits for a slot in use, and says what they were.
    pub fn replace_metadata(&self, slot: u32, value: u64) -> u64 {
        let Some(cluster) = self.cluster(slot) else { return 0 };
        let mut cluster = cluster.lock();
        let before = cluster.metadata(offset(slot), self.metadata_bits);
        cluster.set_metadata(offset(slot), self.metadata_bits, value);
        before
    }

    /// Sets the backend's own bits for a slot in use if they are what is expected.
    pub fn exchange_metadata(&self, slot: u32, expected: u64, value: u64) -> bool {
        self.exchange_metadata_if(slot, expected, value, |_| true)
    }

    /// The same for a slot whose page is in no frame, nor on its way into one.
    pub fn exchange_metadata_if_out(&self, slot: u32, expected: u64, value: u64) -> bool {
        self.exchange_metadata_if(slot, expected, value, TableEntry::is_out)
    }

    fn exchange_metadata_if(&self, slot: u32, expected: u64, value: u64, is_so: impl Fn(TableEntry) -> bool) -> bool {
        let Some(cluster) = self.cluster(slot) else { return false };
        let mut cluster = cluster.lock();
        let is_expected =
            cluster.metadata(offset(slot), self.metadata_bits) == expected && is_so(cluster.table_entry(offset(slot)));
        if is_expected {
            cluster.set_metadata(offset(slot), self.metadata_bits, value);
        }
        is_expected
    }

    /// Looks at the backend's bits of the slots in use from `from` on, until `look` says that it has seen enough. Returns
    /// the slot to go on from; `None` at the end.
    pub fn look_at_metadata(&self, from: u32, mut look: impl FnMut(u32, u64) -> bool) -> Option<u32> {
        for index in self.clusters.existing_from(cluster_of(from)) {
            let Some(cluster) = self.clusters.get(index) else { continue };
            let cluster = cluster.lock();
            if cluster.is_empty() {
                continue;
            }
            for slot in self.cluster_slots(index).skip_while(|slot| *slot < from.into()) {
                let slot = slot as u32;
                if !look(slot, cluster.metadata(offset(slot), self.metadata_bits)) {
                    return Some(slot + 1);
                }
            }
        }
        None
    }

    /// Sets the backend's own bits for a slot in use.
    pub fn set_metadata(&self, slot: u32, value: u64) {
        if self.metadata_bits > 0
            && let Some(cluster) = self.cluster(slot)
        {
            cluster.lock().set_metadata(offset(slot), self.metadata_bits, value);
        }
    }

    /// Whether its pages lie on its disk as they are: then other areas' slots can have theirs there too.
    pub fn is_on_disk(&self) -> bool {
        self.flags.pages_on_disk
    }

    /// Whether the running thread may have its backend store a page.
    #[inline]
    pub(crate) fn may_be_written_to(&self) -> bool {
        !self.flags.no_file_systems || M::may_enter_file_systems()
    }

    /// Whether the layer before other backends is before its own, or is all that it has.
    pub fn has_frontswap(&self) -> bool {
        self.flags.frontswap
    }

    /// Whether the layer before other backends is all that it has (Linux: ghost swap).
    pub fn is_ghost(&self) -> bool {
        self.flags.frontswap && !self.flags.pages_on_disk
    }

    /// Counts a failed batch and says so in the log, but not too often.
    pub fn report_failure(&self, message: fmt::Arguments<'_>) {
        count!(self, failed_batches, 1);
        self.failures.log::<M>(self.name(), Level::Error, message);
    }

    pub(crate) fn shared(&self) -> &Shared<M> {
        &self.shared
    }

    #[inline]
    pub(crate) fn cluster(&self, slot: u32) -> Option<ClusterRef<'_, M>> {
        self.clusters.get(cluster_of(slot))
    }

    /// The entry of one of its slots.
    pub fn entry(&self, slot: u32) -> Option<Entry> {
        if u64::from(slot) < self.slots { Entry::new(self.index, slot) } else { None }
    }

    /// Puts every cluster on the list of free ones: once, while no other task knows the area. Of those that exist only while
    /// they are in use, these are the first.
    pub(crate) fn fill_lists(&self) -> Result<(), NoMemory> {
        if self.grow()? {
            return Ok(());
        }
        let mut lists = self.lists.lock();
        for index in self.clusters.existing() {
            lists.move_to(&self.clusters, index, ListId::NONE, ListId::FREE);
        }
        drop(lists);
        for index in self.clusters.existing() {
            if let Some(cluster) = self.clusters.get(index) {
                cluster.lock().set_list(ListId::FREE);
            }
        }
        Ok(())
    }

    /// Makes sure that a cluster, which is locked, has a table, for slots of folios of `class` if it is empty, and that what is noted of
    /// its pages has a place.
    pub(crate) fn prepare(&self, index: usize, cluster: &mut ClusterGuard<'_, M>, class: u8) -> Result<(), NoMemory> {
        if let Some(notes) = &self.page_notes {
            // A leaf has those of whole clusters.
            notes.grow(first_slot(index))?;
        }
        cluster.prepare(class, self.metadata_bits)
    }

    /// Takes a slot out of use for ever: once each, while no other task knows the area.
    pub(crate) fn mark_bad(&self, slot: u64) -> Result<(), NoMemory> {
        let index = (slot / CLUSTER_SLOTS as u64) as usize;
        let Some(cluster) = self.clusters.get(index) else { return Ok(()) };
        let mut cluster = cluster.lock();
        self.prepare(index, &mut cluster, 0)?;
        let taken = cluster.take(0, (slot % CLUSTER_SLOTS as u64) as usize, SlotState::Bad.table_entry());
        debug_assert!(taken.is_some(), "slot {slot} of {} is bad, and was taken before", self.name());
        self.relist(index, &mut cluster, false);
        Ok(())
    }

    /// The slots of a cluster.
    pub(crate) fn cluster_slots(&self, index: usize) -> Range<u64> {
        let first = u64::from(first_slot(index));
        first..(first + CLUSTER_SLOTS as u64).min(self.slots)
    }

    /// Whether more than half of the slots are in use (Linux: `vm_swap_full`, by area).
    pub(crate) fn is_half_full(&self) -> bool {
        self.used() * 2 > self.usable
    }

    /// Whether a large folio can be written to a run of slots, and be read from one: not where they could lie apart on the disk.
    pub(crate) fn takes_runs(&self) -> bool {
        self.extents.len() == 1 && !self.flags.single_pages
    }

    /// Tells the device that it need not keep these pages of the area. A device that refuses loses nothing but speed.
    pub fn discard(&self, slots: Range<u64>) {
        let Some(disk) = &self.disk else { return };
        for run in self.extents.runs(slots) {
            if let Err(error) = disk.discard(run.clone()) {
                let name = self.name();
                M::log(Level::Warning, format_args!("{name} does not discard pages {run:?}: {error}"));
                return;
            }
        }
    }
}
