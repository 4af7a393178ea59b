//! One VMA: a range of addresses of an address space and what holds for it.

use alloc::sync::Arc;
use core::iter::Sum;
use core::ops::{Add, Range, Sub};

pub use quire_machine::protection::Protection;

use crate::large_folio::Wanted;

/// Whether the memory behind a VMA is promised, should it need any of its own (Linux: `VM_ACCOUNT`, `VM_NORESERVE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Not yet: nothing private can be written there. It is once that changes.
    NotYet,
    /// It is, and stays so.
    Made,
    /// It never is, as the program wanted (`MAP_NORESERVE`).
    Waived,
}

impl Promise {
    /// What a VMA needs whose program has waived nothing.
    pub const fn needed(protection: Protection, shared: bool) -> Self {
        if protection.write && !shared { Self::Made } else { Self::NotYet }
    }
}

/// A range of addresses and what holds for it.
#[expect(clippy::struct_excessive_bools, reason = "independent flags of a mapping")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vma<A> {
    /// The addresses; page-aligned.
    pub range: Range<u64>,
    /// What may be done with its pages.
    pub protection: Protection,
    /// Writes are seen by every task that maps the object, and by a child.
    pub shared: bool,
    /// It may be made writable.
    pub may_write: bool,
    /// It grows towards lower addresses when it is touched below its start: a stack.
    pub grows_down: bool,
    /// Its pages stay in memory.
    pub locked: bool,
    /// A child does not get it.
    pub not_inherited: bool,
    /// Whether the program wants large folios there.
    pub wanted: Wanted,
    /// Whether memory is promised for it.
    pub promise: Promise,
    /// The object that its pages come from; without one they are zero at first.
    pub object: Option<A>,
    /// What ties its private pages to the `anon_vma` of spaces that may share them.
    pub anonymous: A,
    /// What `/proc/PID/maps` calls it.
    pub name: Option<Arc<str>>,
    /// Which of the places for what readahead has learnt is its own; its set chooses it.
    pub readahead: u8,
}

impl<A: PartialEq> Vma<A> {
    /// Private memory without an object.
    pub const fn anonymous(range: Range<u64>, protection: Protection, link: A) -> Self {
        Self {
            range,
            protection,
            shared: false,
            may_write: true,
            grows_down: false,
            locked: false,
            not_inherited: false,
            wanted: Wanted::Unsaid,
            promise: Promise::needed(protection, false),
            object: None,
            anonymous: link,
            name: None,
            readahead: 0,
        }
    }

    /// How many bytes it has.
    pub const fn length(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether it holds a program's data, which `RLIMIT_DATA` limits (Linux: `is_data_mapping`).
    pub const fn is_data(&self) -> bool {
        self.is_written_privately() && !self.grows_down
    }

    /// Whether its pages may be written, and the writes are its space's alone.
    pub const fn is_written_privately(&self) -> bool {
        self.protection.write && !self.shared
    }

    /// Changes what may be done with its pages. Once they can be written privately, their memory is promised.
    pub fn set_protection(&mut self, protection: Protection) {
        self.protection = protection;
        if self.promise == Promise::NotYet {
            self.promise = Promise::needed(protection, self.shared);
        }
    }

    /// What it counts for.
    pub const fn totals(&self) -> Totals {
        let bytes = self.length();
        Totals {
            mapped: bytes,
            data: if self.is_data() { bytes } else { 0 },
            locked: if self.locked { bytes } else { 0 },
            promised: if matches!(self.promise, Promise::Made) { bytes } else { 0 },
        }
    }

    /// Whether it is one with another that it touches.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.protection == other.protection
            && self.shared == other.shared
            && self.may_write == other.may_write
            && self.grows_down == other.grows_down
            && self.locked == other.locked
            && self.not_inherited == other.not_inherited
            && self.wanted == other.wanted
            && self.promise == other.promise
            && self.object == other.object
            && self.anonymous == other.anonymous
            && self.name == other.name
    }
}

/// What VMAs count for together, in bytes: what limits are held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All that is mapped (`RLIMIT_AS`).
    pub mapped: u64,
    /// Private, writable, and no stack (`RLIMIT_DATA`).
    pub data: u64,
    /// To stay in memory (`RLIMIT_MEMLOCK`).
    pub locked: u64,
    /// Promised (`vm.overcommit_memory`).
    pub promised: u64,
}

impl Totals {
    /// What no VMA counts for.
    pub const NONE: Self = Self { mapped: 0, data: 0, locked: 0, promised: 0 };
}

impl Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            mapped: self.mapped + other.mapped,
            data: self.data + other.data,
            locked: self.locked + other.locked,
            promised: self.promised + other.promised,
        }
    }
}

impl Sub for Totals {
    type Output = Self;

    /// What is left without `other`, which is a part of it.
    fn sub(self, other: Self) -> Self {
        Self {
            mapped: self.mapped - other.mapped,
            data: self.data - other.data,
            locked: self.locked - other.locked,
            promised: self.promised - other.promised,
        }
    }
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{Promise, Protection, Vma};

    #[test]
    fn what_may_be_done_at_all_is_any_of_three_things() {
        let is_some: Vec<_> = (0..8)
            .filter(|&bits| Protection { read: bits & 1 != 0, write: bits & 2 != 0, execute: bits & 4 != 0 }.is_some())
            .collect();
        assert_eq!(is_some, [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn memory_is_promised_once_it_can_be_written_privately() {
        let read = Protection { read: true, ..Protection::NONE };
        let after = |protection, shared, promise| {
            let mut vma = Vma { shared, promise, ..Vma::anonymous(0..0x1000, read, ()) };
            vma.set_protection(protection);
            assert_eq!(vma.protection, protection);
            vma.promise
        };
        assert_eq!(after(Protection::READ_WRITE, false, Promise::NotYet), Promise::Made);
        assert_eq!(after(read, false, Promise::NotYet), Promise::NotYet);
        assert_eq!(after(Protection::READ_WRITE, true, Promise::NotYet), Promise::NotYet);
        assert_eq!(after(Protection::READ_WRITE, false, Promise::Waived), Promise::Waived);
        assert_eq!(after(read, false, Promise::Made), Promise::Made, "it stays so");
    }
}
