//! `/proc/kpageflags`, `/proc/kpagecount`, `/proc/kpagecgroup`: eight bytes for each frame, at eight times its number (Linux:
//! `fs/proc/page.c`, `include/uapi/linux/kernel-page-flags.h`, `Documentation/admin-guide/mm/pagemap.rst`).

use quire_machine::frame::Kind;
use quire_memory::cgroup::MOST;
use quire_memory::frame_use::{self, FrameUse, PageUse, frame_use};
use quire_memory::lru::ListState;

use super::super::cgroup;
use super::super::synthetic::{Item, Text, text};
use crate::errno::Errno;

/// A file's number for a frame.
const BYTES: u64 = size_of::<u64>() as u64;

/// Linux's bits.
mod bit {
    pub(super) const LOCKED: u64 = 1;
    pub(super) const UPTODATE: u64 = 1 << 3;
    pub(super) const DIRTY: u64 = 1 << 4;
    pub(super) const LRU: u64 = 1 << 5;
    pub(super) const ACTIVE: u64 = 1 << 6;
    pub(super) const SLAB: u64 = 1 << 7;
    pub(super) const WRITEBACK: u64 = 1 << 8;
    pub(super) const BUDDY: u64 = 1 << 10;
    pub(super) const MMAP: u64 = 1 << 11;
    pub(super) const ANON: u64 = 1 << 12;
    pub(super) const SWAPCACHE: u64 = 1 << 13;
    pub(super) const SWAPBACKED: u64 = 1 << 14;
    pub(super) const UNEVICTABLE: u64 = 1 << 18;
    pub(super) const NOPAGE: u64 = 1 << 20;
    pub(super) const PGTABLE: u64 = 1 << 26;
}

/// Which of the files.
#[derive(Clone, Copy)]
pub(super) enum Frames {
    Flags,
    Count,
    Cgroup,
}

impl Frames {
    pub(super) fn file(self) -> Result<Item, Errno> {
        text(self)
    }
}

impl Text for Frames {
    fn permissions(&self) -> u32 {
        0o400
    }

    fn read_bytes(&self, position: u64, buffer: &mut [u8]) -> Option<Result<usize, Errno>> {
        if !position.is_multiple_of(BYTES) || !(buffer.len() as u64).is_multiple_of(BYTES) {
            return Some(Err(Errno::EINVAL));
        }
        let inodes = match self {
            Self::Cgroup => match cgroup::inodes() {
                Ok(inodes) => inodes,
                Err(error) => return Some(Err(error)),
            },
            _ => [0; MOST],
        };
        let left = frame_use::frames().saturating_sub(position / BYTES);
        let (numbers, _) = buffer.as_chunks_mut();
        let mut bytes = 0;
        for (place, frame) in numbers.iter_mut().zip(position / BYTES..).take(usize::try_from(left).unwrap_or(0)) {
            let number = frame_use(frame).map_or(0, |found| match self {
                Self::Flags => flags(&found),
                Self::Count => u64::from(found.page.map_or(0, |page| page.ptes)),
                Self::Cgroup => charged(&found).map_or(0, |cgroup| inodes[usize::from(cgroup)]),
            });
            *place = number.to_ne_bytes();
            bytes += place.len();
        }
        Some(Ok(bytes))
    }
}

/// The cgroup that is charged for the frame, of those that any is.
fn charged(found: &FrameUse) -> Option<u8> {
    let is_charged = matches!(found.kind, Kind::Anonymous | Kind::Object | Kind::PageTable | Kind::Stack);
    is_charged.then_some(found.cgroup)
}

fn flags(found: &FrameUse) -> u64 {
    let kind = match found.kind {
        Kind::Reserved => bit::NOPAGE,
        Kind::Free | Kind::FreeTail => bit::BUDDY,
        Kind::PageTable | Kind::KernelTable => bit::PGTABLE,
        Kind::Heap => bit::SLAB,
        Kind::Anonymous => bit::ANON,
        Kind::Object | Kind::Stack | Kind::Device | Kind::Pool | Kind::Archive => 0,
    };
    kind | found.page.map_or(0, |page| page_flags(&page))
}

fn page_flags(page: &PageUse) -> u64 {
    let PageUse { ptes, locked, up_to_date, dirty, writeback, in_swap_cache, list } = *page;
    let ListState { listed, active, unevictable, droppable } = list;
    [
        (locked, bit::LOCKED),
        (up_to_date, bit::UPTODATE),
        (dirty, bit::DIRTY),
        (writeback, bit::WRITEBACK),
        (in_swap_cache, bit::SWAPCACHE),
        (ptes > 0, bit::MMAP),
        (listed, bit::LRU),
        (active, bit::ACTIVE),
        (unevictable, bit::UNEVICTABLE),
        (!droppable, bit::SWAPBACKED),
    ]
    .into_iter()
    .filter(|(holds, _)| *holds)
    .fold(0, |flags, (_, bit)| flags | bit)
}

#[cfg(test)]
mod tests {
    use quire_machine::frame::Kind;
    use quire_memory::frame_use::{FrameUse, PageUse};
    use quire_memory::lru::ListState;

    use super::{charged, flags};

    #[test]
    fn a_frames_bits_are_linuxs() {
        let found = |kind, page| FrameUse { kind, cgroup: 3, page };
        assert_eq!(flags(&found(Kind::FreeTail, None)), 1 << 10);
        assert_eq!(flags(&found(Kind::KernelTable, None)), 1 << 26);
        let list = ListState { listed: true, active: false, unevictable: false, droppable: false };
        let page = PageUse {
            ptes: 2,
            locked: false,
            up_to_date: true,
            dirty: true,
            writeback: false,
            in_swap_cache: true,
            list,
        };
        let anonymous = found(Kind::Anonymous, Some(page));
        assert_eq!(flags(&anonymous), 1 << 3 | 1 << 4 | 1 << 5 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14);
        assert_eq!(charged(&anonymous), Some(3));
        assert_eq!(charged(&found(Kind::Free, None)), None);
    }
}
