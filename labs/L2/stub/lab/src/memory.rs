//! The memory of the RAM disk: a number of pages, which are taken one at a time and return when they are dropped.

use alloc::{boxed::Box, sync::Arc};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use quire_swap::header::{PAGE_SIZE, Page};

/// All of it.
pub struct PageMemory {
    used: AtomicUsize,
    limit: AtomicUsize,
    reads_until_loss: AtomicUsize,
    losses: AtomicUsize,
    spoilt: AtomicU64,
}

/// A page of it.
pub struct PageBox {
    page: Box<Page>,
    is_lost: AtomicBool,
    memory: Arc<PageMemory>,
}

impl PageMemory {
    /// A memory of so many pages.
    pub fn new(pages: usize) -> Arc<Self> {
        let [used, limit, reads_until_loss, losses] = [0, pages, 0, 0].map(AtomicUsize::new);
        Arc::new(Self { used, limit, reads_until_loss, losses, spoilt: AtomicU64::new(0) })
    }

    /// Takes a page; `None` if all are in use. What it holds is not defined.
    pub fn take(self: &Arc<Self>) -> Option<PageBox> {
        let limit = self.limit.load(Ordering::Relaxed);
        let take = |used| (used < limit).then_some(used + 1);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(PageBox { page: Box::new([0xdd; PAGE_SIZE]), is_lost: AtomicBool::new(false), memory: Arc::clone(self) })
    }

    /// Pages that are in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// For the test: pages that can still be taken.
    pub fn free(&self) -> usize {
        self.limit.load(Ordering::Relaxed).saturating_sub(self.used())
    }

    /// For the test: how often a page was looked at and was lost.
    pub fn losses(&self) -> usize {
        self.losses.load(Ordering::Relaxed)
    }

    /// For the test: there are so many pages from now on.
    pub fn set_limit(&self, pages: usize) {
        self.limit.store(pages, Ordering::Relaxed);
    }

    /// For the test: the page at which the n-th look from now on is, counted from 1, is lost; none for 0.
    pub fn lose_nth(&self, n: usize) {
        self.reads_until_loss.store(n, Ordering::Relaxed);
    }

    /// For the test: a page that begins with this word is lost when it is looked at; none for 0.
    pub fn spoil(&self, word: u64) {
        self.spoilt.store(word, Ordering::Relaxed);
    }
}

impl PageBox {
    /// What the page holds; `None` if this memory has lost it, as memory that corrects errors says when it cannot. It is lost
    /// until it is written.
    pub fn contents(&self) -> Option<&Page> {
        let count = |reads: usize| reads.checked_sub(1);
        let before = self.memory.reads_until_loss.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        let word = self.page.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let is_next = before == Ok(1) || word != 0 && word == self.memory.spoilt.load(Ordering::Relaxed);
        let is_lost = self.is_lost.fetch_or(is_next, Ordering::Relaxed) || is_next;
        self.memory.losses.fetch_add(usize::from(is_lost), Ordering::Relaxed);
        (!is_lost).then_some(&self.page)
    }

    /// The page, to be written.
    pub fn contents_mut(&mut self) -> &mut Page {
        *self.is_lost.get_mut() = false;
        &mut self.page
    }
}

impl Drop for PageBox {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(1, Ordering::Relaxed);
    }
}
