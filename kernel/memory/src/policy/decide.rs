//! What a policy is asked and told.

use super::pages::{FrameNumber, Pages, Queue};
use super::shadow::Shadow;

/// What becomes of a page that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in a list again.
    Stay,
    /// It is to leave memory, and isolated until it has.
    Evict,
}

/// How often a page that is not accessed is looked at, at the most, before it is to go.
pub const LOOKS_MAX: usize = 6;

/// Decides which page goes.
pub trait Policy {
    /// Its lists, each with another number.
    fn queues(&mut self) -> &mut [Queue];

    /// A page has come into memory; `shadow` is what its eviction left, if it was evicted.
    fn add(&mut self, pages: Pages<'_>, page: FrameNumber, shadow: Shadow);

    /// The same for so many pages without a past, in frames that follow one another from `first` on.
    fn add_together(&mut self, pages: Pages<'_>, first: FrameNumber, count: u32) {
        (first.0..first.0 + count).for_each(|page| self.add(pages, FrameNumber(page), Shadow::NONE));
    }

    /// Isolates the page that is to be looked at next; `None` only if there is none in its lists.
    fn next(&mut self, pages: Pages<'_>) -> Option<FrameNumber>;

    /// What the look at an isolated page has found; its accessed bit is clear now. Puts it into a list, unless it is to
    /// go.
    ///
    /// For a page that was not accessed ever since it has to be [`Verdict::Evict`] within [`LOOKS_MAX`] looks.
    fn looked_at(&mut self, pages: Pages<'_>, page: FrameNumber, accessed: bool) -> Verdict;

    /// An isolated page leaves memory for its slot, where the shadow stays.
    fn evicted(&mut self, pages: Pages<'_>, page: FrameNumber) -> Shadow;

    /// Whether pages in the list of that number are protected from the next looks: what Linux calls active.
    fn is_active(&self, _list: u8) -> bool {
        false
    }

    /// Whether the pages mapped beside one that was accessed are worth a look at their accessed bits.
    fn looks_around(&self) -> bool {
        false
    }

    /// A page in a list was accessed that is mapped beside one that was looked at; its accessed bit is clear now.
    fn accessed_beside(&mut self, _pages: Pages<'_>, _page: FrameNumber) {}
}
