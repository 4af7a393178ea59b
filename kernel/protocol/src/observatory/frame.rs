//! A frame's metadata.

/// One frame's metadata as it lies in the guest's memory; the kernel checks that its own structure is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FrameRecord {
    /// What the swap core knows of the folio: [`folio_flag`], and the swap area's index.
    pub flags: u32,
    /// The slot, of a folio in the swap cache.
    pub slot: u32,
    /// Whose page it is: the owner's number in the upper 28 bits, the page's index there in the others; 0 for none. Something
    /// else for a frame that holds no page.
    pub owned: u64,
    /// References; something else for a frame of a pool.
    pub references: u32,
    /// The next frame of the list that it is in.
    pub next: u32,
    /// The one before it.
    pub previous: u32,
    /// What it is used for: [`kind`].
    pub kind: u8,
    /// The order of the block that it is the first of.
    pub order: u8,
    /// Which LRU list it is in, and what reclaim notes of it.
    pub list: u8,
    /// The memory cgroup that is charged for it.
    pub cgroup: u8,
}

const _: () = assert!(size_of::<FrameRecord>() == FrameRecord::BYTES);

/// The bits of [`FrameRecord::flags`], as `quire_swap::FolioFlag` has them.
pub mod folio_flag {
    /// A task holds the folio's lock.
    pub const LOCKED: u32 = 1 << 0;
    /// The contents are the page's.
    pub const UP_TO_DATE: u32 = 1 << 1;
    /// The contents are newer than what the slot holds.
    pub const DIRTY: u32 = 1 << 2;
    /// The contents are on their way to the slot.
    pub const WRITEBACK: u32 = 1 << 3;
    /// In the swap cache.
    pub const IN_CACHE: u32 = 1 << 4;
    /// Read ahead of a fault.
    pub const READAHEAD: u32 = 1 << 5;
    /// Found unused while it was locked.
    pub const ORPHAN: u32 = 1 << 6;
    /// Under writeback to where it must not change meanwhile.
    pub const STABLE: u32 = 1 << 7;
    /// A store of compressed pages has tried it in vain.
    pub const INCOMPRESSIBLE: u32 = 1 << 8;
    /// One page of a large folio.
    pub const LARGE: u32 = 1 << 14;
    /// How far the area's index is shifted.
    pub const AREA_SHIFT: u32 = 9;
    /// The bits of the area's index.
    pub const AREA_MASK: u32 = 0x1f << AREA_SHIFT;
}

/// The values of [`FrameRecord::kind`], as `quire_machine::frame::Kind` has them.
pub mod kind {
    /// No RAM, or RAM that Quire leaves alone.
    pub const RESERVED: u8 = 0;
    /// A private page of address spaces.
    pub const ANONYMOUS: u8 = 1;
    /// A page of an object.
    pub const OBJECT: u8 = 2;
    /// The first frame of a free block.
    pub const FREE: u8 = 3;
    /// A later frame of a free block.
    pub const FREE_TAIL: u8 = 4;
    /// A page table of an address space.
    pub const PAGE_TABLE: u8 = 5;
    /// A page table of the kernel half.
    pub const KERNEL_TABLE: u8 = 6;
    /// Part of a kernel stack.
    pub const STACK: u8 = 7;
    /// Shared with a device.
    pub const DEVICE: u8 = 8;
    /// Part of a pool of compressed pages.
    pub const POOL: u8 = 9;
    /// Part of the initramfs.
    pub const ARCHIVE: u8 = 10;
    /// Part of the kernel heap.
    pub const HEAP: u8 = 11;
}

impl FrameRecord {
    /// How many bytes it takes.
    pub const BYTES: usize = 32;

    /// The record that these bytes are.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let word = |at: usize| u32::from_le_bytes(core::array::from_fn(|index| bytes[at + index]));
        Self {
            flags: word(0),
            slot: word(4),
            owned: u64::from(word(8)) | u64::from(word(12)) << 32,
            references: word(16),
            next: word(20),
            previous: word(24),
            kind: bytes[28],
            order: bytes[29],
            list: bytes[30],
            cgroup: bytes[31],
        }
    }

    /// The owner's number and the page's index there, of a frame that holds a page.
    pub const fn owner(&self) -> Option<(u32, u64)> {
        const INDEX_BITS: u32 = 36;
        let is_page = matches!(self.kind, kind::ANONYMOUS | kind::OBJECT);
        if !is_page || self.owned == 0 {
            return None;
        }
        Some(((self.owned >> INDEX_BITS) as u32, self.owned & ((1 << INDEX_BITS) - 1)))
    }

    /// The area and the slot, of a folio in the swap cache.
    pub const fn swap_slot(&self) -> Option<(u8, u32)> {
        let is_page = matches!(self.kind, kind::ANONYMOUS | kind::OBJECT);
        if !is_page || self.flags & folio_flag::IN_CACHE == 0 {
            return None;
        }
        Some((((self.flags & folio_flag::AREA_MASK) >> folio_flag::AREA_SHIFT) as u8, self.slot))
    }
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::{FrameRecord, folio_flag, kind};

    #[test]
    fn each_field_is_read_from_where_it_lies() {
        let bytes = core::array::from_fn(|index| index as u8 + 1);
        let record = FrameRecord::from_bytes(&bytes);
        let at = |offset: usize| bytes[offset];
        assert_eq!(record.flags as u8, at(offset_of!(FrameRecord, flags)));
        assert_eq!(record.slot as u8, at(offset_of!(FrameRecord, slot)));
        assert_eq!(record.owned.to_le_bytes()[..], bytes[offset_of!(FrameRecord, owned)..][..8]);
        assert_eq!(record.references as u8, at(offset_of!(FrameRecord, references)));
        assert_eq!(record.next as u8, at(offset_of!(FrameRecord, next)));
        assert_eq!(record.previous as u8, at(offset_of!(FrameRecord, previous)));
        assert_eq!(record.kind, at(offset_of!(FrameRecord, kind)));
        assert_eq!(record.order, at(offset_of!(FrameRecord, order)));
        assert_eq!(record.list, at(offset_of!(FrameRecord, list)));
        assert_eq!(record.cgroup, at(offset_of!(FrameRecord, cgroup)));
    }

    #[test]
    fn only_a_page_has_an_owner_and_only_a_cached_one_a_slot() {
        let owned = FrameRecord { kind: kind::ANONYMOUS, owned: 3 << 36 | 7, ..FrameRecord::default() };
        assert_eq!(owned.owner(), Some((3, 7)));
        assert_eq!(FrameRecord { kind: kind::HEAP, ..owned }.owner(), None);
        let cached = FrameRecord { flags: folio_flag::IN_CACHE | 2 << folio_flag::AREA_SHIFT, slot: 9, ..owned };
        assert_eq!(cached.swap_slot(), Some((2, 9)));
        assert_eq!(FrameRecord { flags: 0, ..cached }.swap_slot(), None);
    }
}
