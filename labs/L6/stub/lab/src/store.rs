//! Your store. Say here in a few lines what it does with which page, and why.

use crate::{
    Full, Key, Store,
    heap::{Frame, Page},
};

/// What it knows of the pages that are stored.
pub struct Own {
    // To be written: which chunk has which page? Begin with a `BTreeMap<Key, Chunk>`.
}

impl Own {
    /// Before the first page.
    pub fn new() -> Self {
        Self {}
    }
}

impl Default for Own {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for Own {
    fn store(&mut self, _key: Key, _page: &Page<'_>) -> Result<(), Full> {
        // To be written.
        Err(Full)
    }

    fn load(&self, _key: Key, _frame: &mut Frame<'_>) -> bool {
        // To be written.
        false
    }

    fn free(&mut self, _key: Key) {
        // To be written.
    }
}
