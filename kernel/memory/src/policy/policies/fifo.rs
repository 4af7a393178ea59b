//! First in, first out: whether a page is used does not matter.

use crate::policy::decide::{Policy, Verdict};
use crate::policy::pages::{FrameNumber, Pages, Queue};
use crate::policy::shadow::{Evictions, Shadow};

#[derive(Debug)]
pub(in crate::policy) struct Fifo {
    queues: [Queue; 1],
    evictions: Evictions,
}

impl Fifo {
    pub(super) const fn new() -> Self {
        Self { queues: [Queue::new(1)], evictions: Evictions::new() }
    }
}

impl Policy for Fifo {
    fn queues(&mut self) -> &mut [Queue] {
        &mut self.queues
    }

    fn add(&mut self, pages: Pages<'_>, page: FrameNumber, _shadow: Shadow) {
        self.queues[0].push(pages, page);
    }

    fn next(&mut self, pages: Pages<'_>) -> Option<FrameNumber> {
        self.queues[0].isolate(pages)
    }

    fn looked_at(&mut self, _pages: Pages<'_>, _page: FrameNumber, _accessed: bool) -> Verdict {
        Verdict::Evict
    }

    fn evicted(&mut self, _pages: Pages<'_>, _page: FrameNumber) -> Shadow {
        self.evictions.count()
    }
}
