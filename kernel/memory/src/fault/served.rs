//! How faults were served.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use quire_machine::event::{self, FaultService, Kind};

/// What a fault came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Served {
    /// A page was written for the first time and filled with zeros.
    ZeroFilled,
    /// A page was read before it was ever written: the frame of zeros was mapped.
    ZeroMapped,
    /// A page was read from its swap area (a major fault).
    Read,
    /// A page was found in the swap cache: read ahead, or on its way out.
    Cached,
    /// A page was known to be all zero in its swap area (a major fault, as on Linux).
    ZeroSlot,
    /// A page of an object was mapped, or copied to be written.
    Object,
    /// A page that others have too was copied to be written.
    Copied,
    /// A page that no other task has any more was made writable.
    Reused,
    /// Another task had served the fault already.
    Spurious,
    /// It was not: the task was killed, or got a signal.
    Fatal,
}

impl Served {
    /// Each, with the words for a person.
    const ALL: [(Self, &'static str); 10] = [
        (Self::ZeroFilled, "zero-filled"),
        (Self::ZeroMapped, "mapped to zeros"),
        (Self::Read, "read from swap"),
        (Self::Cached, "found in the swap cache"),
        (Self::ZeroSlot, "zero in swap"),
        (Self::Object, "of objects"),
        (Self::Copied, "copied"),
        (Self::Reused, "made writable"),
        (Self::Spurious, "spurious"),
        (Self::Fatal, "fatal"),
    ];

    /// Whether the page was in swap (Linux: `ru_majflt`, as against `ru_minflt`).
    pub const fn is_major(self) -> bool {
        matches!(self, Self::Read | Self::ZeroSlot)
    }

    /// How many faults, of all tasks since boot, were served like this.
    pub fn count(self) -> u64 {
        SERVED[self as usize].load(Ordering::Relaxed)
    }

    /// Where that is counted.
    pub(crate) fn counter(self) -> &'static AtomicU64 {
        &SERVED[self as usize]
    }

    /// One more, at this address.
    pub(crate) fn note(self, address: u64) {
        SERVED[self as usize].fetch_add(1, Ordering::Relaxed);
        event::note(Kind::Fault, self as u32, address);
    }
}

const _: () = {
    assert!(Served::ALL.len() == FaultService::ALL.len());
    let mut index = 0;
    while index < Served::ALL.len() {
        assert!(Served::ALL[index].0 as usize == index && FaultService::ALL[index] as usize == index);
        index += 1;
    }
    assert!(
        Served::Read as usize == FaultService::Read as usize && Served::Fatal as usize == FaultService::Fatal as usize
    );
};

static ALL: AtomicU64 = AtomicU64::new(0);
static SERVED: [AtomicU64; Served::ALL.len()] = [const { AtomicU64::new(0) }; Served::ALL.len()];

/// A fault has come.
pub(crate) fn note_fault() {
    ALL.fetch_add(1, Ordering::Relaxed);
}

/// Where all of them are counted.
pub(crate) fn all() -> &'static AtomicU64 {
    &ALL
}

/// Faults on user addresses since boot (Linux: `pgfault`).
pub fn faults() -> u64 {
    ALL.load(Ordering::Relaxed)
}

/// Those for which a page was brought in from swap (Linux: `pgmajfault`).
pub fn major_faults() -> u64 {
    Served::ALL.iter().filter(|(served, _)| served.is_major()).map(|(served, _)| served.count()).sum()
}

/// All of them, as one line for a person.
pub fn totals() -> impl fmt::Display {
    fmt::from_fn(|f| {
        write!(f, "{}", faults())?;
        let mut sign = '=';
        for (served, words) in Served::ALL {
            write!(f, " {sign} {} {words}", served.count())?;
            sign = '+';
        }
        Ok(())
    })
}

/// Whether every fault was served in exactly one way; certain only while no task runs.
pub fn add_up() -> bool {
    Served::ALL.iter().map(|(served, _)| served.count()).sum::<u64>() == faults()
}
