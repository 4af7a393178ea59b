//! A policy of my own.

use crate::policy::decide::{Policy, Verdict};
use crate::policy::pages::{FrameNumber, Pages, Queue};
use crate::policy::shadow::{Evictions, Shadow};

#[derive(Debug)]
pub(in crate::policy) struct Own {
    queues: [Queue; 1],
    departures: Evictions,
}

impl Own {
    pub(super) const fn new() -> Self {
        Self { queues: [Queue::new(1)], departures: Evictions::new() }
    }
}

impl Policy for Own {
    fn queues(&mut self) -> &mut [Queue] {
        &mut self.queues
    }

    fn add(&mut self, pages: Pages<'_>, page: FrameNumber, _shadow: Shadow) {
        self.queues[0].push(pages, page);
    }

    fn next(&mut self, pages: Pages<'_>) -> Option<FrameNumber> {
        self.queues[0].isolate(pages)
    }

    fn looked_at(&mut self, pages: Pages<'_>, page: FrameNumber, accessed: bool) -> Verdict {
        if !accessed {
            return Verdict::Evict;
        }
        self.queues[0].push(pages, page);
        Verdict::Stay
    }

    fn evicted(&mut self, _pages: Pages<'_>, _page: FrameNumber) -> Shadow {
        self.departures.count()
    }
}
