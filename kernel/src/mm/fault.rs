//! Page faults in the user half: a page is touched that is not in memory.
//!
//! [`handle`] looks at the page's word and makes it present: a page that was never written to gets a frame of zeros; a
//! page in swap is brought in by the swap core, which finds it in the swap cache, knows that it is zero, or reads it
//! together with its neighbours. Whatever happens meanwhile, the word is looked at again under the lock before it is
//! changed, and if it is no longer what the fault started from, the fault starts over.
//!
//! # Locking
//!
//! Nothing is locked while the swap core reads, but the folio itself. To map it, the regions and then the page tables
//! are locked: a page can only be mapped while its address is.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use quire_swap::header::PAGE_SIZE;
use quire_swap::{Entry, FaultError, FaultIn, FaultKind, Folio as _, FolioFlag, PageTableWord, Readahead};

use super::AllocationError;
use super::address_space::{AddressSpace, NotMapped};
use super::folio::Folio;
use super::lru::{self, List};
use super::reclaim;
use crate::log;
use crate::swap;
use crate::task::{self, Fatal};

/// How faults were served, by all tasks since boot.
#[derive(Debug, Default)]
pub struct Counters {
    /// Faults on user addresses.
    pub all: AtomicU64,
    /// A page was touched for the first time and filled with zeros.
    pub zero_filled: AtomicU64,
    /// A page was read from its swap area (a major fault).
    pub read: AtomicU64,
    /// A page was found in the swap cache: read ahead, or on its way out.
    pub cached: AtomicU64,
    /// A page was known to be all zero in its swap area.
    pub zero_slots: AtomicU64,
    /// Somebody else had served the fault already.
    pub spurious: AtomicU64,
    /// The task was killed.
    pub fatal: AtomicU64,
}

/// How faults were served, by all tasks since boot.
pub static COUNTERS: Counters = Counters {
    all: AtomicU64::new(0),
    zero_filled: AtomicU64::new(0),
    read: AtomicU64::new(0),
    cached: AtomicU64::new(0),
    zero_slots: AtomicU64::new(0),
    spurious: AtomicU64::new(0),
    fatal: AtomicU64::new(0),
};

