//! The words of the four-level page tables, the walk through them, and the map of the kernel half.
//!
//! # The address space
//!
//! | from | to | what |
//! |---|---|---|
//! | `0` | [`USER_END`] | the user half, one for each address space |
//! | [`DIRECT_MAP`] | + 32 TiB | the RAM that Quire manages and its heap, at its physical address; never executable |
//! | [`MMIO`] | + 512 GiB | device registers, uncached |
//! | [`ARCHIVE`] | + 512 GiB | the initramfs as it came |
//! | [`INFLATED_ARCHIVE`] | + 512 GiB | what comes out of its compressed parts |
//! | [`STACKS`] | + 512 GiB | kernel stacks, each above a guard gap |
//! | [`BLOCKS`] | + 512 GiB | blocks of the kernel heap that are not contiguous in physical memory |
//! | [`KERNEL_IMAGE`] | + 2 GiB | the kernel: code read-only, data not executable; not in the direct map |
//!
//! # Invariants
//!
//! A table is a frame of its own, reached through the direct map, and its words are only touched atomically. A word
//! that is present and a leaf maps a frame; one that is not present may hold anything, such as a swap entry.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::PhysAddr;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use crate::mm::FrameNumber;
pub use crate::mm::USER_END;

/// What a word of the root table covers.
pub const ROOT_WORD_BYTES: u64 = 512 << 30;

/// Where physical address 0 is in the kernel half.
pub const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
/// Where device registers are mapped.
pub const MMIO: u64 = 0xffff_a000_0000_0000;
/// Where the initramfs is mapped.
pub const ARCHIVE: u64 = 0xffff_c000_0000_0000;
/// Where its inflated parts are mapped.
pub const INFLATED_ARCHIVE: u64 = ARCHIVE + ROOT_WORD_BYTES;
/// Where kernel stacks are mapped.
pub const STACKS: u64 = 0xffff_e000_0000_0000;
/// Where blocks of the kernel heap are mapped that are not contiguous in physical memory.
pub const BLOCKS: u64 = STACKS + ROOT_WORD_BYTES;
/// Where the kernel is linked; `.cargo/config.toml` tells the linker the same.
pub const KERNEL_IMAGE: u64 = 0xffff_ffff_8000_0000;

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
/// The frame holds a page table and is not given back while the reference lives.
pub unsafe fn table(frame: FrameNumber) -> &'static Table {
    // SAFETY: the direct map covers every frame that Quire manages; a table's words are only used as atomics.
    unsafe { &*((DIRECT_MAP + frame.address()) as *const Table) }
}

/// The index of `address` in the table of `level`.
pub const fn index(address: u64, level: Level) -> usize {
    (address >> (12 + 9 * (level - 1)) & 511) as usize
}

/// The word of level `level` for `address`, if the tables above it are there.
///
/// # Safety
/// `root` is a root table, and none of its tables is given back while the reference lives.
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

/// The root table that is in use.
pub fn active_root() -> FrameNumber {
    FrameNumber::containing(Cr3::read().0.start_address().as_u64())
}

/// Makes `root` the table in use and forgets all translations that are not global.
///
/// # Safety
/// `root` is a root table whose kernel half maps the kernel as the active one does.
pub unsafe fn activate(root: FrameNumber) {
    let frame = PhysFrame::containing_address(PhysAddr::new(root.address()));
    // SAFETY: the caller promises that the kernel's code, data and stack stay mapped.
    unsafe { Cr3::write(frame, Cr3Flags::empty()) };
}

/// Forgets all translations of the user half, on every processor that may remember one.
///
/// One processor is started for now. When there are more, this is where the others are interrupted and waited for; so are
/// those for which [`crate::mm::kernel_map::unmap`] forgets a page.
pub fn flush_user_everywhere() {
    let (frame, flags) = Cr3::read();
    // SAFETY: the same root again changes nothing but the translations that are remembered.
    unsafe { Cr3::write(frame, flags) };
}
