//! Swap entries, and how a PTE says that its page is not in memory.
//!
//! A non-present x86-64 PTE belongs to the kernel but for bit 0, which must be clear:
//!
//! | bits | meaning |
//! |---|---|
//! | 0 | 0: not present |
//! | 1–3 | kind: 1 swap entry, 2 poisoned; the rest is free for later markers |
//! | 4–8 | area |
//! | 16–47 | slot |
//!
//! A PTE that is all zero is empty, never an entry: an entry's kind is not 0.

use core::fmt;

/// Names one slot of one area. Slot 0 holds the area's header, so no entry has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    area: u8,
    slot: u32,
}

/// What a PTE means to swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodedPte {
    /// All zero: nothing was ever here.
    None,
    /// A present page: not swap's business.
    Present(u64),
    /// The page is in this slot; the PTE holds one of the slot's counts.
    Entry(Entry),
    /// The page was in this slot and could not be read back: a task that touches it gets `SIGBUS`. Holds no count.
    Poisoned(Entry),
    /// A PTE that swap did not write.
    Unknown(u64),
}

/// Bits of an area's index.
const AREA_BITS: u32 = 5;

/// How many areas an entry can tell apart.
pub const ENTRY_AREAS: u8 = 1 << AREA_BITS;

const PRESENT: u64 = 1;
const KIND_SHIFT: u32 = 1;
const KIND_MASK: u64 = 0b111 << KIND_SHIFT;
const KIND_ENTRY: u64 = 1 << KIND_SHIFT;
const KIND_POISONED: u64 = 2 << KIND_SHIFT;
const AREA_SHIFT: u32 = 4;
const SLOT_SHIFT: u32 = 16;
const FIELDS: u64 = (ENTRY_AREAS as u64 - 1) << AREA_SHIFT | (u32::MAX as u64) << SLOT_SHIFT;

impl Entry {
    /// How many bits [`Entry::to_bits`] takes.
    pub const BITS: u32 = u32::BITS + AREA_BITS;

    /// The entry of `slot` in `area`; none for slot 0 or an area that does not fit into 5 bits.
    #[inline]
    pub const fn new(area: u8, slot: u32) -> Option<Self> {
        if slot == 0 || area >= ENTRY_AREAS { None } else { Some(Self { area, slot }) }
    }

    /// The area's index.
    #[inline]
    pub const fn area(self) -> u8 {
        self.area
    }

    /// The slot inside the area.
    #[inline]
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// The entry as a number, to be kept beside other numbers.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        (self.area as u64) << u32::BITS | self.slot as u64
    }

    /// The entry that [`Entry::to_bits`] made a number of; bits above that are ignored.
    #[inline]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        Self::new((bits >> u32::BITS) as u8 & (ENTRY_AREAS - 1), bits as u32)
    }

    /// The entry as a non-present PTE.
    pub const fn to_pte(self) -> u64 {
        KIND_ENTRY | self.fields()
    }

    /// The entry that the PTE holds, if it holds one.
    #[inline]
    pub const fn from_pte(pte: u64) -> Option<Self> {
        match DecodedPte::decode(pte) {
            DecodedPte::Entry(entry) => Some(entry),
            _ => None,
        }
    }

    const fn fields(self) -> u64 {
        (self.area as u64) << AREA_SHIFT | (self.slot as u64) << SLOT_SHIFT
    }
}

impl DecodedPte {
    /// Reads a PTE.
    pub const fn decode(pte: u64) -> Self {
        if pte == 0 {
            return Self::None;
        }
        if pte & PRESENT != 0 {
            return Self::Present(pte);
        }
        let area = (pte >> AREA_SHIFT) as u8 & (ENTRY_AREAS - 1);
        let Some(entry) = Entry::new(area, (pte >> SLOT_SHIFT) as u32) else { return Self::Unknown(pte) };
        match pte & !FIELDS {
            KIND_ENTRY => Self::Entry(entry),
            KIND_POISONED => Self::Poisoned(entry),
            _ => Self::Unknown(pte),
        }
    }

    /// Writes a PTE; the inverse of [`DecodedPte::decode`].
    pub const fn encode(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Entry(entry) => entry.to_pte(),
            Self::Poisoned(entry) => KIND_POISONED | entry.fields(),
            Self::Present(pte) | Self::Unknown(pte) => pte,
        }
    }
}

const _: () = assert!(FIELDS & (KIND_MASK | PRESENT) == 0, "the fields of an entry do not overlap");

impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "area {} slot {}", self.area, self.slot)
    }
}
