//! Page-table entries of the user half: what their bits say, and an entry as a value that owns what it says.
//!
//! | PTE | what it says | what it owns |
//! |---|---|---|
//! | 0 | nothing: the page was never touched, or its object knows | |
//! | present | maps a frame | a reference to the folio, unless it is the frame of zeros that all share (`ZERO_PAGE`) |
//! | `HIDDEN` | the frame of a page that may not be touched (`PROT_NONE`), not present for the processor | the same |
//! | entry | the page is in swap ([`quire_swap::DecodedPte`]) | a count of the slot |
//! | poisoned | the page was in swap and could not be read | |
//!
//! The bits are a `u64` that all may have and look at. A [`Pte`] is what can be put into a table: only it owns a reference,
//! and it is made of a [`Folio`], or taken out of a table.

use core::fmt;
use core::mem::ManuallyDrop;

use quire_swap::{Folio as _, Locked};
use x86_64::structures::paging::PageTableFlags as Flags;

use crate::arch::page_table::{flags_of, frame_of, leaf};
use crate::folio::Folio;
use crate::frame::{Frame, FrameNumber, Kind};
use crate::no_memory::AllocationError;
use crate::protection::Protection;
use crate::sync::Once;
use crate::unique::UniqueFrame;
use crate::watermark::Purpose;

/// The flags of a PTE that maps a frame for a program to read.
const READABLE: Flags = Flags::PRESENT.union(Flags::USER_ACCESSIBLE);
/// In a PTE that maps a frame: it is the frame of zeros that all share, which has no references.
const ZERO_PAGE: Flags = Flags::BIT_9;
/// In a PTE that maps a frame: its page stays in memory.
const LOCKED: Flags = Flags::BIT_10;
/// In a PTE that maps a frame: the page was accessed, and a recorder has taken note of that.
const NOTED: Flags = Flags::BIT_11;
/// Either says that the page was accessed.
const ACCESSED: Flags = Flags::ACCESSED.union(NOTED);
/// What is set without the tables' owner asking for it.
const SET_BESIDE: Flags = ACCESSED.union(Flags::DIRTY);
/// The low bits of a PTE that holds a hidden frame: not present, and none of the kinds that the swap core knows.
const HIDDEN: u64 = 0b1110;
const LOW_BITS: u64 = 0b1111;

static ZEROS: Once<FrameNumber> = Once::new();

/// Makes the frame of zeros.
///
/// # Errors
/// [`AllocationError`] when there is no frame for it.
pub fn start() -> Result<(), AllocationError> {
    let mut frame = UniqueFrame::allocate(0, Kind::Device, Purpose::Kernel).ok_or(AllocationError)?;
    frame.bytes_mut().fill(0);
    ZEROS.call_once(|| frame.into_number());
    Ok(())
}

/// How a page is mapped that may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// A write is a fault.
    ReadOnly,
    /// It can be written.
    Writable,
    /// And it is being written.
    Written,
}

impl Mapping {
    /// Of a page that may be written, or is.
    pub const fn of(may_write: bool, write: bool) -> Self {
        match (may_write, write) {
            (true, true) => Self::Written,
            (true, false) => Self::Writable,
            (false, _) => Self::ReadOnly,
        }
    }

    const fn flags(self) -> Flags {
        match self {
            Self::ReadOnly => Flags::empty(),
            Self::Writable => Flags::WRITABLE,
            Self::Written => Flags::WRITABLE.union(Flags::DIRTY),
        }
    }
}

/// The bits that map `frame` as `protection` allows, but not for writing.
#[inline]
fn bits_for(frame: FrameNumber, protection: Protection) -> u64 {
    let mut flags = READABLE | Flags::ACCESSED;
    if !protection.execute {
        flags |= Flags::NO_EXECUTE;
    }
    let bits = leaf(frame, flags);
    if protection.is_some() { bits } else { bits & !LOW_BITS | HIDDEN }
}

/// The bits for the same frame under another protection: writable only if it was and may be.
pub(crate) fn protected(bits: u64, protection: Protection) -> u64 {
    let kept = bits & (SET_BESIDE | ZERO_PAGE | LOCKED).bits();
    let writable = if is_writable(bits) && protection.write { Flags::WRITABLE.bits() } else { 0 };
    let bits = bits_for(frame_of(bits), protection) & !Flags::ACCESSED.bits() | kept;
    if protection.is_some() { bits | writable } else { bits }
}

