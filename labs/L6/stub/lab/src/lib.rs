//! The student's crate. `store.rs` is to be written; this file, `heap.rs` and `main.rs` are given.
//!
//! The code here has no operating system below it, as in a kernel: there are `core` and `alloc` (`Vec`, `BTreeMap`), and no
//! `std`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod heap;
pub mod store;

use heap::{Frame, Page};

/// Names a page that is stored, as a slot does in a swap area.
pub type Key = u32;

/// The heap has no room for what a page needs. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Keeps pages.
pub trait Store {
    /// Keeps the page under the key. What was there before goes when the new page is there, and not sooner: for a moment
    /// there has to be room for both.
    ///
    /// # Errors
    /// [`Full`]: all that was stored is as it was, also what is under this key. A page for which there is room as it is,
    /// [`heap::PAGE_WORDS`] words, is never refused.
    fn store(&mut self, key: Key, page: &Page<'_>) -> Result<(), Full>;

    /// Fills the frame with the page that is stored under the key, each word of it; false, if there is none.
    fn load(&self, key: Key, frame: &mut Frame<'_>) -> bool;

    /// The page under the key, if there is one, is of no use any more. What it took of the heap, and what no other page
    /// needs, is free at once.
    fn free(&mut self, key: Key);
}
