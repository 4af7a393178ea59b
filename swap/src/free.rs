//! The free slots of a cluster: a bit for each, behind the entries of its table, and a bit for each 64 of them.
//!
//! Taking a slot and freeing one cost the same however full the cluster is. The slot that is wanted is taken if it is
//! free, else the next one that is, so that what is taken one after another ascends and a disk can write it as one request.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::geometry::CLUSTER_SLOTS;
use crate::table_entry::{SlotState, TableEntry};

/// Words of bits.
const GROUPS: usize = CLUSTER_SLOTS / GROUP;
/// Slots that share 64 bits.
const GROUP: usize = u64::BITS as usize;

/// An entry for each slot of a cluster, then the bits of those that are free. All is changed under the cluster's lock alone.
pub(crate) type Table = [AtomicU64; CLUSTER_SLOTS + GROUPS];

/// Which groups of slots have a free one.
pub(crate) struct FreeSlots(u8);

/// A free slot's table entry.
pub(crate) const FREE: TableEntry = SlotState::Free.table_entry();

/// The table entry at `offset`. Offsets are below 512 anyway; saying so spares a check.
#[inline]
pub(crate) fn load(table: &Table, offset: usize) -> TableEntry {
    TableEntry(table[offset % CLUSTER_SLOTS].load(Ordering::Relaxed))
}

#[inline]
pub(crate) fn store(table: &Table, offset: usize, table_entry: TableEntry) {
    table[offset % CLUSTER_SLOTS].store(table_entry.0, Ordering::Release);
}

/// What a new table has at `place`: every slot is free.
#[inline]
pub(crate) fn initial(place: usize) -> AtomicU64 {
    AtomicU64::new(if place < CLUSTER_SLOTS { FREE.0 } else { u64::MAX })
}

#[inline]
fn group(table: &Table, group: usize) -> u64 {
    table[CLUSTER_SLOTS + group % GROUPS].load(Ordering::Relaxed)
}

impl FreeSlots {
    /// Those of a cluster without a table.
    pub(crate) const fn none() -> Self {
        Self(0)
    }

    /// Those of a new table.
    pub(crate) const fn all() -> Self {
        const { assert!(GROUPS == u8::BITS as usize) };
        Self(u8::MAX)
    }

    /// Takes a slot: `wanted`, or the next one that is free, the first one following the last.
    #[expect(clippy::inline_always, reason = "the usual way of every slot")]
    #[inline(always)]
    pub(crate) fn take(&mut self, table: &Table, wanted: usize) -> Option<usize> {
        let mut place = wanted / GROUP % GROUPS;
        let mut bits = group(table, place);
        let mut ahead = bits >> (wanted % GROUP) << (wanted % GROUP);
        if ahead == 0 {
            if self.0 == 0 {
                return None;
            }
            place = (place + 1 + self.0.rotate_right(place as u32 + 1).trailing_zeros() as usize) % GROUPS;
            bits = group(table, place);
            ahead = bits;
        }
        let bit = ahead & ahead.wrapping_neg();
        self.set_group(table, place, bits & !bit);
        Some(place * GROUP + bit.trailing_zeros() as usize)
    }

    /// Takes an aligned run of `length` slots, a power of two: the one at `wanted`, or the first that is free.
    pub(crate) fn take_run(&mut self, table: &Table, wanted: usize, length: usize) -> Option<usize> {
        let first = if wanted.is_multiple_of(length) && is_run_free(table, wanted, length) {
            wanted
        } else {
            (0..CLUSTER_SLOTS).step_by(length.max(GROUP)).find_map(|from| first_run(table, from, length))?
        };
        for place in first / GROUP..(first + length).div_ceil(GROUP) {
            let taken = mask(length) << (first % GROUP);
            self.set_group(table, place, group(table, place) & !taken);
        }
        Some(first)
    }

    /// Notes that the slot is free again.
    #[inline]
    pub(crate) fn free(&mut self, table: &Table, offset: usize) {
        let place = offset / GROUP % GROUPS;
        let bits = group(table, place) | 1 << (offset % GROUP);
        table[CLUSTER_SLOTS + place].store(bits, Ordering::Relaxed);
        self.0 |= 1 << place;
    }

    #[inline]
    fn set_group(&mut self, table: &Table, place: usize, bits: u64) {
        table[CLUSTER_SLOTS + place % GROUPS].store(bits, Ordering::Relaxed);
        if bits == 0 {
            self.0 &= !(1 << place);
        }
    }
}

/// The lowest `length` bits of a group.
const fn mask(length: usize) -> u64 {
    if length >= GROUP { u64::MAX } else { (1 << length) - 1 }
}

fn is_run_free(table: &Table, first: usize, length: usize) -> bool {
    let wanted = mask(length) << (first % GROUP);
    (first / GROUP..(first + length).div_ceil(GROUP)).all(|place| group(table, place) & wanted == wanted)
}

/// The first free, aligned run that begins in the group at `from`.
fn first_run(table: &Table, from: usize, length: usize) -> Option<usize> {
    if length >= GROUP {
        return is_run_free(table, from, length).then_some(from);
    }
    // A bit stays if it and the `length - 1` above it are set.
    let mut runs = group(table, from / GROUP);
    let mut span = 1;
    while span < length {
        runs &= runs >> span;
        span *= 2;
    }
    let aligned = runs & (u64::MAX / mask(length));
    (aligned != 0).then(|| from + aligned.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::{CLUSTER_SLOTS, FreeSlots, Table, initial};

    fn table() -> Table {
        core::array::from_fn(initial)
    }

    #[test]
    fn every_slot_is_taken_once_from_the_wanted_one_on() {
        let (table, mut free) = (table(), FreeSlots::all());
        let taken: Vec<_> = core::iter::from_fn(|| free.take(&table, 100)).collect();
        assert!(taken.iter().copied().eq((100..CLUSTER_SLOTS).chain(0..100)));
        free.free(&table, 70);
        free.free(&table, 99);
        assert_eq!(
            [free.take(&table, 100), free.take(&table, 100), free.take(&table, 100)],
            [Some(70), Some(99), None]
        );
    }

    #[test]
    fn runs_are_aligned_free_and_taken_once() {
        for order in 0..10 {
            let length = 1 << order;
            let (table, mut free) = (table(), FreeSlots::all());
            // One slot in the middle is in use.
            assert_eq!(free.take(&table, 300), Some(300));
            let mut runs: Vec<_> = core::iter::from_fn(|| free.take_run(&table, 256, length)).collect();
            runs.sort_unstable();
            let expected = (0..CLUSTER_SLOTS).step_by(length).filter(|first| !(*first..first + length).contains(&300));
            assert!(runs.iter().copied().eq(expected), "length {length}: {runs:?}");
            let left: Vec<_> = core::iter::from_fn(|| free.take(&table, 0)).collect();
            assert_eq!(left.len(), CLUSTER_SLOTS - 1 - runs.len() * length);
        }
    }
}
