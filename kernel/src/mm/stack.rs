//! Kernel stacks: 32 KiB each, above a guard gap of 32 KiB that is never mapped.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use quire_swap::header::PAGE_SIZE;

use super::AllocationError;
use super::frame::Kind;
use super::kernel_map;
use super::physical;
use super::watermark::Purpose;
use crate::arch::STACKS;
use crate::task::{self, Thread};

const PAGES: u64 = 8;
const BYTES: u64 = PAGES * PAGE_SIZE as u64;
/// A stack and the gap below it.
const PLACE: u64 = 2 * BYTES;
const PLACES: usize = 1024;

static TAKEN: [AtomicU64; PLACES / 64] = [const { AtomicU64::new(0) }; PLACES / 64];

/// A kernel stack; dropping it gives its frames back.
#[derive(Debug)]
pub struct KernelStack {
    place: u64,
}

impl KernelStack {
    /// Maps a new stack.
    ///
    /// # Errors
    /// [`AllocationError`] when there are no frames for it, or as many stacks as there are places for exist.
    pub fn new() -> Result<Self, AllocationError> {
        let stack = Self { place: take_place().ok_or(AllocationError)? };
        for page in 1..=PAGES {
            let frame = physical::allocate(0, Kind::Stack, Purpose::Kernel).ok_or(AllocationError)?;
            let address = stack.top() - page * PAGE_SIZE as u64;
            kernel_map::map(address, frame, kernel_map::DATA).inspect_err(|_| physical::free(frame, 0))?;
        }
        Ok(stack)
    }

    /// The stack that the kernel began on, which was forgotten so that it survives the change of stacks.
    ///
    /// # Safety
    /// Called once; the first stack that was made has been forgotten.
    pub unsafe fn first() -> Self {
        Self { place: 0 }
    }

    /// The address just past the stack, where it starts to grow down.
    pub fn top(&self) -> u64 {
        STACKS + (self.place + 1) * PLACE
    }
}

fn take_place() -> Option<u64> {
    for (index, word) in TAKEN.iter().enumerate() {
        let taken = word
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| (bits != u64::MAX).then(|| bits | (bits + 1)));
        if let Ok(bits) = taken {
            return Some(index as u64 * 64 + u64::from(bits.trailing_ones()));
        }
    }
    None
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        for page in 1..=PAGES {
            if let Some(frame) = kernel_map::unmap(self.top() - page * PAGE_SIZE as u64) {
                physical::free(frame, 0);
            }
        }
        TAKEN[(self.place / 64) as usize].fetch_and(!(1 << (self.place % 64)), Ordering::Relaxed);
    }
}

/// The current thread, if `address` lies in the gap below its stack.
pub fn guard_owner(address: u64) -> Option<Arc<Thread>> {
    let thread = task::scheduler::try_current()?;
    let gap = thread.stack_top() - PLACE..thread.stack_top() - BYTES;
    gap.contains(&address).then_some(thread)
}
