//! Who gives way when memory is short while an area is being disabled: the `swapoff`, before a task has to die.
//!
//! What leaves an area has nowhere else to go, so where it does not fit, tasks get no frame. A task that has tried
//! everything asks those who disable areas to give up, and sleeps until one of them has ended. That is no question of
//! time, for a task that disables an area never waits for a task that has asked:
//!
//! - it looks between pages and clusters whether it was asked;
//! - it does not ask itself: when nothing can be reclaimed it gets no frame, and gives up for that;
//! - a task that waits for a frame holds no lock that swapping a page in takes: neither a folio's that is in the swap
//!   cache nor a space's layout.

use core::sync::atomic::{AtomicUsize, Ordering};

use quire_machine::task::{self, WaitQueue};

/// The areas that are being disabled, and whether a task asked to give that up.
#[derive(Debug, Default)]
pub struct Leaving {
    under_way: AtomicUsize,
    /// How often an area was disabled, or stayed.
    ended: AtomicUsize,
    /// One more than `ended` was when a task asked last: it is out of date when one has ended since.
    asked: AtomicUsize,
}

/// What there is to hope for from those who disable areas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hope {
    /// No area is being disabled.
    None,
    /// One has ended since: what could not go then may go now.
    Now,
    /// One will end ([`Leaving::has_ended_since`]).
    Soon,
}

impl Leaving {
    /// No area is being disabled.
    pub const fn new() -> Self {
        Self { under_way: AtomicUsize::new(0), ended: AtomicUsize::new(0), asked: AtomicUsize::new(0) }
    }

    /// An area is being disabled from now on.
    pub fn start(&self) {
        self.under_way.fetch_add(1, Ordering::AcqRel);
    }

    /// It is disabled, or stays.
    pub fn end(&self) {
        // Counted before it is gone: a task that sees that none is under way sees this, too.
        self.ended.fetch_add(1, Ordering::AcqRel);
        self.under_way.fetch_sub(1, Ordering::AcqRel);
    }

    /// How often an area was disabled, or stayed.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether another one has ended than those that [`Self::ended`] counted.
    pub fn has_ended_since(&self, seen: usize) -> bool {
        self.ended() != seen
    }

    /// Asks those under way to give up, for a task to whom they are in the way since `seen` had ended.
    pub fn ask(&self, seen: &mut usize) -> Hope {
        let is_under_way = self.under_way.load(Ordering::Acquire) > 0;
        let ended = self.ended();
        if ended != *seen {
            *seen = ended;
            return Hope::Now;
        }
        if !is_under_way {
            return Hope::None;
        }
        self.asked.fetch_max(ended + 1, Ordering::AcqRel);
        Hope::Soon
    }

    /// Whether those under way should give up.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire) == self.ended() + 1
    }
}

pub(crate) static LEAVING: Leaving = Leaving::new();
/// Tasks that wait until an area was disabled, or stayed.
pub(crate) static LEFT: WaitQueue = WaitQueue::new();

/// What a task that may get no frame knows of the areas that are being disabled.
pub struct Patience(usize);

impl Default for Patience {
    fn default() -> Self {
        Self(LEAVING.ended())
    }
}

impl Patience {
    /// Has one of those that disable areas give up, or end otherwise, which the caller sleeps for; it keeps no lock that
    /// swapping a page in takes. False if there is no hope in that, as for a task that disables an area itself.
    pub fn is_worth_it(&mut self) -> bool {
        if disables_swap() {
            return false;
        }
        match LEAVING.ask(&mut self.0) {
            Hope::None => false,
            Hope::Now => true,
            Hope::Soon => {
                LEFT.wait_until(|| LEAVING.has_ended_since(self.0) || task::is_killed());
                true
            }
        }
    }
}

/// Whether the current thread disables an area: it gives up rather than have a task killed.
pub fn disables_swap() -> bool {
    task::scheduler::with_current(task::Thread::disables_swap).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_hope_until_nobody_disables_an_area_any_more() {
        let leaving = Leaving::new();
        let mut seen = leaving.ended();
        assert_eq!(leaving.ask(&mut seen), Hope::None);
        assert!(!leaving.is_asked());
        leaving.start();
        leaving.start();
        for _ in 0..1000 {
            assert_eq!(leaving.ask(&mut seen), Hope::Soon, "however often it is asked");
        }
        assert!(leaving.is_asked() && !leaving.has_ended_since(seen));
        leaving.end();
        assert!(leaving.has_ended_since(seen));
        assert!(!leaving.is_asked(), "the other one may do");
        assert_eq!([(); 2].map(|()| leaving.ask(&mut seen)), [Hope::Now, Hope::Soon]);
        leaving.end();
        assert_eq!([(); 2].map(|()| leaving.ask(&mut seen)), [Hope::Now, Hope::None], "not without another attempt");
    }

    #[test]
    fn who_asked_before_an_end_does_not_ask_the_next() {
        let leaving = Leaving::new();
        let mut seen = leaving.ended();
        leaving.start();
        assert_eq!(leaving.ask(&mut seen), Hope::Soon);
        leaving.end();
        leaving.start();
        assert!(!leaving.is_asked());
        assert_eq!(leaving.ask(&mut seen), Hope::Now);
        assert!(!leaving.is_asked());
    }
}
