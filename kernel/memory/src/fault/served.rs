//! How faults were served.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

pub use quire_machine::event::FaultService;
use quire_machine::event::{self, EventKind};
use quire_swap::FaultKind;

static ALL: AtomicU64 = AtomicU64::new(0);
static SERVED: [AtomicU64; FaultService::ALL.len()] = [const { AtomicU64::new(0) }; FaultService::ALL.len()];

/// A fault has come.
pub(crate) fn note_fault() {
    ALL.fetch_add(1, Ordering::Relaxed);
}

/// The fault at this address was served like this.
pub(crate) fn note(service: FaultService, address: u64) {
    SERVED[service as usize].fetch_add(1, Ordering::Relaxed);
    event::note(EventKind::Fault, service as u32, address);
}

/// How a fault was served by a page from swap that came like this.
pub(super) const fn from_swap(kind: FaultKind) -> FaultService {
    match kind {
        FaultKind::Cached => FaultService::Cached,
        FaultKind::Read => FaultService::Read,
        FaultKind::Zero => FaultService::ZeroSlot,
    }
}

/// Where all of them are counted.
pub(crate) fn all() -> &'static AtomicU64 {
    &ALL
}

/// Where those are counted that were served like this.
pub(crate) fn counter(service: FaultService) -> &'static AtomicU64 {
    &SERVED[service as usize]
}

/// Faults on user addresses since boot (Linux: `pgfault`).
pub fn faults() -> u64 {
    ALL.load(Ordering::Relaxed)
}

/// How many faults, of all tasks since boot, were served like this.
pub fn count(service: FaultService) -> u64 {
    counter(service).load(Ordering::Relaxed)
}

/// Those for which a page was brought in from swap (Linux: `pgmajfault`).
pub fn major_faults() -> u64 {
    FaultService::ALL.iter().filter(|service| service.is_major()).map(|service| count(*service)).sum()
}

/// All of them, as one line for a person.
pub fn totals() -> impl fmt::Display {
    fmt::from_fn(|f| {
        write!(f, "{}", faults())?;
        let mut sign = '=';
        for service in FaultService::ALL {
            write!(f, " {sign} {} {}", count(*service), words(*service))?;
            sign = '+';
        }
        Ok(())
    })
}

const fn words(service: FaultService) -> &'static str {
    match service {
        FaultService::ZeroFilled => "zero-filled",
        FaultService::ZeroMapped => "mapped to zeros",
        FaultService::Read => "read from swap",
        FaultService::Cached => "found in the swap cache",
        FaultService::ZeroSlot => "zero in swap",
        FaultService::Object => "of objects",
        FaultService::Copied => "copied",
        FaultService::Reused => "made writable",
        FaultService::Spurious => "spurious",
        FaultService::Fatal => "fatal",
    }
}

/// Whether every fault was served in exactly one way; certain only while no task runs.
pub fn add_up() -> bool {
    FaultService::ALL.iter().map(|service| count(*service)).sum::<u64>() == faults()
}
