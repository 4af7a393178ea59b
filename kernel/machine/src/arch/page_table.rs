//! The entries of the four-level page tables, and the walk through them.
//!
//! # Invariants
//!
//! A table is a frame of its own, reached through the direct map, and its words are only touched atomically. A word
//! that is present and a leaf maps a frame; one that is not present may hold anything, such as a swap entry.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::structures::paging::PageTableFlags as Flags;

use crate::address_map::direct;
use crate::frame::FrameNumber;

/// The physical address bits of a page-table word (Intel SDM volume 3, table 4-20).
pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// A level of the tables: 4 is the root, 1 maps 4 KiB pages.
pub type Level = u8;

/// The words of a table.
pub type Table = [AtomicU64; 512];

/// A page-table word that maps `frame`.
pub const fn leaf(frame: FrameNumber, flags: Flags) -> u64 {
    frame.address() | flags.bits()
}

/// The frame that a present word leads to.
#[inline]
pub const fn frame_of(word: u64) -> FrameNumber {
    FrameNumber::containing(word & ADDRESS)
}

/// The flags of a word.
pub const fn flags_of(word: u64) -> Flags {
    Flags::from_bits_truncate(word & !ADDRESS)
}

/// The table in `frame`.
///
/// # Safety
/// The frame holds a page table and is not freed while the reference lives.
#[inline]
pub unsafe fn table(frame: FrameNumber) -> &'static Table {
    // SAFETY: the direct map covers every frame that Quire manages; a table's words are only used as atomics.
    unsafe { &*direct(frame.address()) }
}

/// The index of `address` in the table of `level`.
#[inline]
pub const fn index(address: u64, level: Level) -> usize {
    (address >> (12 + 9 * (level - 1)) & 511) as usize
}

/// The word of level `level` for `address`, if the tables above it are there.
///
/// # Safety
/// `root` is a root table, and none of its tables is freed while the reference lives.
#[inline]
pub unsafe fn walk(root: FrameNumber, address: u64, level: Level) -> Option<&'static AtomicU64> {
    let mut frame = root;
    for above in (level + 1..=4).rev() {
        // SAFETY: the root is a table, and every present word above the leaves leads to one.
        let word = unsafe { table(frame) }[index(address, above)].load(Ordering::Acquire);
        if word & (Flags::PRESENT | Flags::HUGE_PAGE).bits() != Flags::PRESENT.bits() {
            return None;
        }
        frame = frame_of(word);
    }
    // SAFETY: as above.
    Some(&unsafe { table(frame) }[index(address, level)])
}

/// The word of level `level` for `address`; missing tables are made of frames that `allocate` gives, cleared, and get
/// `table_flags`. `None` when it gives none.
///
/// # Safety
/// As for [`walk`]; the caller holds the lock of these tables, and `allocate` gives frames that are free of other use.
pub unsafe fn walk_or_create(
    root: FrameNumber,
    address: u64,
    level: Level,
    table_flags: Flags,
    allocate: &mut dyn FnMut() -> Option<FrameNumber>,
) -> Option<&'static AtomicU64> {
    let mut frame = root;
    for above in (level + 1..=4).rev() {
        // SAFETY: as in `walk`.
        let word = &unsafe { table(frame) }[index(address, above)];
        if word.load(Ordering::Acquire) & Flags::PRESENT.bits() == 0 {
            let new = allocate()?;
            // SAFETY: the frame was just allocated for this.
            unsafe { table(new) }.iter().for_each(|word| word.store(0, Ordering::Relaxed));
            word.store(leaf(new, table_flags), Ordering::Release);
        }
        frame = frame_of(word.load(Ordering::Acquire));
    }
    // SAFETY: as above.
    Some(&unsafe { table(frame) }[index(address, level)])
}
