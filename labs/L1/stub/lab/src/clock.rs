//! CLOCK: the pages are in a circle of frames, and each that was used gets a second chance.

use crate::{Page, Policy};

/// What the policy knows of the pages in its frames.
pub struct Clock {
    // To be written: what does it have to remember?
}

impl Clock {
    /// A policy for so many frames, all of which are free.
    pub fn new(_frames: usize) -> Self {
        Self {}
    }
}

impl Policy for Clock {
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
