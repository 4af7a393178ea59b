//! What a process has used: processor time by the timer's ticks, and page faults.

use core::sync::atomic::{AtomicU64, Ordering};

/// The ticks of all processes, in their programs and in the kernel.
pub static TICKS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Counters that only grow.
#[derive(Debug, Default)]
pub struct Usage {
    /// Timer ticks that found it in its program.
    pub user_ticks: AtomicU64,
    /// Timer ticks that found it in the kernel.
    pub system_ticks: AtomicU64,
    /// Page faults that were served without reading.
    pub minor_faults: AtomicU64,
    /// Page faults that had to wait for a read.
    pub major_faults: AtomicU64,
    /// The most pages that it had in memory.
    pub most_resident: AtomicU64,
}

impl Usage {
    /// The processor time, in its program and in the kernel.
    pub fn time(&self) -> core::time::Duration {
        let ticks = self.user_ticks.load(Ordering::Relaxed) + self.system_ticks.load(Ordering::Relaxed);
        core::time::Duration::from_nanos(quire_machine::clock::TICK.as_nanos() as u64 * ticks)
    }

    /// Adds what `other` counts.
    pub fn add(&self, other: &Self) {
        for (mine, theirs) in [
            (&self.user_ticks, &other.user_ticks),
            (&self.system_ticks, &other.system_ticks),
            (&self.minor_faults, &other.minor_faults),
            (&self.major_faults, &other.major_faults),
        ] {
            mine.fetch_add(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.most_resident.fetch_max(other.most_resident.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}
