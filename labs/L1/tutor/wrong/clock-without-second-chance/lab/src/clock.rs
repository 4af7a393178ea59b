//! CLOCK: the pages are in a circle of frames, and each that was used gets a second chance.

use alloc::vec::Vec;

use crate::{Page, Policy};

/// The frames, each with its page and whether that was used since the hand passed.
pub struct Clock {
    frames: Vec<(Page, bool)>,
    capacity: usize,
    hand: usize,
}

impl Clock {
    /// A policy for so many frames, all of which are free.
    pub fn new(frames: usize) -> Self {
        Self { frames: Vec::with_capacity(frames), capacity: frames, hand: 0 }
    }

    fn advance(&mut self) {
        self.hand = (self.hand + 1) % self.capacity;
    }
}

impl Policy for Clock {
    fn hit(&mut self, page: Page) {
        if let Some((_, used)) = self.frames.iter_mut().find(|(other, _)| *other == page) {
            *used = true;
        }
    }

    fn evict(&mut self, _coming: Page) -> Page {
        self.frames[self.hand].0
    }

    fn added(&mut self, page: Page) {
        if self.frames.len() < self.capacity {
            self.frames.push((page, true));
        } else {
            self.frames[self.hand] = (page, true);
            self.advance();
        }
    }
}
