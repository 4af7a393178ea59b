//! One policy's state for the pages of one memory group, or for all, and what is the same for every policy.

use super::decide::Verdict;
use super::pages::{FrameNumber, Pages, Queue};
use super::policies::Chosen;
use super::shadow::Shadow;

/// How many pages are fresh at most: how many others come before the accessed bit of a new page is cleared.
pub const FRESH_MAX: usize = 32;

/// How many pages the caller may leave unsettled beyond that, to clear their bits together.
const UNSETTLED_MAX: usize = 32;

/// In a small group fewer pages are fresh: one in so many.
const FRESH_PART: usize = 8;

/// A policy's state. Its lists run through the metadata of the frames that all calls are given, which are always the
/// same; those of several instances run through them side by side.
#[derive(Debug)]
pub struct Instance {
    name: &'static str,
    policy: Chosen,
    fresh: Fresh,
}

/// The pages that came last, in a ring.
#[derive(Debug)]
struct Fresh {
    pages: [Option<FrameNumber>; FRESH_MAX + UNSETTLED_MAX],
    first: usize,
    len: usize,
}

impl Fresh {
    fn push(&mut self, page: FrameNumber) {
        debug_assert!(self.len < self.pages.len());
        self.pages[(self.first + self.len) % self.pages.len()] = Some(page);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<FrameNumber> {
        let page = self.pages[self.first].take();
        self.first = (self.first + 1) % self.pages.len();
        self.len -= 1;
        page
    }

    fn forget(&mut self, page: FrameNumber) {
        if let Some(found) = self.pages.iter_mut().find(|found| **found == Some(page)) {
            *found = None;
        }
    }
}

impl Instance {
    /// An instance of the policy of that name, without pages; `None` if there is no such policy.
    pub fn named(name: &str) -> Option<Self> {
        let (name, policy) = Chosen::named(name)?;
        Some(Self { name, policy, fresh: Fresh { pages: [None; _], first: 0, len: 0 } })
    }

    /// The policy's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How many pages are in its lists, without isolated ones.
    pub fn len(&mut self) -> usize {
        self.policy.policy().queues().iter().map(Queue::len).sum()
    }

    /// Whether no page is in its lists.
    pub fn is_empty(&mut self) -> bool {
        self.len() == 0
    }

    /// A page, which no policy knows, has come into memory; `shadow` is what its eviction left, if it was evicted. Then
    /// the caller has to [`settle`](Self::settle).
    pub fn add(&mut self, pages: Pages<'_>, page: FrameNumber, shadow: Shadow) {
        debug_assert_eq!(pages.list(page), 0, "{page} is known");
        self.is_fresh_now(pages, page);
        self.policy.policy().add(pages, page, shadow);
    }

    /// A page that had been read ahead is accessed for the first time, which is no reuse either. Then the caller has to
    /// [`settle`](Self::settle).
    pub fn first_access(&mut self, pages: Pages<'_>, page: FrameNumber) {
        if pages.is_fresh(page) {
            self.fresh.forget(page);
        }
        self.is_fresh_now(pages, page);
    }

    fn is_fresh_now(&mut self, pages: Pages<'_>, page: FrameNumber) {
        if self.fresh.len == self.fresh.pages.len()
            && let Some(oldest) = self.fresh.pop()
        {
            pages.set_fresh(oldest, false);
        }
        self.fresh.push(page);
        pages.set_fresh(page, true);
    }

    /// The next page that is not fresh any more, whose accessed bit the caller clears; `None` when there is no more. To
    /// be called after every page that came, or at least after every 32nd.
    pub fn settle(&mut self, pages: Pages<'_>) -> Option<FrameNumber> {
        let most = (self.len() / FRESH_PART).clamp(1, FRESH_MAX);
        while self.fresh.len > most {
            if let Some(page) = self.fresh.pop() {
                pages.set_fresh(page, false);
                return Some(page);
            }
        }
        None
    }

    /// Isolates the page that is to be looked at next; `None` if there is none.
    pub fn next(&mut self, pages: Pages<'_>) -> Option<FrameNumber> {
        self.policy.policy().next(pages)
    }

    /// What the look at an isolated page has found, whose accessed bit is clear now.
    pub fn looked_at(&mut self, pages: Pages<'_>, page: FrameNumber, accessed: bool) -> Verdict {
        debug_assert!(pages.is_isolated(page));
        self.policy.policy().looked_at(pages, page, accessed && !pages.is_fresh(page))
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
        if let Some(queue) = self.queue_of(pages, page) {
            queue.push(pages, page);
        }
    }

    /// A page leaves that was not evicted, isolated or not; nothing is known of it afterwards.
    pub fn remove(&mut self, pages: Pages<'_>, page: FrameNumber) {
        if pages.is_listed(page)
            && let Some(queue) = self.queue_of(pages, page)
        {
            queue.remove(pages, page);
        }
        self.forget(pages, page);
    }

    /// The page is to be looked at before the others of its list, as a program has no use for it (`MADV_COLD`).
    pub fn look_soon(&mut self, pages: Pages<'_>, page: FrameNumber) {
        if pages.is_listed(page)
            && let Some(queue) = self.queue_of(pages, page)
        {
            queue.remove(pages, page);
            queue.push_last(pages, page);
            pages.set_mark(page, 0);
        }
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
        self.policy.policy().queues().iter_mut().find(|queue| queue.number() == number)
    }

    fn forget(&mut self, pages: Pages<'_>, page: FrameNumber) {
        if pages.is_fresh(page) {
            self.fresh.forget(page);
        }
        pages.forget(page);
    }
}
