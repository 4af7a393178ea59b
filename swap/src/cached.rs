//! The swap cache, by entries: finding a folio, and taking it out.

use crate::area::Area;
use crate::availability::Reason;
use crate::entry::Entry;
use crate::folio::{Folio, FolioFlag, Locked};
use crate::machine::Machine;
use crate::swap::Swap;

impl<M: Machine> Swap<M> {
    /// The folio in the swap cache at `entry`. Takes no lock and never waits; the folio may leave the cache at once
    /// unless the caller locks it and looks again.
    #[expect(clippy::inline_always, reason = "a few instructions, of which a call would be a good part")]
    #[inline(always)]
    pub fn lookup(&self, entry: Entry) -> Option<M::Folio> {
        self.with_area(entry.area(), |area| area.lookup(entry.slot()))?
    }

    /// Frees the slots of a folio that may be in the swap cache, if no PTE holds them. To be called when the folio was
    /// unmapped, whose reference is `folio`. If another task has it locked, that one does it, and if it is being written,
    /// the end of the write.
    pub fn drop_if_unused(&self, folio: &M::Folio) {
        if let Some((_, area)) = self.area_of(folio) {
            area.drop_if_unused(folio);
        }
    }

    /// Takes the folio out of the cache and frees its slots, if no PTE holds them and it is not being
    /// written. To be called after a folio was mapped back, when its slot is not worth keeping
    /// ([`Swap::is_half_full`], or it will be written to at once).
    pub fn try_free_slot(&self, folio: &Locked<M::Folio>) -> bool {
        self.area_of(folio).is_some_and(|(entry, area)| area.try_free(entry, folio))
    }

    /// Takes a clean folio out of the cache, when the caller has unmapped it and has accounted for all `references`: the
    /// cache's one, the folio's own in `folio`, and whatever lists hold. Its slots keep `shadow`
    /// ([`SHADOW_BITS`](crate::SHADOW_BITS) bits) for [`Machine::added_to_cache`]. The folio comes back
    /// unlocked with one reference less, the cache's: when the caller drops its own, the frames are free.
    ///
    /// # Errors
    /// The folio, still locked and in the cache, if it is dirty, under writeback or known to another task.
    pub fn evict(&self, folio: Locked<M::Folio>, references: u32, shadow: u64) -> Result<M::Folio, Locked<M::Folio>> {
        match self.area_of(&folio) {
            Some((entry, area)) if area.evict(entry, &folio, references, shadow) => Ok(folio.unlock()),
            _ => Err(folio),
        }
    }

    /// [`Swap::evict`] for each of `folios`, whose slots' clusters are locked once for as many as follow one another in them.
    /// `shadow` is asked for each that goes, `done` gets each one that goes, and `folios` is asked for the next, perhaps under
    /// that lock. What stays comes to `done` with nothing locked but itself.
    pub fn evict_each(
        &self,
        folios: impl Iterator<Item = Locked<M::Folio>>,
        references: u32,
        mut shadow: impl FnMut(&M::Folio) -> u64,
        mut done: impl FnMut(Result<M::Folio, Locked<M::Folio>>),
    ) {
        let mut folios = folios.peekable();
        while let Some(folio) = folios.next() {
            match self.area_of(&folio) {
                Some((entry, area)) => {
                    area.evict_run((entry, folio), &mut folios, references, &mut shadow, &mut done);
                }
                None => done(Err(folio)),
            }
        }
    }

    /// Whether a folio in the cache that was mapped again should give its slot up ([`Swap::try_free_slot`]): swap is half full, or
    /// the slot's backend did not take the page.
    pub fn is_slot_worthless(&self, folio: &Locked<M::Folio>) -> bool {
        self.area_of(folio).map_or_else(|| self.is_half_full(), |(_, area)| self.is_slot_worthless_in(&area, folio))
    }

    /// The same for one in this area.
    pub(crate) fn is_slot_worthless_in(&self, area: &Area<M>, folio: &Locked<M::Folio>) -> bool {
        let refused = || area.availability.is_closed_by(Reason::Refusing);
        folio.state().is(FolioFlag::Dirty) && refused() || self.is_half_full_beside(area)
    }

    /// The same where a PTE of the slot was just replaced by one that maps the folio, or a copy: a page that `is_written` through it is
    /// no longer the slot's.
    #[inline]
    pub(crate) fn is_worthless_after(&self, area: &Area<M>, folio: &Locked<M::Folio>, is_written: bool) -> bool {
        is_written || self.is_slot_worthless_in(area, folio)
    }
}
