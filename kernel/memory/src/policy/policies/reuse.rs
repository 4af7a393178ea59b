//! Keeps the pages that are reused soonest, as far as an accessed bit shows it: LIRS' question, asked of CLOCK's hand.
//!
//! New pages are *cold*: in a FIFO list whose share of memory adapts itself. A page accessed there becomes *hot*. One that
//! left from there and comes back becomes hot if it was used at most two thirds as long ago as the hand passed the hot page
//! at the tail: if that one was not accessed since, it goes instead. So pages used once pass by the hot ones, and of a loop
//! larger than memory as much stays as fits (Jiang and Zhang: LIRS, 2002; CLOCK-Pro, 2005). The hot pages are in two lists,
//! of the hand's present turn and of the next. Both have the time when they began to be filled, evenly: so how many are
//! left tells when the hand passed the one at the tail. Time is counted in arrivals and pages that the hand passed.
//!
//! The cold list's share grows by a little when a page comes back that a longer list would have kept, and shrinks by as much when
//! it could not have, as in a loop, or a hot page comes back that left as recently (Megiddo and Modha: ARC, 2003). Each page
//! that became hot also puts the hot one at the tail to the test: while most were accessed, a longer cold list is in vain
//! and does not grow; when nearly all are idle, the working set has changed, and it grows faster. With a share above a
//! sixteenth this is nearly LRU; below, pages found accessed repeatedly get up to two more turns, for Zipf distributions.

use crate::policy::decide::{Policy, Verdict};
use crate::policy::pages::{FrameNumber, Pages, Queue};
use crate::policy::shadow::Shadow;

const COLD: usize = 0;
/// Shares of memory are counted in 2^-32.
const WHOLE: u64 = 1 << 32;
const SHARE_MIN: u64 = WHOLE / 128;
const SHARE_MAX: u64 = WHOLE / 32 * 31;
/// Up to this share hot pages are protected.
const PROTECTING: u64 = WHOLE / 16;
/// Above that, the share changes by this fraction of the excess, besides by a page.
const STEPS: u64 = 32;
/// By how many pages the cold list grows when a hot page is idle while nearly all are.
const LEAP: u64 = 4;
/// A page came back soon if fewer left its list since than this fraction of all pages, and not too late to tell if than that.
const SOON: u64 = 6;
const FAR: u64 = 3;
/// Memory is being filled while more pages come than this fraction of all and none is asked for.
const FILLING: u64 = 4;
/// How many hot pages in a row are found accessed before a cold page goes instead.
const PATIENCE: u32 = 8;
/// How many more turns a hot page can earn.
const TURNS_MAX: u8 = 2;

/// The share of the last 32 or so hot pages put to the test that were idle, in 2^-10.
const ALL_IDLE: u64 = 1 << 10;
const IDLE_WEIGHT: u64 = 32;
const MOST_BUSY: u64 = ALL_IDLE / 16 * 3;
const MOST_IDLE: u64 = ALL_IDLE / 16 * 13;

#[derive(Debug)]
pub(in crate::policy) struct Reuse {
    queues: [Queue; 3],
    /// Which of the queues the hand is in; the other one of the hot ones is the newer.
    older: usize,
    /// How many pages were in it when its turn began.
    size: u64,
    /// When the older and the newer one began to be filled.
    began: [u64; 2],
    now: u64,
    /// How many pages have come since one was asked for: if many, memory is just being filled.
    unasked: u64,
    /// How many pages have left the cold list and the hot ones.
    left: [u64; 2],
    cold_share: u64,
    idle: u64,
    /// How many pages became hot without a hot one being put to the test.
    untested: u64,
    busy_in_a_row: u32,
}

impl Reuse {
    pub(super) const fn new() -> Self {
        Self {
            queues: [Queue::new(1), Queue::new(2), Queue::new(3)],
            older: 1,
            size: 0,
            began: [0; 2],
            now: 0,
            unasked: u64::MAX / 2,
            left: [0; 2],
            cold_share: PROTECTING,
            idle: ALL_IDLE / 8,
            untested: 0,
            busy_in_a_row: 0,
        }
    }

    fn pages(&self) -> u64 {
        self.queues.iter().map(Queue::len).sum::<usize>() as u64
    }

    const fn cold(&self) -> u64 {
        self.queues[COLD].len() as u64
    }

