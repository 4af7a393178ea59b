//! FIFO: the page goes that came first.

use crate::{Page, Policy};

/// What the policy knows of the pages in its frames.
pub struct Fifo {
    // To be written: what does it have to remember?
}

impl Fifo {
    /// A policy for so many frames, all of which are free.
    pub fn new(_frames: usize) -> Self {
        Self {}
    }
}

impl Policy for Fifo {
    fn hit(&mut self, _page: Page) {
        // To be written.
    }

    fn evict(&mut self, _coming: Page) -> Page {
        // To be written: this page is in no frame, and the test says so.
        Page::MAX
    }

    fn added(&mut self, _page: Page) {
        // To be written.
    }
}