/// What became of one attempt.
enum Attempt {
    /// The page is there; this is how it came.
    Served(&'static AtomicU64),
    /// Something changed meanwhile.
    Again,
    /// There was no frame for a page table.
    NoTable,
}

/// Serves the current task's fault at `address`, a user address.
///
/// # Errors
/// Why the task cannot go on, which the task's thread notes and the log names.
pub fn handle(address: u64, write: bool) -> Result<(), Fatal> {
    COUNTERS.all.fetch_add(1, Ordering::Relaxed);
    let thread = task::current();
    let served = match thread.space() {
        Some(space) => serve(&space, address / PAGE_SIZE as u64 * PAGE_SIZE as u64, write),
        None => Err(Fatal::NotMapped(address)),
    };
    match served {
        Ok(kind) => {
            kind.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        Err(fatal) => {
            COUNTERS.fatal.fetch_add(1, Ordering::Relaxed);
            thread.set_fatal(fatal);
            match fatal {
                Fatal::ReadFailed(entry) => {
                    let area = swap::name(entry.area());
                    log!(
                        "fault",
                        "{thread} killed: the page at {address:#x} cannot be read from slot {} of {area}",
                        entry.slot()
                    );
                }
                Fatal::OutOfMemory => {
                    let resident = thread.space().map_or(0, |space| space.resident());
                    log!(
                        "fault",
                        "{thread} killed: out of memory: no frame for the page at {address:#x}, and nothing left to \
                         reclaim; it has {resident} pages in memory"
                    );
                }
                Fatal::NotMapped(_) => log!("fault", "{thread} killed: nothing is mapped at {address:#x}"),
            }
            Err(fatal)
        }
    }
}

fn serve(space: &AddressSpace, page: u64, write: bool) -> Result<&'static AtomicU64, Fatal> {
    loop {
        let word = space.with_mapped(page, || space.word(page)).ok_or(Fatal::NotMapped(page))?;
        let attempt = match PageTableWord::decode(word) {
            PageTableWord::None => fill_with_zeros(space, page)?,
            PageTableWord::Entry(entry) => swap_in(space, page, entry, Some(space.readahead()), write)?,
            PageTableWord::Present(_) => Attempt::Served(&COUNTERS.spurious),
            PageTableWord::Poisoned(entry) => return Err(Fatal::ReadFailed(entry)),
            PageTableWord::Unknown(_) => return Err(Fatal::NotMapped(page)),
        };
        match attempt {
            Attempt::Served(kind) => return Ok(kind),
            Attempt::Again => {}
            // Not for the frame itself: once one can be had, the next attempt will find one.
            Attempt::NoTable => drop(reclaim::wait_for_frame().map_err(|_| Fatal::OutOfMemory)?),
        }
    }
}

fn fill_with_zeros(space: &AddressSpace, page: u64) -> Result<Attempt, Fatal> {
    let folio = reclaim::wait_for_frame().map_err(|_| Fatal::OutOfMemory)?;
    folio.clear();
    folio.state().set(FolioFlag::UpToDate);
    // Not in swap yet, so memory has the only copy.
    folio.state().set(FolioFlag::Dirty);
    map(space, page, 0, &folio, List::Inactive, true, &COUNTERS.zero_filled)
}

fn swap_in(
    space: &AddressSpace,
    page: u64,
    entry: Entry,
    readahead: Option<&Readahead>,
    write: bool,
) -> Result<Attempt, Fatal> {
    let FaultIn { folio, kind, shadow } = match swap::core().fault_in(entry, 0, readahead) {
        Ok(fault_in) => fault_in,
        Err(FaultError::Gone) => return Ok(Attempt::Again),
        Err(FaultError::NoMemory) => return Err(Fatal::OutOfMemory),
        Err(FaultError::ReadFailed(entry)) => return Err(Fatal::ReadFailed(entry)),
    };
    let (kind, list) = match kind {
        FaultKind::Cached => (&COUNTERS.cached, List::Inactive),
        FaultKind::Read => (&COUNTERS.read, reclaim::list_after_refault(shadow)),
        FaultKind::Zero => (&COUNTERS.zero_slots, reclaim::list_after_refault(shadow)),
    };
    let attempt = map(space, page, entry.to_word(), &folio, list, write, kind)?;
    if let Attempt::Served(_) = attempt {
        swap::forget_word(entry.to_word());
        // A page that is about to change makes its slot worthless.
        if write || swap::core().is_slot_worthless(&folio) {
            swap::core().try_free_slot(&folio);
        }
    }
    Ok(attempt)
}

/// Brings a page back because its area is going; one that cannot be read is poisoned, and whoever touches it later is
/// killed. Nothing happens if the page has come back or gone already.
///
/// # Errors
/// [`AllocationError`] when there is no frame for it.
pub fn bring_back(space: &AddressSpace, page: u64, entry: Entry) -> Result<(), AllocationError> {
    match swap_in(space, page, entry, None, false) {
        Ok(_) | Err(Fatal::NotMapped(_)) => Ok(()),
        Err(Fatal::OutOfMemory) => Err(AllocationError),
        Err(Fatal::ReadFailed(entry)) => {
            if space.replace(page, entry.to_word(), PageTableWord::Poisoned(entry).encode()) {
                swap::forget_word(entry.to_word());
            }
            Ok(())
        }
    }
}

/// The counters of all faults, as one line for a person.
pub fn totals() -> impl fmt::Display {
    fmt::from_fn(|f| {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} = {} zero-filled + {} read from swap + {} found in the swap cache + {} zero in swap + {} spurious + {} fatal",
            get(&COUNTERS.all),
            get(&COUNTERS.zero_filled),
            get(&COUNTERS.read),
            get(&COUNTERS.cached),
            get(&COUNTERS.zero_slots),
            get(&COUNTERS.spurious),
            get(&COUNTERS.fatal)
        )
    })
}

/// Whether every fault was served in exactly one way, or killed its task; certain only while no task runs.
pub fn add_up() -> bool {
    let kinds = [
        &COUNTERS.zero_filled,
        &COUNTERS.read,
        &COUNTERS.cached,
        &COUNTERS.zero_slots,
        &COUNTERS.spurious,
        &COUNTERS.fatal,
    ];
    let served: u64 = kinds.iter().map(|counter| counter.load(Ordering::Relaxed)).sum();
    served == COUNTERS.all.load(Ordering::Relaxed)
}

/// Maps the page if its word is still `expected`, and puts the folio where reclaim finds it.
fn map(
    space: &AddressSpace,
    page: u64,
    expected: u64,
    folio: &Folio,
    list: List,
    dirty: bool,
    kind: &'static AtomicU64,
) -> Result<Attempt, Fatal> {
    let mapped = space.with_mapped(page, || space.map(page, expected, folio, dirty));
    match mapped.ok_or(Fatal::NotMapped(page))? {
        Ok(()) => {
            lru::add(folio, list);
            Ok(Attempt::Served(kind))
        }
        Err(NotMapped::Changed) => Ok(Attempt::Again),
        Err(NotMapped::NoTable) => Ok(Attempt::NoTable),
    }
}
