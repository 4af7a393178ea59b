//! Objects on a disk as they are stored: several in a block, and from one block into the next where blocks lie beside one another.
//!
//! Each object has a [`Label`] in front of it, which says whose it is, what its bytes are and what their sum is. So a block that was
//! lost, misdirected or damaged on its way is noticed, and no page is taken for another; and who reads a block for one of its
//! objects finds the others. zram writes its blocks to a backing device in this form, zswap to slots of areas with a disk.
//!
//! Labels are at multiples of [`ALIGN`]. Behind the last object there are zeros.
//!
//! | bits of a label | |
//! |---|---|
//! | 0 to 36 | the owner: a slot, and the area that it is in if there are several |
//! | 37 to 48 | the length of the object; 0 if there is none |
//! | 49 to 50 | its encoding |
//! | 51 to 61 | how far the label before this one is away, in steps of [`ALIGN`]; 0 if there is none |
//! | 64 to 95 | the sum of its bytes |

use core::iter;
use core::ops::Range;

use quire_swap::Entry;

use super::codec::Encoding;
use super::sum::sum;

/// Bytes of a label.
pub(crate) const LABEL: usize = 12;
/// What labels are at multiples of.
pub(crate) const ALIGN: usize = 4;

const LENGTH_SHIFT: u32 = Entry::BITS;
const LENGTH_BITS: u32 = 12;
const ENCODING_SHIFT: u32 = LENGTH_SHIFT + LENGTH_BITS;
const ENCODING_BITS: u32 = 2;
const BACK_SHIFT: u32 = ENCODING_SHIFT + ENCODING_BITS;
const BACK_BITS: u32 = 11;

const _: () = assert!(Encoding::ALL.len() <= 1 << ENCODING_BITS && BACK_SHIFT + BACK_BITS <= u64::BITS);

/// What stands in front of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    owner: u64,
    length: usize,
    encoding: Encoding,
    back: usize,
    sum: u32,
}

/// An object among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// Where its label is.
    pub(crate) at: usize,
    pub(crate) owner: u64,
    pub(crate) encoding: Encoding,
    pub(crate) bytes: Range<usize>,
}

impl Label {
    /// The label of an object, shorter than a page, whose predecessor's label is `back` bytes before its own.
    pub(crate) fn new(owner: u64, encoding: Encoding, contents: &[u8], back: usize) -> Self {
        debug_assert!(contents.len() < 1 << LENGTH_BITS && owner >> LENGTH_SHIFT == 0 && back.is_multiple_of(ALIGN));
        Self { owner, length: contents.len(), encoding, back, sum: sum(contents) }
    }

    pub(crate) fn to_bytes(self) -> [u8; LABEL] {
        let word = self.owner
            | (self.length as u64) << LENGTH_SHIFT
            | (self.encoding as u64) << ENCODING_SHIFT
            | ((self.back / ALIGN) as u64) << BACK_SHIFT;
        let mut bytes = [0; LABEL];
        bytes[..8].copy_from_slice(&word.to_le_bytes());
        bytes[8..].copy_from_slice(&self.sum.to_le_bytes());
        bytes
    }

    /// The label at `at`; none if nothing, or nothing that could be one, is there.
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let (word, rest) = bytes.get(at..)?.split_first_chunk()?;
        let (word, sum) = (u64::from_le_bytes(*word), u32::from_le_bytes(*rest.first_chunk()?));
        let field = |shift: u32, bits: u32| (word >> shift) as usize & ((1 << bits) - 1);
        let length = field(LENGTH_SHIFT, LENGTH_BITS);
        let encoding = *Encoding::ALL.get(field(ENCODING_SHIFT, ENCODING_BITS))?;
        let (owner, back) = (word & ((1 << LENGTH_SHIFT) - 1), field(BACK_SHIFT, BACK_BITS) * ALIGN);
        (length > 0).then_some(Self { owner, length, encoding, back, sum })
    }
}

/// Bytes that an object of so many takes with its label.
pub(crate) const fn bytes_with_label(length: usize) -> usize {
    (LABEL + length).next_multiple_of(ALIGN)
}

