//! Kernel stacks: 32 KiB each, above a guard gap of 32 KiB that is never mapped; deep ones have 56 KiB above 8 KiB.

use quire_swap::header::PAGE_SIZE;

use crate::address_map::STACKS;
use crate::frame::Kind;
use crate::kernel_map;
use crate::no_memory::AllocationError;
use crate::places::Places;
use crate::upcall::upcalls;

const PAGES: u64 = 8;
const DEEP_PAGES: u64 = 14;
/// A stack and the gap below it.
const PLACE: u64 = 2 * PAGES * PAGE_SIZE as u64;

/// As many as there can be processes, and some for the kernel's threads.
static PLACES: Places<{ 32768 / 64 + 1 }> = Places::new();

/// Forgets all stacks, whose frames and tables are another machine's now.
#[cfg(not(target_os = "none"))]
pub(crate) fn forget_all() {
    PLACES.give_back_all();
}

/// A kernel stack; dropping it frees its frames.
#[derive(Debug)]
pub struct KernelStack {
    place: u64,
    pages: u64,
}

impl KernelStack {
    /// Maps a new stack.
    ///
    /// # Errors
    /// [`AllocationError`] when there are no frames for it, or as many stacks as there are places for exist.
    pub fn new() -> Result<Self, AllocationError> {
        Self::of(PAGES)
    }

    /// Maps a new stack for a thread that runs code which needs more than a system call does.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn deep() -> Result<Self, AllocationError> {
        Self::of(DEEP_PAGES)
    }

    fn of(pages: u64) -> Result<Self, AllocationError> {
        let stack = Self { place: PLACES.take().ok_or(AllocationError)?, pages };
        for page in 1..=pages {
            let frame = (upcalls().allocate_charged)(Kind::Stack).ok_or(AllocationError)?;
            let address = stack.top() - page * PAGE_SIZE as u64;
            if let Err(frame) = kernel_map::map(address, frame, kernel_map::DATA) {
                (upcalls().free_charged)(frame);
                return Err(AllocationError);
            }
        }
        Ok(stack)
    }

    /// The stack that the kernel began on, which was forgotten so that it survives the change of stacks.
    ///
    /// # Safety
    /// Called once; the first stack that was made has been forgotten.
    pub unsafe fn first() -> Self {
        Self { place: 0, pages: PAGES }
    }

    /// The address just past the stack, where it starts to grow down.
    pub fn top(&self) -> u64 {
        STACKS + (self.place + 1) * PLACE
    }

    /// Whether `address` lies in the gap below the stack.
    pub fn is_guard(&self, address: u64) -> bool {
        (self.top() - PLACE..self.top() - self.pages * PAGE_SIZE as u64).contains(&address)
    }
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        for page in 1..=self.pages {
            // SAFETY: the stack's pages are its own, and no thread runs on it any more.
            if let Some(frame) = unsafe { kernel_map::unmap(self.top() - page * PAGE_SIZE as u64) } {
                (upcalls().free_charged)(frame);
            }
        }
        PLACES.give_back(self.place);
    }
}
