//! The free slots of a cluster: a list threaded through their own words, in the order in which they were freed.
//!
//! Taking a slot and giving one back cost the same however full the cluster is, and any free slot can be taken out of
//! the middle, which is what keeps neighbours together.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::cluster::CLUSTER_SLOTS;
use crate::word::{Kind, Word};

/// A word for each slot of a cluster.
pub(crate) type Table = [AtomicU64; CLUSTER_SLOTS];

/// The ends of the list; [`NIL`] if no slot is free.
pub(crate) struct FreeList {
    first: u16,
    last: u16,
}

/// No slot, in the list.
const NIL: u16 = CLUSTER_SLOTS as u16;

/// A free slot's word where there is no table.
pub(crate) const FREE: Word = Kind::Free { previous: NIL, next: NIL }.word();

/// The word at `offset`. Offsets are below 512 anyway; saying so spares a check.
#[inline]
pub(crate) fn load(table: &Table, offset: usize) -> Word {
    Word(table[offset % CLUSTER_SLOTS].load(Ordering::Relaxed))
}

#[inline]
pub(crate) fn store(table: &Table, offset: usize, word: Word) {
    table[offset % CLUSTER_SLOTS].store(word.0, Ordering::Release);
}

impl FreeList {
    pub(crate) const fn empty() -> Self {
        Self { first: NIL, last: NIL }
    }

    /// The list of a new table, all of whose slots are free and have the words of [`FreeList::initial`].
    pub(crate) const fn full() -> Self {
        Self { first: 0, last: NIL - 1 }
    }

    /// The word of a slot in a new table.
    #[inline]
    pub(crate) fn initial(offset: usize) -> Word {
        let previous = if offset == 0 { NIL } else { offset as u16 - 1 };
        Kind::Free { previous, next: offset as u16 + 1 }.word()
    }

    /// A free, aligned run of `length` slots: the one at `wanted`, or the first in the list's order.
    #[inline]
    pub(crate) fn find(&self, table: &Table, wanted: usize, length: usize) -> Option<usize> {
        if is_run_free(table, wanted, length) {
            return Some(wanted);
        }
        let mut free = self.first;
        while free != NIL {
            let first = usize::from(free) & !(length - 1);
            if is_run_free(table, first, length) {
                return Some(first);
            }
            free = load(table, free.into()).neighbours().1;
        }
        None
    }

    /// Takes a free slot off the list; its word is the caller's to write.
    #[inline]
    pub(crate) fn unlink(&mut self, table: &Table, offset: usize) {
        let (previous, next) = load(table, offset).neighbours();
        if previous == NIL {
            self.first = next;
        } else {
            let before = load(table, previous.into()).neighbours().0;
            store(table, previous.into(), Kind::Free { previous: before, next }.word());
        }
        if next == NIL {
            self.last = previous;
        } else {
            let after = load(table, next.into()).neighbours().1;
            store(table, next.into(), Kind::Free { previous, next: after }.word());
        }
    }

    /// Makes the slot free, last in the list.
    #[inline]
    pub(crate) fn append(&mut self, table: &Table, offset: usize) {
        let previous = self.last;
        store(table, offset, Kind::Free { previous, next: NIL }.word());
        if previous == NIL {
            self.first = offset as u16;
        } else {
            let before = load(table, previous.into()).neighbours().0;
            store(table, previous.into(), Kind::Free { previous: before, next: offset as u16 }.word());
        }
        self.last = offset as u16;
    }
}

#[inline]
fn is_run_free(table: &Table, first: usize, length: usize) -> bool {
    if length == 1 {
        return load(table, first).is_free();
    }
    first & (length - 1) == 0
        && table
            .get(first..first + length)
            .is_some_and(|run| run.iter().all(|word| Word(word.load(Ordering::Relaxed)).is_free()))
}