/// The object whose label is at `at`; none if the bytes are not those that were written.
fn object(bytes: &[u8], at: usize) -> Option<Packed> {
    let label = Label::read(bytes, at)?;
    let range = at + LABEL..at + LABEL + label.length;
    (sum(bytes.get(range.clone())?) == label.sum).then_some(Packed {
        at,
        owner: label.owner,
        encoding: label.encoding,
        bytes: range,
    })
}

/// The object of `owner` whose label is at `at`; none if the bytes are not those that were written.
pub(crate) fn object_of(bytes: &[u8], at: usize, owner: u64) -> Option<Packed> {
    object(bytes, at).filter(|found| found.owner == owner)
}

/// All objects of which no byte is missing here, where one has its label at `at`.
pub(crate) fn objects(bytes: &[u8], at: usize) -> impl Iterator<Item = Packed> {
    let before = |at: &usize| {
        let before = at.checked_sub(Label::read(bytes, *at)?.back).filter(|before| before != at)?;
        (before + bytes_with_label(Label::read(bytes, before)?.length) == *at).then_some(before)
    };
    let first = iter::successors(Some(at), before).last();
    let after = |found: &Packed| object(bytes, found.bytes.end.next_multiple_of(ALIGN));
    iter::successors(first.and_then(|first| object(bytes, first)), after)
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    /// Objects of these lengths, from `start` on, with where their labels are.
    fn packed(start: usize, lengths: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut labels, mut back) = (vec![0; 8192], Vec::new(), 0);
        let mut at = start;
        for (owner, &length) in lengths.iter().enumerate() {
            let contents: Vec<u8> = (0..length).map(|index| (index * 7 + owner) as u8).collect();
            let label = Label::new(owner as u64 + (1 << 36), Encoding::Lz4, &contents, back);
            bytes[at..at + LABEL].copy_from_slice(&label.to_bytes());
            bytes[at + LABEL..at + LABEL + length].copy_from_slice(&contents);
            labels.push(at);
            back = bytes_with_label(length);
            at += back;
        }
        (bytes, labels)
    }

    #[test]
    fn from_each_object_all_others_are_found() {
        let (bytes, labels) = packed(0, &[1, 1234, 3624, 77, 500]);
        for &from in &labels {
            let found: Vec<usize> = objects(&bytes, from).map(|found| found.at).collect();
            assert_eq!(found, labels, "from {from}");
        }
        assert_eq!(object_of(&bytes, labels[2], 2 + (1 << 36)).unwrap().bytes.len(), 3624);
        assert_eq!(object_of(&bytes, labels[2], 2), None, "it is another's");
        assert_eq!(object_of(&bytes, labels[2] + ALIGN, 2 + (1 << 36)), None);
    }

    #[test]
    fn an_object_that_is_cut_off_is_not_found_and_ends_the_search() {
        let (bytes, labels) = packed(0, &[1000, 2000, 3000]);
        let at = |from: usize, range: Range<usize>| -> Vec<usize> {
            objects(&bytes[range.clone()], from - range.start).map(|found| found.at + range.start).collect()
        };
        assert_eq!(at(labels[1], 0..4096), labels[..2]);
        // The first begins before what there is.
        assert_eq!(at(labels[1], 4..8192), labels[1..]);
    }

    #[test]
    fn a_changed_byte_is_found_and_costs_one_object() {
        let (mut bytes, labels) = packed(0, &[300, 300, 300]);
        for index in 0..labels[2] + LABEL + 300 {
            bytes[index] ^= 0x40;
            let sound = labels
                .iter()
                .enumerate()
                .filter(|(owner, at)| object_of(&bytes, **at, *owner as u64 + (1 << 36)).is_some());
            // The distance to the label before is not summed: only a search is stopped by it.
            assert!(sound.count() >= 2, "byte {index}");
            for at in &labels {
                objects(&bytes, *at).for_each(|found| assert!(labels.contains(&found.at)));
            }
            bytes[index] ^= 0x40;
        }
    }
}
