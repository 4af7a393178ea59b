//! Events: one ring of fixed records for each processor.
//!
//! A record is four words:
//!
//! | word | bits | |
//! |---|---|---|
//! | 0 | | which record of the ring's life it is, from 1: written last |
//! | 1 | | the time-stamp counter |
//! | 2 | 0–7 | what happened: [`EventKind`] |
//! | | 8–31 | a small number: see there |
//! | | 32–63 | the number of the thread in which it happened |
//! | 3 | | what else is to be said: see there |
//!
//! The writer takes its place by adding to the ring's head, and writes word 0 last. A reader that wants record `n` finds `n` in word
//! 0 before and after it reads the others; then looks at the head: if it is not yet `n + count`, nothing was written over it meanwhile.

/// The size of a record in bytes.
pub const RECORD_BYTES: usize = 32;

/// The words of a record.
pub type Record = [u64; RECORD_BYTES / 8];

/// Defines [`EventKind`], and how its numbers are read.
macro_rules! kinds {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $kind:ident = $number:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$doc])* $kind = $number,)*
        }

        impl $name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The one with this number, if there is one.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$kind),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// What happens; with it, what the record's small number and its last word are.
    pub enum EventKind {
        /// A page fault was served. [`FaultService`]; the address.
        Fault = 1,
        /// A look for pages that can go is over. [`Reclaimer`]; pages that went in the upper half, pages looked at in the lower.
        Reclaim = 2,
        /// A page begins its way to a slot. The area; the frame in the upper half, the slot in the lower.
        PageOut = 3,
        /// A page comes back from a slot. As for [`Self::PageOut`].
        PageIn = 4,
        /// Slots were taken. The area; how many in the upper half, the first in the lower.
        SlotAllocated = 5,
        /// Slots were freed. As for [`Self::SlotAllocated`].
        SlotFreed = 6,
        /// A batch was handed to a backend. The area; [`WRITE`] and how many folios.
        BatchSubmitted = 7,
        /// A batch is completed. The area; [`WRITE`], [`FAILED`] and how many folios.
        BatchCompleted = 8,
        /// A page was compressed and stored. [`Compressed`]; how many bytes that takes.
        Stored = 9,
        /// A stored page was inflated. As for [`Self::Stored`].
        Loaded = 10,
        /// Translations of programs' pages were forgotten. 0; how many pages, [`ALL`] for all.
        TlbFlush = 11,
        /// `kswapd` was woken. 0; how many frames were free.
        KswapdWoken = 12,
        /// A process was killed for its memory. 0; its number.
        OutOfMemory = 13,
        /// A swap area was enabled. The area; 0.
        SwapOn = 14,
        /// A swap area was disabled. The area; 0.
        SwapOff = 15,
        /// A thread began. 0; its number.
        TaskStart = 16,
        /// A thread got the processor. 0; its number.
        TaskSwitch = 17,
        /// The thread ended. 0; 0.
        TaskEnd = 18,
        /// A memory cgroup was at its limit. Its number; 0.
        CgroupLimit = 19,
    }
}

/// In the last word of a batch: it was to be written.
pub const WRITE: u64 = 1 << 32;
/// In the last word of a batch: something went wrong.
pub const FAILED: u64 = 1 << 33;
/// In the place of a number of pages: all.
pub const ALL: u64 = u64::MAX;

kinds! {
    /// How a fault was served.
    pub enum FaultService {
        /// A page was written for the first time and filled with zeros.
        ZeroFilled = 0,
        /// A page was read before it was ever written: the frame of zeros was mapped.
        ZeroMapped = 1,
        /// A page was read from its swap area (a major fault).
        Read = 2,
        /// A page was found in the swap cache: read ahead, or on its way out.
        Cached = 3,
        /// A page was known to be all zero in its swap area (a major fault, as on Linux).
        ZeroSlot = 4,
        /// A page of an object was mapped, or copied to be written.
        Object = 5,
        /// A page that others have too was copied to be written.
        Copied = 6,
        /// A page that no other task has any more was made writable.
        Reused = 7,
        /// Another task had served the fault already.
        Spurious = 8,
        /// It was not: the task was killed, or got a signal.
        Fatal = 9,
    }
}

impl FaultService {
    /// Whether the page was in swap (Linux: `ru_majflt`, as against `ru_minflt`).
    pub const fn is_major(self) -> bool {
        matches!(self, Self::Read | Self::ZeroSlot)
    }
}

kinds! {
    /// Who looks for pages that can go.
    pub enum Reclaimer {
        /// `kswapd`, when few frames are free.
        Kswapd = 0,
        /// A task that wants a frame.
        Direct = 1,
        /// A task whose memory cgroup is at its limit.
        Cgroup = 2,
    }
}

kinds! {
    /// A place for compressed pages.
    pub enum Compressed {
        /// A zram device.
        Zram = 0,
        /// The pool before the disks.
        Zswap = 1,
    }
}

/// The words of a record but for the first: what is the same for all kinds is put together here alone.
#[inline]
pub const fn record(time: u64, kind: EventKind, small: u32, thread: u32, more: u64) -> [u64; 3] {
    [time, kind as u64 | ((small & SMALL_MAX) as u64) << 8 | (thread as u64) << 32, more]
}

/// The greatest small number.
pub const SMALL_MAX: u32 = (1 << 24) - 1;

#[cfg(test)]
mod tests {
    use super::{EventKind, SMALL_MAX, record};

    #[test]
    fn the_parts_of_a_record_do_not_overlap() {
        assert_eq!(record(5, EventKind::CgroupLimit, SMALL_MAX, u32::MAX, 7), [5, u64::MAX << 8 | 0x13, 7]);
        assert_eq!(record(5, EventKind::Fault, u32::MAX, 0, 7), [5, 0xffff_ff01, 7]);
    }

    #[test]
    fn each_kind_comes_back_from_its_number() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_number(*kind as u8), Some(*kind));
        }
        assert_eq!(EventKind::from_number(0), None);
    }
}
