//! One slot of a zram device: 16 bytes, all of which change only under the slot's own lock, a bit among its flags.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::backing::DiskLocation;
use crate::machine::PoolMachine;
use crate::ranks;
use crate::store::{Object, Stored};

/// Where a slot's page is, what is known of it, and when it was last asked for.
#[derive(Default)]
pub(super) struct Slot {
    word: AtomicU64,
    flags: AtomicU32,
    /// [`PoolMachine::seconds`] of the last access.
    accessed: AtomicU32,
}

const _: () = assert!(size_of::<Slot>() == 16);

/// Where a slot's page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Never written, or freed: it reads as zeros.
    Empty,
    /// In the store.
    Stored(Stored),
    /// On the backing device.
    WrittenBack(DiskLocation),
}

/// What is known of a slot, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Flag {
    /// Not accessed since it was marked.
    Idle = 1 << 4,
    /// Chosen to be written back or compressed again, and not accessed since.
    Chosen = 1 << 5,
    /// No algorithm makes it shorter.
    Incompressible = 1 << 8,
}

const LOCKED: u32 = 1;
const KIND: u32 = 0b110;
const PRIORITY_SHIFT: u32 = 6;
const PRIORITY: u32 = 0b11 << PRIORITY_SHIFT;
const KIND_EMPTY: u32 = 0;
const KIND_SAME: u32 = 0b010;
const KIND_OBJECT: u32 = 0b100;
const KIND_WRITTEN_BACK: u32 = 0b110;

/// The locked slot; dropping it unlocks.
pub(super) struct SlotGuard<'a, M: PoolMachine> {
    slot: &'a Slot,
    machine: PhantomData<fn() -> M>,
}

impl Slot {
    #[inline]
    pub(super) fn lock<M: PoolMachine>(&self) -> SlotGuard<'_, M> {
        loop {
            if let Some(guard) = self.try_lock() {
                return guard;
            }
            M::relax();
        }
    }

    pub(super) fn try_lock<M: PoolMachine>(&self) -> Option<SlotGuard<'_, M>> {
        M::lock_enter(ranks::SLOT);
        if self.flags.fetch_or(LOCKED, Ordering::Acquire) & LOCKED != 0 {
            M::lock_leave(ranks::SLOT);
            return None;
        }
        Some(SlotGuard { slot: self, machine: PhantomData })
    }
}

impl<M: PoolMachine> SlotGuard<'_, M> {
    pub(super) fn content(&self) -> Content {
        let word = self.slot.word.load(Ordering::Relaxed);
        match self.slot.flags.load(Ordering::Relaxed) & KIND {
            KIND_SAME => Content::Stored(Stored::Same(word)),
            KIND_OBJECT => Content::Stored(Stored::Object(Object::from_word(word))),
            KIND_WRITTEN_BACK => Content::WrittenBack(DiskLocation::from_word(word)),
            _ => Content::Empty,
        }
    }

    /// Puts another page in; what was known of the old one is forgotten.
    pub(super) fn replace(&mut self, content: Content) -> Content {
        let old = self.content();
        let (kind, word) = match content {
            Content::Empty => (KIND_EMPTY, 0),
            Content::Stored(Stored::Same(word)) => (KIND_SAME, word),
            Content::Stored(Stored::Object(object)) => (KIND_OBJECT, object.to_word()),
            Content::WrittenBack(location) => (KIND_WRITTEN_BACK, location.to_word()),
        };
        self.slot.word.store(word, Ordering::Relaxed);
        self.slot.flags.store(LOCKED | kind, Ordering::Relaxed);
        old
    }

    pub(super) fn is(&self, flag: Flag) -> bool {
        self.slot.flags.load(Ordering::Relaxed) & flag as u32 != 0
    }

    pub(super) fn set(&mut self, flag: Flag) {
        self.slot.flags.fetch_or(flag as u32, Ordering::Relaxed);
    }

    pub(super) fn clear(&mut self, flag: Flag) {
        self.slot.flags.fetch_and(!(flag as u32), Ordering::Relaxed);
    }

    /// Which algorithm compressed it: 0 is the first.
    pub(super) fn priority(&self) -> u8 {
        ((self.slot.flags.load(Ordering::Relaxed) & PRIORITY) >> PRIORITY_SHIFT) as u8
    }

    pub(super) fn set_priority(&mut self, priority: u8) {
        let others = self.slot.flags.load(Ordering::Relaxed) & !PRIORITY;
        self.slot.flags.store(others | u32::from(priority) << PRIORITY_SHIFT, Ordering::Relaxed);
    }

    /// The slot was read or written just now.
    pub(super) fn mark_accessed(&mut self) {
        self.clear(Flag::Idle);
        self.clear(Flag::Chosen);
        self.slot.accessed.store(M::seconds(), Ordering::Relaxed);
    }

    /// When it was last read or written, in seconds.
    pub(super) fn accessed(&self) -> u32 {
        self.slot.accessed.load(Ordering::Relaxed)
    }
}

impl<M: PoolMachine> Drop for SlotGuard<'_, M> {
    fn drop(&mut self) {
        self.slot.flags.fetch_and(!LOCKED, Ordering::Release);
        M::lock_leave(ranks::SLOT);
    }
}
