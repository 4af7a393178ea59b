//! A policy of your own. Say here in a few lines how it decides, and why.

use crate::{Page, Policy};

/// What the policy knows of the pages in its frames.
pub struct Own {
    // To be written: what does it have to remember?
}

impl Own {
    /// A policy for so many frames, all of which are free.
    pub fn new(_frames: usize) -> Self {
        Self {}
    }
}

impl Policy for Own {
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
