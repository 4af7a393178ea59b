//! What is asked of an address space, and why it is refused.

use alloc::sync::Arc;
use core::ops::Range;

use quire_machine::AllocationError;
use quire_machine::address_map::USER_END;
use quire_machine::fallible::NoMemory;
use quire_machine::protection::Protection;
use quire_machine::task::Killed;
use quire_swap::header::PAGE_SIZE;

use crate::object::Object;
use crate::overcommit::{self, Overcommit};
use crate::vma::Promise;
use crate::vmas::TooMany;

const PAGE: u64 = PAGE_SIZE as u64;

/// Where a mapping is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// At the hint if that is free, else anywhere.
    Anywhere {
        /// An address, or 0.
        hint: u64,
    },
    /// Where an address has 31 bits (`MAP_32BIT`).
    Low,
    /// There; what is mapped there is unmapped.
    Fixed(u64),
    /// There, if nothing is.
    FixedNoReplace(u64),
}

/// Where the pages of a mapping come from.
#[derive(Clone)]
pub enum Backing {
    /// They are zero at first.
    Anonymous,
    /// They are an object's.
    Object {
        /// The object.
        object: Arc<Object>,
        /// The byte of the object that the mapping begins with; page-aligned.
        offset: u64,
    },
}

/// What to map.
#[expect(clippy::struct_excessive_bools, reason = "independent flags of mmap(2)")]
#[derive(Clone)]
pub struct MapRequest {
    /// Where.
    pub place: Placement,
    /// How many bytes; rounded up to pages.
    pub length: u64,
    /// What may be done with the pages.
    pub protection: Protection,
    /// Where the pages come from.
    pub backing: Backing,
    /// Writes go to the object, and children share them. Shared anonymous memory gets an object of its own.
    pub shared: bool,
    /// `mprotect` may make it writable.
    pub may_write: bool,
    /// A stack.
    pub grows_down: bool,
    /// Memory may be promised that is not there.
    pub no_reserve: bool,
    /// The pages stay in memory.
    pub locked: bool,
    /// The pages are brought in at once.
    pub populate: bool,
    /// What `/proc/PID/maps` calls it.
    pub name: Option<Arc<str>>,
}

impl MapRequest {
    /// Private memory that is zero at first, to read and write.
    pub const fn anonymous(place: Placement, length: u64) -> Self {
        Self {
            place,
            length,
            protection: Protection::READ_WRITE,
            backing: Backing::Anonymous,
            shared: false,
            may_write: true,
            grows_down: false,
            no_reserve: false,
            locked: false,
            populate: false,
            name: None,
        }
    }

    /// In mode 2 no memory is left unpromised.
    pub(crate) fn waives_promise(&self) -> bool {
        self.no_reserve && overcommit::mode() != Overcommit::Never
    }

    pub(crate) fn promise(&self) -> Promise {
        if self.waives_promise() { Promise::Waived } else { Promise::needed(self.protection, self.shared) }
    }
}

/// Why nothing was mapped or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// It is empty, not page-aligned, or not in the user half.
    OutOfRange,
    /// Part of it is mapped already.
    Overlap,
    /// Part of it is not mapped.
    NotMapped,
    /// The object does not allow this.
    NotAllowed,
    /// There is no place, no memory, or a limit is reached.
    NoMemory,
    /// Pages cannot be locked: the limit is reached.
    LockLimit,
    /// It is below `LOWEST`.
    TooLow,
    /// A page cannot be brought in.
    NotToBeHad,
    /// A page was lost with the swap area that held it.
    Poisoned,
    /// The task was killed meanwhile.
    Killed,
}

impl From<TooMany> for MapError {
    fn from(_: TooMany) -> Self {
        Self::NoMemory
    }
}

impl From<NoMemory> for MapError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl From<Killed> for MapError {
    fn from(_: Killed) -> Self {
        Self::Killed
    }
}

impl From<AllocationError> for MapError {
    fn from(_: AllocationError) -> Self {
        Self::NoMemory
    }
}

/// Bytes of the heap that a change of what is mapped takes at most, but for a copy of it all.
pub(crate) const CHANGE_BYTES: usize = 4096;

/// Whether the range is page-aligned, in the user half and not empty.
pub(crate) fn check(range: &Range<u64>) -> Result<(), MapError> {
    let is_aligned = range.start.is_multiple_of(PAGE) && range.end.is_multiple_of(PAGE);
    if is_aligned && !range.is_empty() && range.end <= USER_END { Ok(()) } else { Err(MapError::OutOfRange) }
}
