//! What allocations look at of the thread that makes them: the part of a thread that is known below the threads.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// That part of one thread.
#[derive(Default)]
pub struct Running {
    /// The thread's number.
    number: u32,
    /// May dip into the reserve that reclaim needs to make progress.
    reclaims: AtomicBool,
    /// Reclaims for itself right now.
    is_reclaiming: AtomicBool,
    /// How many file systems it works in right now.
    file_systems: AtomicU32,
    /// When one of its allocations is to fail.
    pub fail_nth: Countdown,
    /// Pages that it may take before it waits again because its cgroup has too much in swap.
    pub pages_waited_for: AtomicU32,
}

impl Running {
    /// That part of the thread with this number.
    pub(crate) fn of(number: u32) -> Self {
        Self { number, ..Self::default() }
    }

    /// The thread's number.
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// Lets the thread dip into the reserve for reclaim: `kswapd` and the disks' completion threads.
    pub fn set_reclaims(&self) {
        self.reclaims.store(true, Ordering::Relaxed);
    }

    /// Whether the thread may dip into the reserve for reclaim, and must not start reclaim itself.
    pub fn reclaims(&self) -> bool {
        self.reclaims.load(Ordering::Relaxed)
    }

    /// Notes that the thread begins a pass of reclaim, or something else that must not be refused the last frame, or has
    /// ended it; returns what was noted before.
    #[inline]
    pub fn set_reclaiming(&self, is_reclaiming: bool) -> bool {
        self.is_reclaiming.swap(is_reclaiming, Ordering::Relaxed)
    }

    /// Whether the thread works in a file system ([`InFileSystem`](crate::in_file_system::InFileSystem)).
    pub fn is_in_file_system(&self) -> bool {
        self.file_systems.load(Ordering::Relaxed) > 0
    }

    /// Notes that it enters one, which may be on another.
    pub(crate) fn enter_file_system(&self) {
        self.file_systems.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes back one [`Self::enter_file_system`].
    pub(crate) fn leave_file_system(&self) {
        self.file_systems.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the thread may take the last frame: what it takes frees others.
    pub fn may_take_reserve(&self) -> bool {
        self.reclaims() || self.is_reclaiming.load(Ordering::Relaxed)
    }
}

/// How many more allocations of a thread succeed before one fails; 0 when none is to fail.
#[derive(Default)]
pub struct Countdown {
    left: AtomicU32,
    pub(crate) suspended: AtomicU32,
}

impl Countdown {
    /// What is left of the countdown.
    pub fn get(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }

    /// Lets the `nth` allocation from now on fail; 0 for none.
    pub fn set(&self, nth: u32) {
        self.left.store(nth, Ordering::Relaxed);
    }

    /// Counts an allocation; whether it is to fail.
    pub(crate) fn is_over(&self) -> bool {
        let left = self.get();
        if left == 0 || self.suspended.load(Ordering::Relaxed) > 0 {
            return false;
        }
        self.set(left - 1);
        left == 1
    }
}
