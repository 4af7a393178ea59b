//! Pages that are used once pass through a short list, and those that were used again are in a long one.
//!
//! A page comes into the short list, which has a part in 32 of memory. If it is accessed there, it goes to the long list; else it
//! leaves. One that comes back to memory before too many others have left the short list has been used twice in that time, and goes
//! to the long list at once. That time is longer than memory has pages: of a loop that is larger than memory, pages come
//! back so late, and those that are in the long list by then are as good as those that are not, so they stay. In the long list
//! an accessed page has another turn. A page that leaves it has no advantage when it comes back.

use crate::policy::decide::{Policy, Verdict};
use crate::policy::pages::{FrameNumber, Pages, Queue};
use crate::policy::shadow::{Evictions, Shadow};

const SHORT: usize = 0;
const LONG: usize = 1;

/// The short list has one page in so many.
const SHORT_PART: usize = 32;

#[derive(Debug)]
pub(in crate::policy) struct Own {
    queues: [Queue; 2],
    /// Pages that left the short list.
    passed: Evictions,
}

impl Own {
    pub(super) const fn new() -> Self {
        Self { queues: [Queue::new(1), Queue::new(2)], passed: Evictions::new() }
    }

    fn all(&self) -> usize {
        self.queues.iter().map(Queue::len).sum()
    }

    /// How many others may have left the short list since a page did that comes back soon.
    fn soon(&self) -> u64 {
        self.all() as u64 * 3 / 2
    }
}

impl Policy for Own {
    fn queues(&mut self) -> &mut [Queue] {
        &mut self.queues
    }

    fn add(&mut self, pages: Pages<'_>, page: FrameNumber, shadow: Shadow) {
        let list = match self.passed.distance(shadow) {
            Some(others) if others <= self.soon() => LONG,
            _ => SHORT,
        };
        self.queues[list].push(pages, page);
    }

    fn next(&mut self, pages: Pages<'_>) -> Option<FrameNumber> {
        if self.queues[SHORT].len() <= self.all() / SHORT_PART {
            let page = self.queues[LONG].isolate(pages);
            if page.is_some() {
                return page;
            }
        }
        self.queues[SHORT].isolate(pages).or_else(|| self.queues[LONG].isolate(pages))
    }

    fn looked_at(&mut self, pages: Pages<'_>, page: FrameNumber, accessed: bool) -> Verdict {
        if accessed {
            self.queues[LONG].push(pages, page);
            return Verdict::Stay;
        }
        Verdict::Evict
    }

    fn evicted(&mut self, pages: Pages<'_>, page: FrameNumber) -> Shadow {
        if pages.list(page) == self.queues[LONG].number() {
            return Shadow::NONE;
        }
        self.passed.count()
    }

    fn is_active(&self, list: u8) -> bool {
        list == self.queues[LONG].number()
    }
}
