//! How slots are freed, and which list a cluster is on.

use core::mem;
use core::ops::Range;
use core::sync::atomic::Ordering;

use crate::area::Area;
use crate::cluster::ClusterGuard;
use crate::clusters::Clusters;
use crate::geometry::{CLUSTER_SLOTS, cluster_of, offset};
use crate::list_id::ListId;
use crate::machine::{Event, Machine, Occurrence};
use crate::ops::SlotRun;
use crate::panicking::assert_unless_panicking;

/// What was freed in one critical section of a cluster, whichever cgroups paid for it: [`Area::note_freed`] ends it.
#[derive(Default)]
#[must_use]
pub(crate) struct Freed {
    slots: u32,
    /// The last of them, side by side, which were not told yet.
    row: Range<u32>,
    /// Who paid for the last of them, and for how many in a row that are not taken off its charge yet.
    payer: u8,
    paid: u32,
}

impl Freed {
    #[inline]
    fn pay<M: Machine>(&mut self, payer: u8) {
        if payer != self.payer {
            self.uncharge::<M>();
            self.payer = payer;
        }
        self.paid += 1;
    }

    #[inline]
    fn uncharge<M: Machine>(&mut self) {
        let slots = mem::take(&mut self.paid);
        if self.payer != 0 && slots > 0 {
            M::uncharge_slots(self.payer, slots);
        }
    }
}

impl<M: Machine> Area<M> {
    /// Frees a slot without count, in a cluster that is not locked, and tells the backend.
    #[inline]
    pub(crate) fn free(&self, slot: u32) {
        // The usual case: others in the cluster stay in use.
        if self.is_plain
            && let Some(cluster) = self.clusters.get_fixed(cluster_of(slot))
            && cluster.free_usual(offset(slot), |from, to| self.note_moved(slot, from, to))
        {
            M::note(Occurrence::SlotsFreed { area: self.index, first: slot, count: 1 });
            self.lower_used(1);
        } else {
            self.free_slowly(slot);
        }
    }

    #[inline(never)]
    fn free_slowly(&self, slot: u32) {
        if let Some(cluster) = self.cluster(slot) {
            self.free_run(&mut cluster.lock(), slot, 1);
        }
    }

    /// Frees a run of slots without count, in a cluster that is not locked, and tells the backend.
    #[inline(never)]
    pub(crate) fn free_all(&self, run: SlotRun) {
        if let Some(cluster) = self.cluster(run.first) {
            self.free_run(&mut cluster.lock(), run.first, run.length);
        }
    }

    /// Moves a slot's cluster, which is locked and says so itself already, from one list to another.
    #[inline(never)]
    pub(crate) fn note_moved(&self, slot: u32, from: ListId, to: ListId) {
        self.lists.lock().move_to(&self.clusters, cluster_of(slot), from, to);
    }

    /// Frees a run of slots without count, in a cluster that is locked, and tells the backend.
    pub(crate) fn free_run(&self, cluster: &mut ClusterGuard<'_, M>, first: u32, length: u32) {
        let mut freed = Freed::default();
        for slot in first..first + length {
            self.free_slot(cluster, slot, &mut freed);
        }
        self.note_freed(cluster, freed);
    }

    /// Slots of the cluster were freed by [`Self::free_slot`].
    pub(crate) fn note_freed(&self, cluster: &mut ClusterGuard<'_, M>, mut freed: Freed) {
        freed.uncharge::<M>();
        if freed.slots > 0 {
            self.tell_freed(&freed.row);
            self.relist(cluster_of(freed.row.start), cluster, false);
            self.lower_used(freed.slots.into());
        }
    }

    /// Slots in a row were freed: one thing that happens, however many they are.
    #[inline]
    fn tell_freed(&self, row: &Range<u32>) {
        if !row.is_empty() {
            M::note(Occurrence::SlotsFreed { area: self.index, first: row.start, count: row.end - row.start });
        }
    }

    #[inline]
    fn lower_used(&self, slots: u64) {
        let before = self.used.fetch_sub(slots, Ordering::AcqRel);
        if self.availability.wants_space() {
            self.slots_freed(before - slots);
        }
    }

    /// Frees one slot without count, in a cluster that is locked, and tells the backend. [`Self::note_freed`] is to follow.
    #[inline]
    pub(crate) fn free_slot(&self, cluster: &mut ClusterGuard<'_, M>, slot: u32, freed: &mut Freed) {
        assert_unless_panicking!(
            cluster.count(offset(slot)) == 0,
            "slot {slot} of {} is freed, but {} more PTE(s) hold it: a PTE was not counted when it was copied, or let go of the \
             slot twice",
            self.name(),
            cluster.count(offset(slot))
        );
        let metadata =
            if self.metadata_bits == 0 { 0 } else { cluster.take_metadata(offset(slot), self.metadata_bits) };
        if !self.is_plain {
            self.ops.slot_free_notify(self, slot, metadata);
        }
        freed.pay::<M>(cluster.table_entry(offset(slot)).payer());
        cluster.free(offset(slot));
        freed.slots += 1;
        if freed.row.end != slot {
            self.tell_freed(&freed.row);
            freed.row = slot..slot;
        }
        freed.row.end += 1;
    }

    /// Lets `to` pay for the slots that `from` pays for; how many these are.
    pub(crate) fn replace_payer(&self, from: u8, to: u8) -> usize {
        let mut replaced = 0;
        for index in self.clusters.existing() {
            let Some(cluster) = self.clusters.get(index) else { continue };
            let mut cluster = cluster.lock();
            for offset in 0..CLUSTER_SLOTS {
                let table_entry = cluster.table_entry(offset);
                if table_entry.payer() == from {
                    cluster.set(offset, table_entry.with_payer(to));
                    replaced += 1;
                }
            }
        }
        replaced
    }

    /// Moves the cluster to the list that it belongs on now; `fragmented` if it had free slots, but no run of its class.
    pub(crate) fn relist(&self, index: usize, cluster: &mut ClusterGuard<'_, M>, fragmented: bool) {
        let now = cluster.list();
        let list = match cluster.list_that_fits(fragmented) {
            ListId::FREE if self.discard_clusters && now != ListId::FREE => ListId::DISCARD,
            list => list,
        };
        if list != now {
            self.move_to_list(index, cluster, list);
        }
    }

    pub(crate) fn move_to_list(&self, index: usize, cluster: &mut ClusterGuard<'_, M>, list: ListId) {
        if cluster.is_empty() {
            cluster.forget_table();
        }
        let from = cluster.list();
        cluster.set_list(list);
        self.lists.lock().move_to(&self.clusters, index, from, list);
        let mut work = list == ListId::DISCARD;
        if let Clusters::OnDemand(directory) = &self.clusters
            && (from == ListId::FREE) != (list == ListId::FREE)
        {
            work |= directory.count_used(index, from == ListId::FREE);
        }
        if work {
            M::wake(Event::Work);
        }
    }
}
