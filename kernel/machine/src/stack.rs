//! Kernel stacks: 32 KiB each, above a guard gap of 32 KiB that is never mapped; deep ones have 56 KiB above 8 KiB.
//!
//! How deep calls go is the compiler's choice, and differs with its settings. So in builds with debug assertions a stack begins as
//! zeros, and one that had less than a quarter of itself left when its thread ended is named in the log (Linux:
//! `DEBUG_STACK_USAGE`); no boot of the tests may end with such a line.

use quire_swap::header::PAGE_SIZE;

use crate::address_map::STACKS;
use crate::frame::Kind;
use crate::kernel_map;
use crate::log_error;
use crate::no_memory::AllocationError;
use crate::places::Places;
use crate::upcall::upcalls;

const PAGES: u64 = 8;
const DEEP_PAGES: u64 = 14;
/// A stack and the gap below it.
const PLACE: u64 = 2 * PAGES * PAGE_SIZE as u64;

/// Whether stacks begin as zeros, and their depth is looked at.
const IS_WATCHED: bool = cfg!(all(debug_assertions, target_os = "none"));

/// As many as there can be processes, and some for the kernel's threads.
static PLACES: Places<{ 32768 / 64 + 1 }> = Places::new();

/// Forgets all stacks, whose frames and tables are another machine's now.
#[cfg(not(target_os = "none"))]
pub(crate) fn forget_all() {
    PLACES.free_all();
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
        let mut stack = Self { place: PLACES.take().ok_or(AllocationError)?, pages: 0 };
        for page in 1..=pages {
            let mut frame = (upcalls().allocate_charged)(Kind::Stack).ok_or(AllocationError)?;
            if IS_WATCHED {
                frame.bytes_mut().fill(0);
            }
            let address = stack.top() - page * PAGE_SIZE as u64;
            if let Err(frame) = kernel_map::map(address, frame, kernel_map::DATA) {
                (upcalls().free_charged)(frame);
                return Err(AllocationError);
            }
            stack.pages = page;
        }
        Ok(stack)
    }

    /// Its lowest word.
    fn bottom(&self) -> *mut u64 {
        core::ptr::with_exposed_provenance_mut((self.top() - self.pages * PAGE_SIZE as u64) as usize)
    }

    fn words(&self) -> usize {
        self.pages as usize * PAGE_SIZE / size_of::<u64>()
    }

    /// Says so if less than a quarter was never used.
    fn look(&self) {
        let quarter = self.words() / 4;
        // SAFETY: the pages are mapped and were written, and no thread runs on them any more.
        let unused = (0..quarter).take_while(|word| unsafe { self.bottom().add(*word).read() } == 0).count();
        if unused < quarter {
            let bytes = unused * size_of::<u64>();
            log_error!("stack", "only {bytes} bytes of {} were left to a thread", self.words() * size_of::<u64>());
        }
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
        if IS_WATCHED {
            self.look();
        }
        for page in 1..=self.pages {
            // SAFETY: the stack's pages are its own, and no thread runs on it any more.
            if let Some(frame) = unsafe { kernel_map::unmap(self.top() - page * PAGE_SIZE as u64) } {
                (upcalls().free_charged)(frame);
            }
        }
        PLACES.free(self.place);
    }
}
