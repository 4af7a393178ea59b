//! Where a processor took its last slot, which is where it looks first.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::area::Area;
use crate::geometry::{offset, run_length};
use crate::machine::Machine;
use crate::slot_request::Taken;

/// A slot of an area, or of none that can be, in one word: a hint.
pub(crate) struct Cursor(AtomicU64);

impl Cursor {
    const NONE: u64 = (u8::MAX as u64) << u32::BITS;

    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(Self::NONE))
    }

    /// It is nowhere again.
    pub(crate) fn forget(&self) {
        self.0.store(Self::NONE, Ordering::Relaxed);
    }

    /// The area's index and the slot.
    #[inline]
    pub(crate) fn get(&self) -> (usize, u32) {
        let slot = self.0.load(Ordering::Relaxed);
        ((slot >> u32::BITS) as usize, slot as u32)
    }

    /// Remembers the slot after the folio's; nothing at the end of a cluster, or if the cluster is full, so that areas
    /// take turns, on a rotational device, which is filled in order by all processors, or if the backend chooses the slots.
    pub(crate) fn set<M: Machine>(&self, area: &Area<M>, taken: Taken, class: u8) {
        let next = taken.first.wrapping_add(run_length(class));
        let over = taken.full || offset(next) == 0 || area.properties.rotational || area.flags.allocates_slots;
        let slot = if over { Self::NONE } else { u64::from(area.index) << u32::BITS | u64::from(next) };
        self.0.store(slot, Ordering::Relaxed);
    }

    /// [`Cursor::set`] for a slot of the area where the last one was.
    #[inline]
    pub(crate) fn go_on<M: Machine>(&self, area: &Area<M>, taken: Taken) {
        let next = taken.first.wrapping_add(1);
        self.go_to(area, (offset(next) != 0).then_some(next));
    }

    #[inline]
    pub(crate) fn go_to<M: Machine>(&self, area: &Area<M>, slot: Option<u32>) {
        let slot = slot.map_or(Self::NONE, |slot| u64::from(area.index) << u32::BITS | u64::from(slot));
        self.0.store(slot, Ordering::Relaxed);
    }
}
