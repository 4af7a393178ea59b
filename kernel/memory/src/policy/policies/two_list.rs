//! An active and an inactive list, as in Linux without generations (`shrink_active_list`, `mm/workingset.c`).
//!
//! A page is inactive at first. Looked at, it becomes active if it was accessed, else it goes; the active list's tail
//! feeds the inactive list when that is the shorter; a page that would have stayed, had the active list been given up
//! for it, is active when it comes back.

use crate::policy::decide::{Policy, Verdict};
use crate::policy::pages::{FrameNumber, Pages, Queue};
use crate::policy::shadow::{Evictions, Shadow};

const INACTIVE: usize = 0;
const ACTIVE: usize = 1;

#[derive(Debug)]
pub(in crate::policy) struct TwoList {
    queues: [Queue; 2],
    evictions: Evictions,
}

impl TwoList {
    pub(super) const fn new() -> Self {
        Self { queues: [Queue::new(1), Queue::new(2)], evictions: Evictions::new() }
    }
}

impl Policy for TwoList {
    fn queues(&mut self) -> &mut [Queue] {
        &mut self.queues
    }

    fn add(&mut self, pages: Pages<'_>, page: FrameNumber, shadow: Shadow) {
        let active = self.queues[ACTIVE].len();
        let soon = self.evictions.distance(shadow).is_some_and(|distance| distance <= active as u64);
        self.queues[if soon { ACTIVE } else { INACTIVE }].push(pages, page);
    }

    fn next(&mut self, pages: Pages<'_>) -> Option<FrameNumber> {
        if self.queues[INACTIVE].len() < self.queues[ACTIVE].len() {
            self.queues[ACTIVE].isolate(pages)
        } else {
            self.queues[INACTIVE].isolate(pages)
        }
    }

    fn looked_at(&mut self, pages: Pages<'_>, page: FrameNumber, accessed: bool) -> Verdict {
        if pages.list(page) == self.queues[ACTIVE].number() {
            // It starts its way through the inactive list with a clean slate: only an access from now on counts.
            self.queues[INACTIVE].push(pages, page);
            return Verdict::Stay;
        }
        if !accessed {
            return Verdict::Evict;
        }
        self.queues[ACTIVE].push(pages, page);
        Verdict::Stay
    }

    fn evicted(&mut self, _pages: Pages<'_>, _page: FrameNumber) -> Shadow {
        self.evictions.count()
    }

    fn is_active(&self, list: u8) -> bool {
        list == self.queues[ACTIVE].number()
    }
}
