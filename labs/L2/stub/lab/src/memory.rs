//! The memory of the RAM disk: a number of pages, which are taken one at a time and return when they are dropped.

use alloc::{boxed::Box, sync::Arc};
use core::sync::atomic::{AtomicUsize, Ordering};

use quire_swap::header::{PAGE_SIZE, Page};

/// All of it.
pub struct PageMemory {
    used: AtomicUsize,
    limit: AtomicUsize,
    reads_until_loss: AtomicUsize,
}

/// A page of it.
pub struct PageBox {
    page: Box<Page>,
    memory: Arc<PageMemory>,
}

impl PageMemory {
    /// A memory of so many pages.
    pub fn new(pages: usize) -> Arc<Self> {
        let (used, limit, reads_until_loss) = (AtomicUsize::new(0), AtomicUsize::new(pages), AtomicUsize::new(0));
        Arc::new(Self { used, limit, reads_until_loss })
    }

    /// Takes a page; `None` if all are in use. What it holds is not defined.
    pub fn take(self: &Arc<Self>) -> Option<PageBox> {
        let limit = self.limit.load(Ordering::Relaxed);
        let take = |used| (used < limit).then_some(used + 1);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(PageBox { page: Box::new([0xdd; PAGE_SIZE]), memory: Arc::clone(self) })
    }

    /// Pages that are in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// For the test: there are so many pages from now on.
    pub fn set_limit(&self, pages: usize) {
        self.limit.store(pages, Ordering::Relaxed);
    }

    /// For the test: the n-th look at a page from now on, counted from 1, finds it lost; none for 0.
    pub fn lose_nth(&self, n: usize) {
        self.reads_until_loss.store(n, Ordering::Relaxed);
    }
}

impl PageBox {
    /// What the page holds; `None` if this memory has lost it, as memory that corrects errors says when it cannot.
    pub fn contents(&self) -> Option<&Page> {
        let count = |reads: usize| reads.checked_sub(1);
        let before = self.memory.reads_until_loss.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        (before != Ok(1)).then_some(&self.page)
    }

    /// The page, to be written.
    pub fn contents_mut(&mut self) -> &mut Page {
        &mut self.page
    }
}

impl Drop for PageBox {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(1, Ordering::Relaxed);
    }
}
