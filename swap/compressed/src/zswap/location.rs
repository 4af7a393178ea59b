//! Where the page of one slot is, in the 64 bits of metadata that an area keeps for its backend.
//!
//! | lowest bits | the page is | rest |
//! |---|---|---|
//! | all zero | not zswap's: on the area's own slot, in memory only, or all zero as the swap table says | |
//! | `1` | 8 bytes, repeated, whose highest bit is clear | these |
//! | `010` | in the pool | object, and the generation in which it was last wanted |
//! | `100` | on a slot of another area, which points back and says what the bytes are | that slot |
//! | `100`, and bit 63 | on a slot of another area or a page of the own disk, among others, or from there into the next | that slot or page, and where in it |
//! | `110` | on a page of the area's disk, as an object's bytes or not on that of its slot | that page, their length and encoding |
//! | `1000` | lost: the other slot could not be read when its area went | |

use core::iter;

use quire_swap::Entry;
use quire_swap::header::PAGE_SIZE;

use crate::store::{Encoding, Object, packed};

/// Where the page of a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// Not with zswap.
    Nowhere,
    /// These 8 bytes, repeated.
    Same(u64),
    /// In the pool, wanted last in this generation.
    Pool(Object, u8),
    /// On a slot of another area.
    Slot(Entry),
    /// On a slot of another area, or on a page of the area's own disk, among others.
    Part(Part),
    /// On this page of the area's disk, in this form.
    Page(u32, Form),
    /// It could not be read when its area went.
    Lost,
}

/// Where in slots of another area, or in pages of the area's own disk, an object is, with others ([`packed`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The slot, or the page by the number of its slot, in which its label begins.
    pub(crate) slot: Entry,
    /// Where in it, in bytes, a multiple of [`packed::ALIGN`].
    pub(crate) offset: u16,
    /// It ends in the slot behind that.
    pub(crate) crosses: bool,
}

/// The form of a page in a slot on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) length: u16,
    pub(crate) encoding: Encoding,
}

const SAME: u64 = 0b1;
const POOL: u64 = 0b010;
const SLOT: u64 = 0b100;
const PAGE: u64 = 0b110;
const LOST: u64 = 0b1000;
const TAG: u64 = 0b111;
const TAG_BITS: u32 = 3;
const GENERATION_SHIFT: u32 = 56;
const OFFSET_SHIFT: u32 = Entry::BITS;
const OFFSET_BITS: u32 = 10;
const CROSSES: u64 = 1 << (OFFSET_SHIFT + OFFSET_BITS);
const PART: u64 = 1 << (63 - TAG_BITS);

const _: () = assert!(PAGE_SIZE / packed::ALIGN == 1 << OFFSET_BITS && CROSSES < PART);

impl Location {
    /// Whether repeated bytes leave a bit for the tag.
    pub(crate) fn can_hold(word: u64) -> bool {
        word >> 63 == 0
    }

    /// The location as metadata.
    pub(crate) fn to_metadata(self) -> u64 {
        match self {
            Self::Nowhere => 0,
            Self::Same(word) => {
                debug_assert!(Self::can_hold(word));
                word << 1 | SAME
            }
            Self::Pool(object, generation) => {
                debug_assert!(object.to_word() >> (GENERATION_SHIFT - TAG_BITS) == 0);
                u64::from(generation) << GENERATION_SHIFT | object.to_word() << TAG_BITS | POOL
            }
            Self::Slot(entry) => entry.to_bits() << TAG_BITS | SLOT,
            Self::Part(Part { slot, offset, crosses }) => {
                let offset = (usize::from(offset) / packed::ALIGN) as u64;
                let crosses = if crosses { CROSSES } else { 0 };
                (PART | crosses | offset << OFFSET_SHIFT | slot.to_bits()) << TAG_BITS | SLOT
            }
            Self::Page(page, form) => (u64::from(page) << Form::BITS | u64::from(form.to_bits())) << TAG_BITS | PAGE,
            Self::Lost => LOST,
        }
    }

