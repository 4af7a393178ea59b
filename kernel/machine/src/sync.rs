//! Spinning locks, and the ranks that every lock of the kernel has.
//!
//! # Ranks
//!
//! A lock is only taken while every lock already held by the same thread has a *higher* rank; so what a page fault takes ranks
//! below whatever a thread may hold when it faults. The order is checked in builds with debug assertions, by a
//! bit mask a thread: [`Rank`] is the table.
//!
//! # What spins, what sleeps
//!
//! A [`SpinLock`] keeps interrupts off while it is held, so an interrupt handler may take one too. It is never held
//! across a sleep, a page fault or device I/O. [`Mutex`](crate::task::Mutex) sleeps and has a rank as well. The swap core's own
//! locks keep preemption off, not interrupts: no interrupt handler enters the swap core.
//!
//! What is only ever copied out and replaced is a [`Snapshot`], whose lock is never seen and ranks below all others: it may be
//! looked at while holding anything.

#[cfg(debug_assertions)]
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
#[cfg(target_os = "none")]
use core::sync::atomic::{AtomicU64, Ordering};

#[cfg(target_os = "none")]
pub use spin::Once;

use crate::arch::{cpu, interrupts};
#[cfg(not(target_os = "none"))]
pub use crate::simulated::Once;

/// Defines [`Rank`], and the list of its values by which a message names what a bit mask holds.
macro_rules! ranks {
    ($($(#[$meta:meta])* $name:ident $(= $number:expr)?,)*) => {
        /// The order in which locks are taken: from high to low.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Rank {
            $($(#[$meta])* $name $(= $number)?,)*
        }

        impl Rank {
            #[cfg(debug_assertions)]
            const ALL: &[Self] = &[$(Self::$name),*];

            /// Each with its name.
            #[cfg(target_os = "none")]
            const NAMES: &[(Self, &str)] = &[$((Self::$name, stringify!($name))),*];
        }
    };
}

ranks! {
    /// A value that is copied and replaced as a whole: [`Snapshot`].
    Snapshot = 0,
    /// The part of the heap that a memory cgroup is charged: objects are dropped while holding anything.
    Account,
    /// The console: a line may be logged under any lock.
    Console,
    /// The run queue; held across a context switch.
    RunQueue,
    /// The queue of threads that sleep until a time.
    Sleepers,
    /// A wait queue's list of waiters.
    WaitQueue,
    /// What was typed and not looked at yet.
    TerminalQueue,
    /// The generator of random numbers.
    Random,
    /// The recording of page references.
    Recorder,
    /// Whose the terminal is.
    TerminalOwner,
    /// One process's signals.
    Signals,
    /// The table of processes, with their relations and states.
    Processes,
    /// The buddy allocator's free lists.
    Frames,
    /// The kernel half of the page tables.
    KernelMap,
    /// The kernel heap.
    Heap,
    /// Who waits for a futex.
    Futexes,
    /// A disk's virtqueue.
    Disk,
    /// The lists of pages to reclaim.
    Lru,
    /// The swap core's own locks have this rank and the fifteen above it, in the core's own order.
    SwapLowest,
    /// The table of address spaces.
    Spaces = Self::SwapLowest as u8 + 16,
    /// The table of those whose pages folios are.
    Owners,
    /// One object's words.
    Object,
    /// One address space's page tables.
    PageTable,
    /// The list of the address spaces that may map one owner's pages.
    Rmap,
    /// The right to look for a process to kill for its memory; sleeps.
    OutOfMemory,
    /// One address space's list of VMAs; sleeps.
    Vmas,
    /// The locks that programs have on files; sleeps.
    FileLocks,
    /// The terminal's line discipline; sleeps, as do the locks that follow.
    Terminal,
    /// The room that users' pipes have.
    PipeRoom,
    /// A pipe's bytes.
    Pipe,
    /// The pipes that have names.
    Pipes,
    /// A file system's names and nodes.
    Tree,
    /// The nodes in use of a file system on a disk, and its thread's attention: held while the disk works.
    Volume,
    /// What an open file of `/proc` or `/sys` says.
    Text,
    /// What is mounted.
    Mounts,
    /// A process's open files.
    Descriptors,
    /// A process's root and working directory.
    Location,
    /// Above everything of the kernel's: what a scenario protects of its own.
    Scenario,
}

/// The names of the ranks, for those who look from outside.
#[cfg(target_os = "none")]
static NAMES: [[AtomicU64; 2]; 64] = [const { [const { AtomicU64::new(0) }; 2] }; 64];

/// Says where they are.
#[cfg(target_os = "none")]
pub(crate) fn publish(page: &quire_protocol::observatory::AtomicPage) {
    let own = Rank::NAMES.iter().filter(|(rank, _)| *rank != Rank::SwapLowest).map(|(rank, name)| (*rank as u8, *name));
    let cores = quire_swap::Rank::NAMES.iter().map(|(rank, name)| (Rank::SwapLowest as u8 + *rank as u8, *name));
    for (rank, name) in own.chain(cores) {
        let [address, length] = &NAMES[usize::from(rank) % NAMES.len()];
        address.store(name.as_ptr().addr() as u64, Ordering::Relaxed);
        length.store(name.len() as u64, Ordering::Relaxed);
    }
    page.ranks.store(NAMES.as_ptr().addr() as u64, Ordering::Relaxed);
}

/// The locks of a bit mask of ranks, by name.
#[cfg(debug_assertions)]
struct Names(u64);

#[cfg(debug_assertions)]
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for &rank in Rank::ALL.iter().filter(|&&rank| rank != Rank::SwapLowest && self.0 & 1 << rank as u8 != 0) {
            write!(f, "{separator}{rank:?}")?;
            separator = ", ";
        }
        for &rank in quire_swap::Rank::ALL {
            if self.0 & 1 << (Rank::SwapLowest as u8 + rank as u8) != 0 {
                write!(f, "{separator}the swap core's {rank:?}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// Notes that the current thread is about to take a lock of `rank` (an index below 64).
///
/// # Panics
/// In builds with debug assertions, when a lock of the same or a lower rank is held already.
#[inline]
pub fn acquire_rank(rank: u8) {
    #[cfg(debug_assertions)]
    {
        // The mask goes along with the thread: it must not move to another processor in between.
        cpu::disable_preemption();
        let held = cpu::this().held_ranks();
        assert!(
            held.trailing_zeros() > u32::from(rank),
            "lock order: taking {} while holding {}",
            Names(1 << rank),
            Names(held)
        );
        cpu::this().set_held_ranks(held | 1 << rank);
        cpu::enable_preemption();
    }
    let _ = rank;
}

/// Notes that the current thread has released its lock of `rank`.
#[inline]
pub fn release_rank(rank: u8) {
    #[cfg(debug_assertions)]
    {
        cpu::disable_preemption();
        cpu::this().set_held_ranks(cpu::this().held_ranks() & !(1 << rank));
        cpu::enable_preemption();
    }
    let _ = rank;
}

/// A lock that spins, with interrupts off while it is held.
pub struct SpinLock<T> {
    rank: Rank,
    inner: spin::Mutex<T>,
}

impl<T> SpinLock<T> {
    /// A lock of `rank` around `value`.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self { rank, inner: spin::Mutex::new(value) }
    }

    /// Waits for the lock and takes it.
    #[inline]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        let interrupts_were_on = interrupts::are_enabled();
        interrupts::disable();
        acquire_rank(self.rank as u8);
        SpinGuard { lock: self, inner: Some(cpu::spin(&self.inner)), interrupts_were_on, not_send: PhantomData }
    }

    /// Releases a lock whose guard was forgotten across a context switch.
    ///
    /// # Safety
    /// The lock is held on this processor on behalf of the caller and no guard of it will be dropped.
    pub unsafe fn unlock_forgotten(&self, interrupts_were_on: bool) {
        // SAFETY: the caller promises that the lock is held and that no guard remains.
        unsafe { self.inner.force_unlock() };
        release_rank(self.rank as u8);
        if interrupts_were_on {
            interrupts::enable();
        }
    }
}

/// The right to use what a [`SpinLock`] protects.
pub struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
    inner: Option<spin::MutexGuard<'a, T>>,
    interrupts_were_on: bool,
    /// The thread that took the lock releases it, on the same processor: rank and interrupts are noted there.
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the value, and nothing else.
unsafe impl<T: Sync> Sync for SpinGuard<'_, T> {}

impl<T> SpinGuard<'_, T> {
    /// Keeps the lock held without a guard, for a context switch; returns whether interrupts were on before it was taken.
    pub fn forget_for_switch(mut self) -> bool {
        core::mem::forget(self.inner.take());
        let interrupts_were_on = self.interrupts_were_on;
        core::mem::forget(self);
        interrupts_were_on
    }
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        self.inner.as_ref().expect("a guard holds its lock until it is dropped")
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_mut().expect("a guard holds its lock until it is dropped")
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    fn drop(&mut self) {
        self.inner = None;
        release_rank(self.lock.rank as u8);
        if self.interrupts_were_on {
            interrupts::enable();
        }
    }
}

/// A value that is copied out and replaced as a whole, at any time and under any lock.
///
/// Nothing else is locked, freed or waited for while its lock is held: the lock's rank is the lowest.
pub struct Snapshot<T>(SpinLock<T>);

impl<T> Snapshot<T> {
    /// A snapshot of `value`.
    pub const fn new(value: T) -> Self {
        Self(SpinLock::new(Rank::Snapshot, value))
    }

    /// A copy of the value.
    #[inline]
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.0.lock().clone()
    }

    /// A copy of what `look` finds in the value, for where a clone of the whole could not be freed.
    #[inline]
    pub fn part<R: Copy>(&self, look: fn(&T) -> R) -> R {
        look(&self.0.lock())
    }

    /// Puts another value in the place of this one, which is the caller's then.
    pub fn replace(&self, value: T) -> T {
        core::mem::replace(&mut *self.0.lock(), value)
    }

    /// Changes the value where no other task changes it meanwhile. `change` takes no lock and frees nothing.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.0.lock())
    }
}
