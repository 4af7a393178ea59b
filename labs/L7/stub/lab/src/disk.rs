//! A disk that fails: for a page, for a while, or as a whole. This file is given: the grader has its own.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
};

use quire_swap::{
    IoError, Machine, Rank,
    header::{PAGE_SIZE, Page},
    sync::Lock,
};

/// What a move of the head costs, where a page costs 1.
const SEEK: u64 = 10;

/// A disk. Its lock stands for the time that it takes: a spinning lock of yours must not be held meanwhile, and one of rank
/// `Backend1` is found out.
pub struct Disk<M: Machine> {
    state: Lock<State, M, { Rank::Backend2 as u8 }>,
}

#[derive(Default)]
struct State {
    slots: BTreeMap<u32, Stored>,
    is_gone: bool,
    /// The n-th from now on fails; none for 0.
    read_fails: usize,
    write_fails: usize,
    /// Slots that could not be read, and that nothing has tried to write since.
    unmended: BTreeSet<u32>,
    head: Head,
}

struct Stored {
    page: Box<Page>,
    is_readable: bool,
}

/// A head that reads, and the time that it took.
#[derive(Default)]
pub struct Head {
    /// The slot behind the last one that it read.
    pub at: u32,
    /// A page costs 1, and a move of the head 10.
    pub time: u64,
}

impl Head {
    /// Reads so many slots from this one on.
    pub fn read(&mut self, first: u32, length: u32) {
        self.time += u64::from(length) + if self.at == first { 0 } else { SEEK };
        self.at = first + length;
    }
}

/// Counts one, and says whether it is the one that fails.
fn is_next(fails: &mut usize) -> bool {
    let before = *fails;
    *fails = before.saturating_sub(1);
    before == 1
}

impl<M: Machine> Default for Disk<M> {
    fn default() -> Self {
        Self { state: Lock::new(State::default()) }
    }
}

impl<M: Machine> Disk<M> {
    /// Reads the page in the slot.
    ///
    /// # Errors
    /// The disk is gone, or has nothing there that it can read. A page that it cannot read stays so until it is written.
    pub fn read(&self, slot: u32, page: &mut Page) -> Result<(), IoError> {
        let state = &mut *self.state.lock();
        if state.is_gone {
            return Err(IoError::Device);
        }
        state.head.read(slot, 1);
        let fails = is_next(&mut state.read_fails);
        let stored = state.slots.get_mut(&slot).ok_or(IoError::Device)?;
        stored.is_readable &= !fails;
        if !stored.is_readable {
            state.unmended.insert(slot);
            return Err(IoError::Device);
        }
        page.copy_from_slice(&*stored.page);
        Ok(())
    }

    /// Writes the page in the slot.
    ///
    /// # Errors
    /// The disk is gone, or could not write. What was in the slot is there still, if that could be read.
    pub fn write(&self, slot: u32, page: &Page) -> Result<(), IoError> {
        let state = &mut *self.state.lock();
        state.unmended.remove(&slot);
        if state.is_gone || is_next(&mut state.write_fails) {
            return Err(IoError::Device);
        }
        let stored =
            state.slots.entry(slot).or_insert_with(|| Stored { page: Box::new([0; PAGE_SIZE]), is_readable: true });
        stored.page.copy_from_slice(page);
        stored.is_readable = true;
        Ok(())
    }

    /// What is in the slot is of no use any more. A disk that is gone forgets as well.
    pub fn forget(&self, slot: u32) {
        self.state.lock().slots.remove(&slot);
    }

    /// The slot behind the last one that was read: reading there needs no move of the head.
    pub fn head(&self) -> u32 {
        self.state.lock().head.at
    }

    /// How long its reads have taken.
    pub fn time(&self) -> u64 {
        self.state.lock().head.time
    }

    /// For the test: whether the slot holds this page, and can be read.
    pub fn holds(&self, slot: u32, page: &Page) -> bool {
        let state = self.state.lock();
        !state.is_gone && state.slots.get(&slot).is_some_and(|stored| stored.is_readable && *stored.page == *page)
    }

    /// For the test: slots that hold something, and how many of them cannot be read.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.slots.len(), state.slots.values().filter(|stored| !stored.is_readable).count())
    }

    /// For the test: slots that could not be read since this was asked last, and that nothing has tried to write since.
    pub fn take_unmended(&self) -> BTreeSet<u32> {
        core::mem::take(&mut self.state.lock().unmended)
    }

    /// For the test: the n-th read from now on fails, and its slot cannot be read until it is written; none for 0.
    pub fn fail_read(&self, n: usize) {
        self.state.lock().read_fails = n;
    }

    /// For the test: what it holds of pages that begin with this word cannot be read until it is written.
    pub fn spoil(&self, word: u64) {
        for stored in self.state.lock().slots.values_mut() {
            stored.is_readable &= stored.page.first_chunk() != Some(&word.to_le_bytes());
        }
    }

    /// For the test: the n-th write from now on fails; none for 0.
    pub fn fail_write(&self, n: usize) {
        self.state.lock().write_fails = n;
    }

    /// For the test: all that is asked of it fails from now on, or no longer does. It holds what it held.
    pub fn set_gone(&self, is_gone: bool) {
        self.state.lock().is_gone = is_gone;
    }
}
