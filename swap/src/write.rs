//! The way out: from a dirty folio in the cache to a batch.

use crate::availability::Reason;
use crate::folio::{Folio, FolioFlag, Locked};
use crate::machine::{Machine, Occurrence};
use crate::ops::Direction;
use crate::plug::Plug;
use crate::statistics::count;
use crate::swap::Swap;

/// What became of a folio that was to be written.
pub enum Written<M: Machine> {
    /// It is in the plug's batch, under writeback and unlocked. Its end is [`Machine::writes_ended`].
    Queued,
    /// All its pages are zero: its slots say so, nothing is written, and it can be evicted at once.
    Zero(Locked<M::Folio>),
    /// The area's backend has no space: the folio stays, dirty and in the cache, until [`Swap::return_refused`] has found those
    /// who use it.
    Refused(Locked<M::Folio>),
    /// The running thread may not enter the area's backend ([`Machine::may_enter_file_systems`]): the folio stays, dirty and in the
    /// cache, for a thread that may.
    ForAnother(Locked<M::Folio>),
    /// No PTE holds its slots any more: they are free, and so is the folio when the caller drops it.
    Unused(Locked<M::Folio>),
}

impl<M: Machine> Swap<M> {
    /// Starts to write a folio that is in the cache, unmapped and up to date. It is clean from here on; a failed write
    /// makes it dirty again. The order of steps is that of Linux's `swap_writeout`.
    pub fn write(&self, plug: &mut Plug<M>, folio: Locked<M::Folio>) -> Written<M> {
        if folio.state().is(FolioFlag::Writeback) {
            // It may be in this very plug.
            plug.submit();
            folio.wait_for_writeback();
        }
        let Some((entry, area)) = self.area_of(&folio) else { return Written::Unused(folio) };
        if !area.may_be_written_to() {
            return Written::ForAnother(folio);
        }
        let pages = 1 << folio.order();
        if (0..pages).all(|page| folio.is_zero(page)) {
            if !area.set_zero(entry, &folio) {
                return Written::Unused(folio);
            }
            folio.state().clear(FolioFlag::Dirty);
            count!(area, zero_out, pages as u64);
            return Written::Zero(folio);
        }
        let (is_held, was_zero) = area.glance(entry, folio.order());
        if !is_held && area.try_free(entry, &folio) {
            return Written::Unused(folio);
        }
        // Before anything is stored, so that the slot never names contents that it does not have.
        if was_zero {
            area.set_stored(entry, folio.order());
        }
        if area.availability.is_closed_by(Reason::Refusing) {
            area.note_refused(&folio);
            return Written::Refused(folio);
        }
        count!(area, pages_out, pages as u64);
        M::note(Occurrence::Moved { entry, frame: folio.number(), direction: Direction::Write });
        plug.add(&area, folio.into_writeback(area.flags.stable_writes), entry.slot(), Direction::Write);
        Written::Queued
    }
}
