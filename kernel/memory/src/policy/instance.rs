//! One policy's state for the pages of one cgroup, or for all, and what is the same for every policy.

use quire_machine::frame::NO_FRAME;

use super::decide::Verdict;
use super::pages::{FrameNumber, LIST_MAX, Pages, Queue};
use super::policies::Chosen;
use super::shadow::Shadow;

/// How many pages stay fresh when others are settled: at least so many others come before the accessed bit of a new page is cleared.
pub const FRESH_MAX: usize = 16;

/// How many pages the caller may leave unsettled beyond that, to clear their bits together.
const UNSETTLED_MAX: usize = 32;

/// In a small cgroup fewer pages are fresh: one in so many.
const FRESH_PART: usize = 8;

/// A policy's state. Its lists run through the metadata of the frames that all calls are given, which are always the
/// same; those of several instances run through them side by side.
#[derive(Debug)]
pub struct Instance {
    name: &'static str,
    policy: Chosen,
    /// How many pages are in its lists.
    len: usize,
    fresh: Fresh,
}

/// The pages that came last, in a ring.
#[derive(Debug)]
struct Fresh {
    /// A place for each that may be there, in a power of two; [`NO_FRAME`] where there is none.
    pages: [u32; PLACES],
    first: usize,
    len: usize,
}

const PLACES: usize = (FRESH_MAX + UNSETTLED_MAX).next_power_of_two();

impl Fresh {
    const NONE: Self = Self { pages: [NO_FRAME; PLACES], first: 0, len: 0 };

    const fn is_full(&self) -> bool {
        self.len == FRESH_MAX + UNSETTLED_MAX
    }

    fn push(&mut self, page: FrameNumber) {
        debug_assert!(!self.is_full());
        self.pages[(self.first + self.len) % PLACES] = page.0;
        self.len += 1;
    }

    fn pop(&mut self) -> Option<FrameNumber> {
        let page = self.pages[self.first % PLACES];
        self.first = (self.first + 1) % PLACES;
        self.len -= 1;
        (page != NO_FRAME).then_some(FrameNumber(page))
    }

    fn forget(&mut self, page: FrameNumber) {
        // It is mostly one of those that came last.
        let mut places = (self.first..self.first + self.len).rev().map(|place| place % PLACES);
        if let Some(place) = places.find(|place| self.pages[*place] == page.0) {
            self.pages[place] = NO_FRAME;
        }
    }
}

impl Instance {
    /// An instance of the [default policy](super::DEFAULT), without pages.
    pub const fn of_default() -> Self {
        Self { name: super::DEFAULT, policy: Chosen::of_default(), len: 0, fresh: Fresh::NONE }
    }

    /// An instance of the policy of that name, without pages; `None` if there is no such policy.
    pub fn named(name: &str) -> Option<Self> {
        let (name, policy) = Chosen::named(name)?;
        Some(Self { name, policy, len: 0, fresh: Fresh::NONE })
    }

    /// The policy's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How many pages are in its lists, without isolated ones.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no page is in its lists.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many of them are in lists that are [active](super::Policy::is_active).
    pub fn active(&mut self) -> usize {
        let active = self.active_lists();
        let policy = self.policy.policy();
        policy.queues().iter().filter(|queue| active >> queue.number() & 1 != 0).map(Queue::len).sum()
    }

    /// Those lists, a bit each by its number.
    pub fn active_lists(&mut self) -> u8 {
        let policy = self.policy.policy();
        (1..=LIST_MAX).filter(|number| policy.is_active(*number)).fold(0, |lists, number| lists | 1 << number)
    }

    /// Whether the page is in such a list.
    pub fn is_active(&mut self, pages: Pages<'_>, page: FrameNumber) -> bool {
        self.policy.policy().is_active(pages.list(page))
    }

    /// A page, which no policy knows, has come into memory; `shadow` is what its eviction left, if it was evicted. Then
    /// the caller has to [`settle`](Self::settle).
    pub fn add(&mut self, pages: Pages<'_>, page: FrameNumber, shadow: Shadow) {
        debug_assert_eq!(pages.list(page), 0, "{page} is known");
        self.is_fresh_now(pages, page);
        self.len += 1;
        self.policy.policy().add(pages, page, shadow);
    }

    /// The same for several pages without a past, in frames that follow one another. The others than `accessed` may never be.
    pub fn add_together(&mut self, pages: Pages<'_>, first: FrameNumber, count: u32, accessed: FrameNumber) {
        self.is_fresh_now(pages, accessed);
        self.len += count as usize;
        self.policy.policy().add_together(pages, first, count);
    }

    /// A page that had been read ahead is accessed for the first time, which is no reuse either. Then the caller has to
    /// [`settle`](Self::settle).
    pub fn first_access(&mut self, pages: Pages<'_>, page: FrameNumber) {
        // One that came with the last pages is as good as new for as long as they are.
        if !pages.is_fresh(page) {
            self.is_fresh_now(pages, page);
        }
    }

    fn is_fresh_now(&mut self, pages: Pages<'_>, page: FrameNumber) {
        if self.fresh.is_full()
            && let Some(oldest) = self.fresh.pop()
        {
            pages.set_fresh(oldest, false);
        }
        self.fresh.push(page);
        pages.set_fresh(page, true);
    }

    fn fresh_max(&self) -> usize {
        (self.len / FRESH_PART).clamp(1, FRESH_MAX)
    }

