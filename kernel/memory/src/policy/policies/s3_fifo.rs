//! S3-FIFO: a small FIFO queue through which pages that are used once pass, and a main one (Yang, Zhang, Qiu, Yue and
//! Rashmi: FIFO queues are all you need for cache eviction, 2023).
//!
//! New pages are in the small queue; from its tail a page that was accessed goes to the main one, any other leaves
//! memory. One that comes back before as many others have left the small queue as nine tenths of memory, the ghosts, is
//! in the main queue, where accessed pages get another turn. The paper counts up to three accesses; here one bit is all
//! there is.

use crate::policy::decide::{Policy, Verdict};
use crate::policy::pages::{FrameNumber, Pages, Queue};
use crate::policy::shadow::{Evictions, Shadow};

const SMALL: usize = 0;
const MAIN: usize = 1;

#[derive(Debug)]
pub(in crate::policy) struct S3Fifo {
    queues: [Queue; 2],
    /// From the small queue.
    evictions: Evictions,
}

impl S3Fifo {
    pub(super) const fn new() -> Self {
        Self { queues: [Queue::new(1), Queue::new(2)], evictions: Evictions::new() }
    }

    fn pages(&self) -> usize {
        self.queues.iter().map(Queue::len).sum()
    }
}

impl Policy for S3Fifo {
    fn queues(&mut self) -> &mut [Queue] {
        &mut self.queues
    }

    fn add(&mut self, pages: Pages<'_>, page: FrameNumber, shadow: Shadow) {
        let ghosts = self.pages() as u64 / 10 * 9;
        let is_ghost = self.evictions.distance(shadow).is_some_and(|distance| distance <= ghosts);
        self.queues[if is_ghost { MAIN } else { SMALL }].push(pages, page);
    }

    fn next(&mut self, pages: Pages<'_>) -> Option<FrameNumber> {
        let is_small_long = self.queues[SMALL].len() > self.pages() / 10;
        let queue = if is_small_long || self.queues[MAIN].is_empty() { SMALL } else { MAIN };
        self.queues[queue].isolate(pages)
    }

    fn looked_at(&mut self, pages: Pages<'_>, page: FrameNumber, accessed: bool) -> Verdict {
        if !accessed {
            return Verdict::Evict;
        }
        self.queues[MAIN].push(pages, page);
        Verdict::Stay
    }

    fn evicted(&mut self, pages: Pages<'_>, page: FrameNumber) -> Shadow {
        if pages.list(page) == self.queues[SMALL].number() { self.evictions.count() } else { Shadow::NONE }
    }

    fn is_active(&self, list: u8) -> bool {
        list == self.queues[MAIN].number()
    }
}