/// Whether the PTE maps a frame, hidden or not.
#[inline]
pub const fn is_mapped(bits: u64) -> bool {
    bits & Flags::PRESENT.bits() != 0 || bits & LOW_BITS == HIDDEN
}

/// Whether the processor can use the PTE.
#[inline]
pub(crate) const fn is_present(bits: u64) -> bool {
    bits & Flags::PRESENT.bits() != 0
}

/// Whether the PTE maps the frame of zeros.
pub const fn is_zero_page(bits: u64) -> bool {
    is_mapped(bits) && bits & ZERO_PAGE.bits() != 0
}

/// The frame of the folio that the PTE has a reference to, if it has one.
#[inline]
pub fn folio_frame(bits: u64) -> Option<FrameNumber> {
    const PRESENT_ZERO_PAGE: u64 = Flags::PRESENT.union(ZERO_PAGE).bits();
    // One comparison for what is asked about most by far.
    if bits & PRESENT_ZERO_PAGE == Flags::PRESENT.bits() {
        return Some(frame_of(bits));
    }
    if bits & LOW_BITS != HIDDEN {
        return None;
    }
    hidden_folio_frame(bits)
}

#[cold]
#[inline(never)]
fn hidden_folio_frame(bits: u64) -> Option<FrameNumber> {
    (bits & ZERO_PAGE.bits() == 0).then(|| frame_of(bits))
}

/// Whether the processor lets the page be written.
#[inline]
pub const fn is_writable(bits: u64) -> bool {
    let both = Flags::PRESENT.union(Flags::WRITABLE).bits();
    bits & both == both
}

/// Whether the PTE says that its page stays in memory.
#[inline]
pub const fn is_locked(bits: u64) -> bool {
    bits & LOCKED.bits() != 0 && is_mapped(bits)
}

pub(crate) const fn with_locked(bits: u64, locked: bool) -> u64 {
    if locked { bits | LOCKED.bits() } else { bits & !LOCKED.bits() }
}

/// What another space's PTE for the same page says: it maps it for reading, and does not keep it in memory.
#[inline]
pub(crate) const fn for_other_space(bits: u64) -> u64 {
    if is_present(bits) {
        bits & !Flags::WRITABLE.union(LOCKED).bits()
    } else if is_mapped(bits) {
        with_locked(bits, false)
    } else {
        bits
    }
}

/// Whether the page was accessed through this PTE.
#[inline]
pub const fn is_accessed(bits: u64) -> bool {
    bits & ACCESSED.bits() != 0
}

/// The bits without that.
pub(crate) const fn without_accessed(bits: u64) -> u64 {
    bits & !ACCESSED.bits()
}

/// The bits after a recorder has taken note of an access, if the processor has set one since the last time.
pub(crate) fn with_access_noted(bits: u64) -> Option<u64> {
    let is_news = is_mapped(bits) && bits & Flags::ACCESSED.bits() != 0;
    is_news.then_some(without_accessed(bits) | NOTED.bits())
}

/// Whether the page was written through this PTE.
#[inline]
pub fn is_dirty(bits: u64) -> bool {
    flags_of(bits).contains(Flags::DIRTY)
}

/// The bits without what the processor sets by itself, to compare.
#[inline]
pub const fn without_accessed_and_dirty(bits: u64) -> u64 {
    if is_mapped(bits) { bits & !SET_BESIDE.bits() } else { bits }
}

/// A PTE that is in no table, and what it owns.
#[must_use = "it may own a count of a slot, which would be lost"]
pub struct Pte(u64);

impl Pte {
    /// The page was never touched.
    pub const EMPTY: Self = Self(0);

    /// Maps the folio, which has contents, as `protection` allows.
    ///
    /// # Panics
    /// When the folio has no contents, or is to be written while it must not change.
    #[inline]
    pub fn mapping(folio: Folio, protection: Protection, how: Mapping) -> Self {
        let may_be = folio.state().may_be_mapped(how != Mapping::ReadOnly);
        assert!(may_be, "{folio:?} has no contents yet, or must not change now");
        Self(bits_for(ManuallyDrop::new(folio).frame(), protection) | how.flags().bits())
    }

