//! FIFO: the page goes that came first.

use alloc::collections::VecDeque;

use crate::{Page, Policy};

/// The pages in the order in which they came.
pub struct Fifo {
    pages: VecDeque<Page>,
}

impl Fifo {
    /// A policy for so many frames, all of which are free.
    pub fn new(frames: usize) -> Self {
        Self { pages: VecDeque::with_capacity(frames) }
    }
}

impl Policy for Fifo {
    fn hit(&mut self, page: Page) {
        self.pages.retain(|other| *other != page);
        self.pages.push_back(page);
    }

    fn evict(&mut self, _coming: Page) -> Page {
        self.pages.pop_front().expect("there is a page in each frame")
    }

    fn added(&mut self, page: Page) {
        self.pages.push_back(page);
    }
}
