//! The memory of the store: a heap of so many bytes, which gives chunks of words, and the pages that come and go.
//!
//! Each word that is read or written here is counted: that is what the store costs. What you have in a variable or an
//! array of your own is in the processor's registers or its nearest cache, and free.

use alloc::{boxed::Box, vec};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Words of a page, of 8 bytes each.
pub const PAGE_WORDS: usize = 512;

/// Chunks take memory in steps of so many bytes.
const STEP: usize = 16;

static USED: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(0);
static TOUCHED: AtomicU64 = AtomicU64::new(0);
static READ_BACK: AtomicU64 = AtomicU64::new(0);

fn touch() {
    TOUCHED.fetch_add(1, Relaxed);
}

/// Some words of the heap. They return when the chunk is dropped.
pub struct Chunk {
    words: Box<[u64]>,
}

/// Takes a chunk of so many words, all 0; `None` if the heap has no room for it.
pub fn take(words: usize) -> Option<Chunk> {
    let bytes = words.checked_mul(8)?.checked_next_multiple_of(STEP)?;
    let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= LIMIT.load(Relaxed));
    USED.fetch_update(Relaxed, Relaxed, more).ok()?;
    Some(Chunk { words: vec![0; words].into() })
}

/// Bytes that chunks take now.
pub fn used() -> usize {
    USED.load(Relaxed)
}

/// For the test: the heap has so many bytes from now on.
pub fn set_limit(bytes: usize) {
    LIMIT.store(bytes, Relaxed);
}

/// For the test: words that were read or written, ever.
pub fn touched() -> u64 {
    TOUCHED.load(Relaxed)
}

/// For the test: those of them that were read from chunks.
pub fn read_back() -> u64 {
    READ_BACK.load(Relaxed)
}

impl Chunk {
    /// How many words it has.
    pub fn words(&self) -> usize {
        self.words.len()
    }

    /// The word at this place, from 0.
    pub fn word(&self, at: usize) -> u64 {
        touch();
        READ_BACK.fetch_add(1, Relaxed);
        self.words[at]
    }

    /// Writes the word at this place.
    pub fn set(&mut self, at: usize, word: u64) {
        touch();
        self.words[at] = word;
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        USED.fetch_sub((self.words.len() * 8).next_multiple_of(STEP), Relaxed);
    }
}

/// A page that is to be stored.
pub struct Page<'a>(&'a [u64; PAGE_WORDS]);

impl<'a> Page<'a> {
    /// For the test: a page of these words.
    pub fn new(words: &'a [u64; PAGE_WORDS]) -> Self {
        Self(words)
    }

    /// The word at this place, from 0 to [`PAGE_WORDS`] - 1.
    pub fn word(&self, at: usize) -> u64 {
        touch();
        self.0[at]
    }
}

/// A frame that a page is loaded into. What it holds before is of no meaning.
pub struct Frame<'a>(&'a mut [u64; PAGE_WORDS]);

impl<'a> Frame<'a> {
    /// For the test: a frame of these words.
    pub fn new(words: &'a mut [u64; PAGE_WORDS]) -> Self {
        Self(words)
    }

    /// Writes the word at this place.
    pub fn set(&mut self, at: usize, word: u64) {
        touch();
        self.0[at] = word;
    }
}