    /// Maps the frame of zeros, for reading.
    ///
    /// # Panics
    /// Before [`start`].
    pub fn zero_page(protection: Protection) -> Self {
        let frame = *ZEROS.get().expect("the frame of zeros is made before any page is touched");
        Self(bits_for(frame, protection) | ZERO_PAGE.bits())
    }

    /// Holds the folio, which has contents, in an object's index, which no processor walks.
    ///
    /// # Panics
    /// When the folio has no contents: in a table, the PTE could be made to let a task have them.
    pub fn holding(folio: Folio) -> Self {
        folio.assert_has_contents();
        Self(leaf(ManuallyDrop::new(folio).frame(), Flags::PRESENT))
    }

    /// Maps nothing.
    ///
    /// # Panics
    /// When the bits say that it does.
    #[inline]
    pub const fn unmapped(bits: u64) -> Self {
        assert!(!is_mapped(bits), "only a folio can be mapped");
        Self(bits)
    }

    /// The same, which keeps its page in memory or does not.
    #[inline]
    pub const fn locked(mut self, locked: bool) -> Self {
        if is_mapped(self.0) {
            self.0 = with_locked(self.0, locked);
        }
        self
    }

    /// The same, though no task has accessed the page yet.
    #[inline]
    pub const fn not_accessed(mut self) -> Self {
        if is_mapped(self.0) {
            self.0 = without_accessed(self.0);
        }
        self
    }

    /// What it says.
    #[inline]
    pub const fn bits(&self) -> u64 {
        self.0
    }

    /// The folio that it maps.
    ///
    /// # Errors
    /// The bits, if it maps none.
    #[inline]
    pub fn into_folio(self) -> Result<Folio, u64> {
        let bits = self.into_bits();
        // SAFETY: the PTE had a reference, and is gone.
        folio_frame(bits).map(|frame| unsafe { Folio::from_frame(frame) }).ok_or(bits)
    }

    /// For a table, which owns what it owned.
    #[inline]
    pub(crate) fn into_bits(self) -> u64 {
        ManuallyDrop::new(self).0
    }

    /// What a table owned.
    ///
    /// # Safety
    /// The bits were a PTE's whose owner has let it go.
    #[inline]
    pub(crate) const unsafe fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Another PTE with the same bits, and the metadata of the folio that they map.
    ///
    /// # Safety
    /// They are those of a PTE that outlives this call.
    #[inline]
    pub(crate) unsafe fn copy_of(bits: u64) -> (Self, Option<&'static Frame>) {
        // SAFETY: the PTE has a reference.
        let folio = folio_frame(bits).map(|frame| unsafe { Folio::add_reference(frame) });
        (Self(bits), folio)
    }

    /// May be written from now on, if it maps the folio, whose lock the caller has.
    pub(crate) fn writable_bits(bits: u64, folio: &Locked<Folio>) -> Option<u64> {
        let is_it = is_present(bits) && folio_frame(bits) == Some(folio.frame()) && folio.state().may_be_written();
        is_it.then_some(bits | (Flags::WRITABLE | Flags::DIRTY | Flags::ACCESSED).bits())
    }
}

impl Drop for Pte {
    #[inline]
    fn drop(&mut self) {
        if let Some(frame) = folio_frame(self.0) {
            // SAFETY: the PTE has a reference, and goes.
            drop(unsafe { Folio::from_frame(frame) });
        }
    }
}

impl fmt::Debug for Pte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PTE {:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Flags, HIDDEN, is_accessed, with_access_noted, without_accessed};

    #[test]
    fn an_access_is_noted_once_and_stays_one() {
        for mapped in [Flags::PRESENT.bits(), HIDDEN] {
            assert_eq!(with_access_noted(mapped), None);
            let noted = with_access_noted(mapped | Flags::ACCESSED.bits()).unwrap();
            assert!(is_accessed(noted));
            assert_eq!(with_access_noted(noted), None, "it is no news");
            assert!(with_access_noted(noted | Flags::ACCESSED.bits()).is_some(), "another access is");
            assert_eq!(without_accessed(noted), mapped);
        }
        assert_eq!(with_access_noted(Flags::ACCESSED.bits()), None, "no frame is mapped");
    }
}
