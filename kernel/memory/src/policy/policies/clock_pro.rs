//! CLOCK-Pro, for which an accessed bit is all there is (Jiang, Chen and Zhang, 2005).
//!
//! Hot and cold pages have a hand each. A cold page is *in its test period* from its arrival on, resident or not:
//! accessed in it, it becomes hot, and the hot hand makes another page cold, which is in no test period. The cold
//! pages' part of memory grows by one when a test is passed, and shrinks by one when a test period runs out.
//!
//! # Departures from the paper
//!
//! There is no hand for the test period: that of a page that left memory is over when as many others have left, or the
//! hot hand has passed as many accessed pages, as there are pages. Nothing tells when it runs out, so each page that
//! leaves in its test period is counted as one that fails it, and one that comes back in time as one that passes.

use crate::policy::decide::{Policy, Verdict};
use crate::policy::pages::{FrameNumber, Pages, Queue};
use crate::policy::shadow::{Evictions, Shadow};

const COLD: usize = 0;
const HOT: usize = 1;

/// The mark of a cold page in its test period.
const IN_TEST: u8 = 1;

#[derive(Debug)]
pub(in crate::policy) struct ClockPro {
    queues: [Queue; 2],
    /// And accessed pages that the hot hand passed.
    evictions: Evictions,
    /// How many pages are to be cold.
    cold_target: usize,
}

impl ClockPro {
    pub(super) const fn new() -> Self {
        Self { queues: [Queue::new(1), Queue::new(2)], evictions: Evictions::new(), cold_target: 0 }
    }

    fn pages(&self) -> usize {
        self.queues.iter().map(Queue::len).sum()
    }

    fn push(&mut self, pages: Pages<'_>, page: FrameNumber, queue: usize, mark: u8) {
        pages.set_mark(page, mark);
        self.queues[queue].push(pages, page);
    }

    fn pass_test(&mut self) {
        self.cold_target = (self.cold_target + 1).min(self.pages());
    }
}

impl Policy for ClockPro {
    fn queues(&mut self) -> &mut [Queue] {
        &mut self.queues
    }

    fn add(&mut self, pages: Pages<'_>, page: FrameNumber, shadow: Shadow) {
        if self.evictions.distance(shadow).is_some_and(|distance| distance <= self.pages() as u64) {
            self.pass_test();
            return self.push(pages, page, HOT, 0);
        }
        self.push(pages, page, COLD, IN_TEST);
    }

    fn next(&mut self, pages: Pages<'_>) -> Option<FrameNumber> {
        let cold_min = self.pages() / 100 + 1;
        let queue = if self.queues[COLD].len() < self.cold_target.max(cold_min) { HOT } else { COLD };
        self.queues[queue].isolate(pages).or_else(|| self.queues[COLD + HOT - queue].isolate(pages))
    }

    fn looked_at(&mut self, pages: Pages<'_>, page: FrameNumber, accessed: bool) -> Verdict {
        let is_hot = pages.list(page) == self.queues[HOT].number();
        match (is_hot, accessed) {
            (true, true) => {
                self.evictions.count();
                self.push(pages, page, HOT, 0);
            }
            (true, false) => self.push(pages, page, COLD, 0),
            (false, true) if pages.mark(page) == IN_TEST => {
                self.pass_test();
                self.push(pages, page, HOT, 0);
            }
            (false, true) => self.push(pages, page, COLD, IN_TEST),
            (false, false) => return Verdict::Evict,
        }
        Verdict::Stay
    }

    fn evicted(&mut self, pages: Pages<'_>, page: FrameNumber) -> Shadow {
        let shadow = self.evictions.count();
        if pages.mark(page) != IN_TEST {
            return Shadow::NONE;
        }
        self.cold_target = self.cold_target.saturating_sub(1);
        shadow
    }

    fn is_active(&self, list: u8) -> bool {
        list == self.queues[HOT].number()
    }
}
