//! Slots as values: what owns one gives it back by being dropped.

use alloc::sync::Arc;
use core::mem;

use crate::area::{Area, offset};
use crate::entry::Entry;
use crate::machine::Machine;
use crate::ops::SlotRun;
use crate::swap::Swap;

/// Allocated slots that are in no page-table word and not in the swap cache. Dropping them frees them.
pub struct Slots<M: Machine> {
    pub(crate) area: Arc<Area<M>>,
    pub(crate) run: SlotRun,
}

impl<M: Machine> Slots<M> {
    /// The area.
    pub fn area(&self) -> &Arc<Area<M>> {
        &self.area
    }

    /// The slots.
    pub fn run(&self) -> SlotRun {
        self.run
    }
}

impl<M: Machine> Drop for Slots<M> {
    fn drop(&mut self) {
        if let Some(cluster) = self.area.cluster(self.run.first) {
            let mut cluster = cluster.lock();
            debug_assert!(cluster.word(offset(self.run.first)).folio().is_none());
            if self.run.length == 1 {
                self.area.free_one(cluster, self.run.first);
            } else {
                self.area.free_run(&mut cluster, self.run.first, self.run.length);
            }
        }
    }
}

/// One of a slot's counts: what a page-table word owns that holds the slot's entry. Dropping it gives the count back,
/// and with the last one the slot.
pub struct SlotReference<'a, M: Machine> {
    swap: &'a Swap<M>,
    entry: Entry,
}

impl<'a, M: Machine> SlotReference<'a, M> {
    pub(crate) fn new(swap: &'a Swap<M>, entry: Entry) -> Self {
        Self { swap, entry }
    }

    /// The slot.
    pub fn entry(&self) -> Entry {
        self.entry
    }

    /// Moves the count into a page-table word.
    pub fn into_word(self) -> u64 {
        let word = self.entry.to_word();
        mem::forget(self);
        word
    }

    /// Takes the count out of a page-table word that [`SlotReference::into_word`] made and that the caller has just
    /// replaced by another; `None` for any other word.
    pub fn from_word(swap: &'a Swap<M>, word: u64) -> Option<Self> {
        Entry::from_word(word).map(|entry| Self { swap, entry })
    }
}

impl<M: Machine> Drop for SlotReference<'_, M> {
    fn drop(&mut self) {
        self.swap.put(self.entry);
    }
}
