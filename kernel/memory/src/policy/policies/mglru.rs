//! Generations, as in Linux's multi-generational LRU (`lru_gen` in `mm/vmscan.c` and `mm/workingset.c`).
//!
//! A page is in the generation in which it was last seen to be accessed. The oldest generation is reclaimed from its
//! tail on; a page found accessed there goes to the youngest, and with it those mapped beside it that were accessed too
//! (`lru_gen_look_around`), so that one walk through a page table finds many. When only two generations are left, a new
//! one begins. New pages go to the second youngest. One that comes back from a generation that is not long gone goes to
//! the youngest.

use crate::policy::decide::{Policy, Verdict};
use crate::policy::pages::{FrameNumber, Pages, Queue};
use crate::policy::shadow::Shadow;

/// How many generations there are at most, and at least (Linux: `MAX_NR_GENS`, `MIN_NR_GENS`).
const GENERATIONS_MAX: u64 = 4;
const GENERATIONS_MIN: u64 = 2;

#[derive(Debug)]
pub(in crate::policy) struct Mglru {
    queues: [Queue; GENERATIONS_MAX as usize],
    /// Generations are numbered from 1 on; each has the queue of its number's remainder.
    oldest: u64,
    youngest: u64,
}

impl Mglru {
    pub(super) const fn new() -> Self {
        Self {
            queues: [Queue::new(1), Queue::new(2), Queue::new(3), Queue::new(4)],
            oldest: 1,
            youngest: GENERATIONS_MIN,
        }
    }

    fn queue(&mut self, generation: u64) -> &mut Queue {
        &mut self.queues[(generation % GENERATIONS_MAX) as usize]
    }
}

impl Policy for Mglru {
    fn queues(&mut self) -> &mut [Queue] {
        &mut self.queues
    }

    fn add(&mut self, pages: Pages<'_>, page: FrameNumber, shadow: Shadow) {
        let is_recent = !shadow.is_none() && self.oldest.wrapping_sub(shadow.bits()) < GENERATIONS_MAX;
        let generation = if is_recent { self.youngest } else { self.youngest - 1 };
        self.queue(generation).push(pages, page);
    }

    fn next(&mut self, pages: Pages<'_>) -> Option<FrameNumber> {
        for _ in 0..=GENERATIONS_MAX {
            let oldest = self.oldest;
            if let Some(page) = self.queue(oldest).isolate(pages) {
                return Some(page);
            }
            self.oldest += 1;
            self.youngest = self.youngest.max(oldest + GENERATIONS_MIN);
        }
        None
    }

    fn looked_at(&mut self, pages: Pages<'_>, page: FrameNumber, accessed: bool) -> Verdict {
        if !accessed {
            return Verdict::Evict;
        }
        self.queue(self.youngest).push(pages, page);
        Verdict::Stay
    }

    fn evicted(&mut self, _pages: Pages<'_>, _page: FrameNumber) -> Shadow {
        Shadow::from_bits(self.oldest)
    }

    /// The two youngest generations (Linux: `lru_gen_is_active`).
    fn is_active(&self, list: u8) -> bool {
        [self.youngest, self.youngest - 1]
            .into_iter()
            .any(|generation| self.queues[(generation % GENERATIONS_MAX) as usize].number() == list)
    }

    fn looks_around(&self) -> bool {
        true
    }

    fn accessed_beside(&mut self, pages: Pages<'_>, page: FrameNumber) {
        let number = pages.list(page);
        if let Some(queue) = self.queues.iter_mut().find(|queue| queue.number() == number) {
            queue.remove(pages, page);
            self.queue(self.youngest).push(pages, page);
        }
    }
}
