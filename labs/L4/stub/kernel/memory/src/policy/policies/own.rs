//! Your policy. Say here in a few lines how it decides, and why.

use crate::policy::decide::{Policy, Verdict};
use crate::policy::pages::{FrameNumber, Pages, Queue};
use crate::policy::shadow::{Evictions, Shadow};

/// What it knows of a cgroup. Beside this it has the list that each page is in, a mark of two bits of each page in memory, and the
/// shadow of each that has left.
#[derive(Debug)]
pub(in crate::policy) struct Own {
    queues: [Queue; 1],
    evictions: Evictions,
}

impl Own {
    pub(super) const fn new() -> Self {
        Self { queues: [Queue::new(1)], evictions: Evictions::new() }
    }
}

impl Policy for Own {
    fn queues(&mut self) -> &mut [Queue] {
        &mut self.queues
    }

    fn add(&mut self, pages: Pages<'_>, page: FrameNumber, _shadow: Shadow) {
        self.queues[0].push(pages, page);
    }

    fn next(&mut self, _pages: Pages<'_>) -> Option<FrameNumber> {
        // To be written: which page is to be looked at next?
        None
    }

    fn looked_at(&mut self, _pages: Pages<'_>, _page: FrameNumber, _accessed: bool) -> Verdict {
        // To be written: does it stay, and in which list, or is it to go?
        Verdict::Evict
    }

    fn evicted(&mut self, _pages: Pages<'_>, _page: FrameNumber) -> Shadow {
        self.evictions.count()
    }
}
