//! Each processor's own data, whichever machine the processor is of: see `cpu` for the accessor to it.
//!
//! The fields are atomics because the accessor hands out shared references; only their own processor writes them. A
//! thread that is preempted between reading the accessor and using the reference may go on elsewhere, so the only
//! fields that such a thread writes are those that a context switch carries along or that one instruction updates.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::running::Running;

/// The most processors that the kernel has room for.
pub const MAX_CPUS: usize = 8;

/// One processor's data.
#[repr(C)]
pub struct PerCpu {
    /// This structure's own address, so that one load through GS finds it.
    pub(crate) own_address: AtomicU64,
    /// How many reasons there are not to be preempted.
    pub(crate) preemption_off: AtomicU32,
    /// The processor's number, from 0.
    pub(crate) number: AtomicU32,
    /// Set by an interrupt that made another thread ready or ended a time slice.
    reschedule: AtomicBool,
    /// The thread that runs; null before threads are started.
    current: AtomicPtr<()>,
    /// The part of that thread that is known here; null before threads are started.
    running: AtomicPtr<Running>,
    /// The ranks of the locks that the current thread holds, a bit each.
    held_ranks: AtomicU64,
    /// Where the current thread's kernel stack begins to grow down.
    pub(crate) kernel_stack: AtomicU64,
    /// The program's stack pointer, for the few instructions of a system call's entry that have no other place for it.
    pub(crate) user_stack: AtomicU64,
}

impl PerCpu {
    /// Where in it the running thread's address is.
    #[cfg(target_os = "none")]
    pub(crate) const CURRENT_OFFSET: usize = core::mem::offset_of!(Self, current);
    /// Where in it the ranks are of the locks that this thread holds.
    #[cfg(target_os = "none")]
    pub(crate) const HELD_RANKS_OFFSET: usize = core::mem::offset_of!(Self, held_ranks);

    pub(crate) const fn new() -> Self {
        Self {
            own_address: AtomicU64::new(0),
            preemption_off: AtomicU32::new(0),
            number: AtomicU32::new(0),
            reschedule: AtomicBool::new(false),
            current: AtomicPtr::new(core::ptr::null_mut()),
            running: AtomicPtr::new(core::ptr::null_mut()),
            held_ranks: AtomicU64::new(0),
            kernel_stack: AtomicU64::new(0),
            user_stack: AtomicU64::new(0),
        }
    }

    /// The processor's number, below [`MAX_CPUS`].
    #[inline]
    pub fn number(&self) -> usize {
        self.number.load(Ordering::Relaxed) as usize
    }

    /// Where the running thread is; null before threads are started. What is there, the scheduler knows.
    #[inline]
    pub fn current(&self) -> *mut () {
        self.current.load(Ordering::Relaxed)
    }

    /// Makes `thread` the running one, of which `running` is a part. Interrupts are off, or threads are not started yet.
    ///
    /// # Safety
    /// The thread, and so its part, lives until another is made the running one.
    pub(crate) unsafe fn set_current(&self, thread: *mut (), running: *const Running) {
        self.current.store(thread, Ordering::Relaxed);
        self.running.store(running.cast_mut(), Ordering::Relaxed);
    }

    /// The ranks of the locks that the current thread holds, a bit each.
    #[inline]
    pub fn held_ranks(&self) -> u64 {
        self.held_ranks.load(Ordering::Relaxed)
    }

    /// Replaces the mask of held ranks.
    #[inline]
    pub(crate) fn set_held_ranks(&self, held: u64) {
        self.held_ranks.store(held, Ordering::Relaxed);
    }

    /// Where the current thread's kernel stack begins to grow down.
    pub fn kernel_stack(&self) -> u64 {
        self.kernel_stack.load(Ordering::Relaxed)
    }

    /// Asks for a context switch at the next chance.
    pub fn request_reschedule(&self) {
        self.reschedule.store(true, Ordering::Relaxed);
    }

    /// Whether a switch was asked for; forgets it.
    pub fn take_reschedule(&self) -> bool {
        self.reschedule.swap(false, Ordering::Relaxed)
    }

    /// Whether the current thread may be preempted.
    pub fn preemption_is_on(&self) -> bool {
        self.preemption_off.load(Ordering::Relaxed) == 0
    }

    /// Calls `look` with what is known here of the running thread, which is the caller; `None` before threads are started.
    #[inline]
    pub(crate) fn with_running<R>(&self, look: impl FnOnce(&Running) -> R) -> Option<R> {
        let running = self.running.load(Ordering::Relaxed);
        // SAFETY: `set_current` was promised that the running thread lives, and that thread is the one that looks.
        unsafe { running.as_ref() }.map(look)
    }
}