    /// When the hand last passed the page that it is at now.
    fn passed(&self) -> u64 {
        let [from, to] = self.began;
        let left = (self.queues[self.older].len() as u64).min(self.size);
        to - (to - from) * left / self.size.max(1)
    }

    /// Begins the hand's next turn if this one has ended.
    fn turn(&mut self) {
        if self.queues[self.older].is_empty() {
            self.older = 3 - self.older;
            self.size = self.queues[self.older].len() as u64;
            self.began = [self.began[1], self.now];
        }
    }

    fn push_hot(&mut self, pages: Pages<'_>, page: FrameNumber) {
        self.queues[3 - self.older].push(pages, page);
    }

    /// The share that so many pages are, and a part of what is above the protecting share: the way back from there is short then.
    fn step(&self, pages: u64) -> u64 {
        pages * WHOLE / (self.pages() + 1) + self.cold_share.saturating_sub(PROTECTING) / STEPS
    }

    fn grow(&mut self, by: u64) {
        self.cold_share = (self.cold_share + self.step(by)).min(SHARE_MAX);
    }

    fn shrink(&mut self) {
        self.cold_share = self.cold_share.saturating_sub(self.step(1)).max(SHARE_MIN);
    }

    /// A hot page was put to the test for one that became hot.
    fn note_test(&mut self, accessed: bool) {
        self.untested -= 1;
        self.idle -= self.idle / IDLE_WEIGHT;
        self.idle += if accessed { 0 } else { ALL_IDLE / IDLE_WEIGHT };
        if !accessed && self.idle > MOST_IDLE {
            self.grow(LEAP);
        }
    }
}

impl Policy for Reuse {
    fn queues(&mut self) -> &mut [Queue] {
        &mut self.queues
    }

    fn add(&mut self, pages: Pages<'_>, page: FrameNumber, shadow: Shadow) {
        self.now += 1;
        self.turn();
        self.unasked += 1;
        if self.unasked > self.pages() / FILLING {
            return self.push_hot(pages, page);
        }
        if shadow.is_none() {
            return self.queues[COLD].push(pages, page);
        }
        let was_hot = shadow.flag();
        let [left, unused] = shadow.ages([self.left[usize::from(was_hot)], self.now]);
        let all = self.pages();
        if was_hot && left <= all / SOON || !was_hot && left <= all / FAR && self.cold() + left > all {
            self.shrink();
        } else if !was_hot && left <= all / SOON && self.idle > MOST_BUSY {
            self.grow(1);
        }
        if unused * 3 <= (self.now - self.passed()) * 2 || all == self.cold() {
            self.untested += 1;
            return self.push_hot(pages, page);
        }
        self.queues[COLD].push(pages, page);
    }

    fn next(&mut self, pages: Pages<'_>) -> Option<FrameNumber> {
        self.unasked = 0;
        self.turn();
        let is_long = self.cold() > (self.pages() * self.cold_share / WHOLE).max(1);
        if is_long || self.busy_in_a_row > PATIENCE {
            self.busy_in_a_row = 0;
            if let Some(page) = self.queues[COLD].isolate(pages) {
                return Some(page);
            }
        }
        self.queues[self.older].isolate(pages).or_else(|| self.queues[COLD].isolate(pages))
    }

    fn looked_at(&mut self, pages: Pages<'_>, page: FrameNumber, accessed: bool) -> Verdict {
        let is_hot = pages.list(page) != self.queues[COLD].number();
        let turns = pages.mark(page);
        if is_hot && self.untested > 0 {
            self.note_test(accessed);
        }
        if is_hot && accessed {
            self.busy_in_a_row += 1;
            pages.set_mark(page, (turns + 1).min(TURNS_MAX));
        } else if is_hot && turns > 0 && self.cold_share <= PROTECTING {
            pages.set_mark(page, turns - 1);
        } else if !accessed {
            self.busy_in_a_row = 0;
            return Verdict::Evict;
        }
        self.now += 1;
        self.push_hot(pages, page);
        Verdict::Stay
    }

    fn evicted(&mut self, pages: Pages<'_>, page: FrameNumber) -> Shadow {
        let was_hot = pages.list(page) != self.queues[COLD].number();
        let used = if was_hot { self.passed() } else { self.now - self.cold().min(self.now) };
        self.left[usize::from(was_hot)] += 1;
        Shadow::from_times(was_hot, [self.left[usize::from(was_hot)], used])
    }

    fn is_active(&self, list: u8) -> bool {
        list != self.queues[COLD].number()
    }
}