    /// Whether the metadata says that the page is in the pool and was wanted last in `generation`.
    pub(crate) fn is_of(metadata: u64, generation: u8) -> bool {
        metadata & TAG == POOL && (metadata >> GENERATION_SHIFT) as u8 == generation
    }

    /// The location that [`Location::to_metadata`] was.
    pub(crate) fn from_metadata(metadata: u64) -> Self {
        if metadata & SAME != 0 {
            return Self::Same(metadata >> 1);
        }
        let payload = metadata >> TAG_BITS;
        match metadata & TAG {
            POOL => Self::Pool(
                Object::from_word(payload & ((1 << (GENERATION_SHIFT - TAG_BITS)) - 1)),
                (metadata >> GENERATION_SHIFT) as u8,
            ),
            SLOT => {
                let entry = Entry::from_bits(payload);
                let offset = (payload >> OFFSET_SHIFT) as usize & ((1 << OFFSET_BITS) - 1);
                let part = |slot| {
                    let (offset, crosses) = ((offset * packed::ALIGN) as u16, payload & CROSSES != 0);
                    if payload & PART == 0 { Self::Slot(slot) } else { Self::Part(Part { slot, offset, crosses }) }
                };
                entry.map_or(Self::Nowhere, part)
            }
            PAGE => Self::Page((payload >> Form::BITS) as u32, Form::from_bits(payload as u16)),
            _ if metadata == LOST => Self::Lost,
            _ => Self::Nowhere,
        }
    }
}

impl Part {
    /// The slots that it is in.
    pub(crate) fn slots(self) -> impl Iterator<Item = Entry> {
        let next = self.slot.slot().checked_add(1).filter(|_| self.crosses);
        iter::once(self.slot).chain(next.and_then(|next| Entry::new(self.slot.area(), next)))
    }
}

impl Form {
    /// Those of an owner's note ([`Area::owner`](quire_swap::Area::owner)).
    const BITS: u32 = u16::BITS;
    const LENGTH_BITS: u32 = 13;

    /// A page as it is.
    pub(crate) const PAGE: Self = Self { length: PAGE_SIZE as u16, encoding: Encoding::Raw };

    pub(crate) fn to_bits(self) -> u16 {
        self.length | (self.encoding as u16) << Self::LENGTH_BITS
    }

    pub(crate) fn from_bits(bits: u16) -> Self {
        Self {
            length: bits & ((1 << Self::LENGTH_BITS) - 1),
            encoding: Encoding::ALL[(bits >> Self::LENGTH_BITS) as usize % Encoding::ALL.len()],
        }
    }
}

const _: () = assert!(Encoding::ALL.len() <= 1 << (Form::BITS - Form::LENGTH_BITS));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_location_comes_back_from_its_metadata() {
        let object = |encoding: u64| Object::from_word(0xffff_fffe | 3001 << 32 | encoding << 48);
        let locations = [
            Location::Nowhere,
            Location::Lost,
            Location::Same(0),
            Location::Same(u64::MAX >> 1),
            Location::Pool(object(0), 255),
            Location::Pool(object(1), 0),
            Location::Slot(Entry::new(27, u32::MAX).unwrap()),
            Location::Slot(Entry::new(0, 1).unwrap()),
            Location::Part(Part { slot: Entry::new(31, u32::MAX).unwrap(), offset: 4092, crosses: true }),
            Location::Part(Part { slot: Entry::new(0, 1).unwrap(), offset: 0, crosses: false }),
            Location::Page(u32::MAX, Form::PAGE),
            Location::Page(1, Form { length: 1, encoding: Encoding::Lz4 }),
        ];
        for location in locations {
            assert_eq!(Location::from_metadata(location.to_metadata()), location);
        }
        assert!(!Location::can_hold(1 << 63));
    }
}