    /// Whether so many pages are to be [settled](Self::settle) that it should be done, for all of them together.
    pub fn is_unsettled(&self) -> bool {
        self.fresh.len >= self.fresh_max() + (self.len / FRESH_PART).clamp(1, UNSETTLED_MAX)
    }

    /// The next page that is not fresh any more, whose accessed bit the caller clears; `None` when there is no more. To
    /// be called when [it should be](Self::is_unsettled), at the latest before the next page comes.
    pub fn settle(&mut self, pages: Pages<'_>) -> Option<FrameNumber> {
        while self.fresh.len > self.fresh_max() {
            if let Some(page) = self.fresh.pop() {
                pages.set_fresh(page, false);
                return Some(page);
            }
        }
        None
    }

    /// Isolates the page that is to be looked at next; `None` if there is none.
    pub fn next(&mut self, pages: Pages<'_>) -> Option<FrameNumber> {
        let page = self.policy.policy().next(pages)?;
        self.len -= 1;
        Some(page)
    }

    /// Isolates the page, if it is in a list; whether it was.
    pub fn isolate(&mut self, pages: Pages<'_>, page: FrameNumber) -> bool {
        if !pages.is_listed(page) {
            return false;
        }
        let Some(queue) = self.queue_of(pages, page) else { return false };
        queue.remove(pages, page);
        self.len -= 1;
        true
    }

    /// What the look at an isolated page has found, whose accessed bit is clear now.
    pub fn looked_at(&mut self, pages: Pages<'_>, page: FrameNumber, accessed: bool) -> Verdict {
        debug_assert!(pages.is_isolated(page));
        let verdict = self.policy.policy().looked_at(pages, page, accessed && !pages.is_fresh(page));
        self.len += usize::from(verdict == Verdict::Stay);
        verdict
    }

    /// An isolated page leaves memory for its slot, where the shadow stays.
    pub fn evicted(&mut self, pages: Pages<'_>, page: FrameNumber) -> Shadow {
        debug_assert!(pages.is_isolated(page));
        let shadow = self.policy.policy().evicted(pages, page);
        self.forget(pages, page);
        shadow
    }

    /// An isolated page stays for now, whatever the verdict was, at the head of the list from which it came.
    pub fn put_back(&mut self, pages: Pages<'_>, page: FrameNumber) {
        debug_assert!(pages.is_isolated(page));
        match self.queue_of(pages, page) {
            Some(queue) => queue.push(pages, page),
            // It was isolated from a list of another policy, in a cgroup that has ended since.
            None => self.policy.policy().add(pages, page, Shadow::NONE),
        }
        self.len += 1;
    }

    /// An isolated page cannot leave just now, and is not to be tried again soon: as if it had been accessed.
    pub fn refused(&mut self, pages: Pages<'_>, page: FrameNumber) {
        debug_assert!(pages.is_isolated(page));
        match self.policy.policy().looked_at(pages, page, true) {
            Verdict::Stay => self.len += 1,
            Verdict::Evict => self.put_back(pages, page),
        }
    }

    /// A page leaves that was not evicted, isolated or not; nothing is known of it afterwards.
    pub fn remove(&mut self, pages: Pages<'_>, page: FrameNumber) {
        self.isolate(pages, page);
        self.forget(pages, page);
    }

    /// The page, whose accessed bit is clear now, is to be looked at before the others of its list, as a program has no use for it
    /// (`MADV_COLD`).
    pub fn look_soon(&mut self, pages: Pages<'_>, page: FrameNumber) {
        if self.isolate(pages, page)
            && let Some(queue) = self.queue_of(pages, page)
        {
            queue.push_last(pages, page);
            self.len += 1;
            pages.set_mark(page, 0);
        }
        self.is_fresh_no_more(pages, page);
    }

    /// Whether the pages mapped beside one that was accessed are worth a look at their accessed bits.
    pub fn looks_around(&mut self) -> bool {
        self.policy.policy().looks_around()
    }

    /// Whether [`accessed_beside`](Self::accessed_beside) is worth a look at the page's accessed bit: it is neither
    /// isolated, when the bit is still to be looked at, nor fresh.
    pub fn may_be_beside(pages: Pages<'_>, page: FrameNumber) -> bool {
        pages.is_listed(page) && !pages.is_fresh(page)
    }

    /// A page that [may be](Self::may_be_beside) was accessed and is mapped beside one that was looked at; its accessed
    /// bit is clear now.
    pub fn accessed_beside(&mut self, pages: Pages<'_>, page: FrameNumber) {
        if Self::may_be_beside(pages, page) {
            self.policy.policy().accessed_beside(pages, page);
        }
    }

    fn queue_of(&mut self, pages: Pages<'_>, page: FrameNumber) -> Option<&mut Queue> {
        let number = pages.list(page);
        let queues = self.policy.policy().queues();
        // They are numbered from 1 on in every policy so far.
        let place = match queues.get(usize::from(number).wrapping_sub(1)) {
            Some(queue) if queue.number() == number => usize::from(number) - 1,
            _ => queues.iter().position(|queue| queue.number() == number)?,
        };
        queues.get_mut(place)
    }

    fn forget(&mut self, pages: Pages<'_>, page: FrameNumber) {
        self.is_fresh_no_more(pages, page);
        pages.forget(page);
    }

    fn is_fresh_no_more(&mut self, pages: Pages<'_>, page: FrameNumber) {
        if pages.is_fresh(page) {
            self.fresh.forget(page);
            pages.set_fresh(page, false);
        }
    }
}
