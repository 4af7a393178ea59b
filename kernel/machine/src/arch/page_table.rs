//! The entries of the four-level page tables, and the walk through them.
//!
//! # Invariants
//!
//! A table is a frame of its own, reached through the direct map, and its entries are only touched atomically. An entry
//! that is present and a leaf maps a frame; one that is not present may hold anything, such as a swap entry.

use core::sync::atomic::{AtomicU64, Ordering};

use quire_swap::header::PAGE_SIZE;
use x86_64::structures::paging::PageTableFlags as Flags;

use crate::address_map::direct;
use crate::frame::FrameNumber;

/// The physical address bits of a page-table entry (Intel SDM volume 3, table 4-20).
pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// A level of the tables: 4 is the root, 1 maps 4 KiB pages.
pub type Level = u8;

/// How many bits of an address choose an entry of a table.
const INDEX_BITS: u32 = 9;

/// The entries of a table.
pub const ENTRIES: usize = 1 << INDEX_BITS;

/// A table.
pub type Table = [AtomicU64; ENTRIES];

/// How many bytes of an address space an entry of `level` covers.
#[inline]
pub const fn covered(level: Level) -> u64 {
    (PAGE_SIZE as u64) << (INDEX_BITS * (level as u32 - 1))
}

/// A page-table entry that maps `frame`.
pub const fn leaf(frame: FrameNumber, flags: Flags) -> u64 {
    frame.address() | flags.bits()
}

/// The frame that a present entry leads to.
#[inline]
pub const fn frame_of(entry: u64) -> FrameNumber {
    FrameNumber::containing(entry & ADDRESS)
}

/// The flags of an entry.
pub const fn flags_of(entry: u64) -> Flags {
    Flags::from_bits_truncate(entry & !ADDRESS)
}

/// The table in `frame`.
///
/// # Safety
/// The frame holds a page table and is not freed while the reference lives.
#[inline]
pub unsafe fn table(frame: FrameNumber) -> &'static Table {
    // SAFETY: the direct map covers every frame that Quire manages; a table's entries are only used as atomics.
    unsafe { &*direct(frame.address()) }
}

/// The index of `address` in the table of `level`.
#[inline]
pub const fn index(address: u64, level: Level) -> usize {
    ((address / PAGE_SIZE as u64) >> (INDEX_BITS * (level as u32 - 1))) as usize % ENTRIES
}

/// The entry of level `level` for `address`, if the tables above it are there.
///
/// # Safety
/// `root` is a root table, and none of its tables is freed while the reference lives.
#[inline]
pub unsafe fn walk(root: FrameNumber, address: u64, level: Level) -> Option<&'static AtomicU64> {
    let mut frame = root;
    for above in (level + 1..=4).rev() {
        // SAFETY: the root is a table, and every present entry above the leaves leads to one.
        let entry = unsafe { table(frame) }[index(address, above)].load(Ordering::Acquire);
        if entry & (Flags::PRESENT | Flags::HUGE_PAGE).bits() != Flags::PRESENT.bits() {
            return None;
        }
        frame = frame_of(entry);
    }
    // SAFETY: as above.
    Some(&unsafe { table(frame) }[index(address, level)])
}

/// The entry of level `level` for `address`; missing tables are made of frames that `allocate` gives, cleared, and get
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
        let entry = &unsafe { table(frame) }[index(address, above)];
        if entry.load(Ordering::Acquire) & Flags::PRESENT.bits() == 0 {
            let new = allocate()?;
            // SAFETY: the frame was just allocated for this.
            unsafe { table(new) }.iter().for_each(|entry| entry.store(0, Ordering::Relaxed));
            entry.store(leaf(new, table_flags), Ordering::Release);
        }
        frame = frame_of(entry.load(Ordering::Acquire));
    }
    // SAFETY: as above.
    Some(&unsafe { table(frame) }[index(address, level)])
}
