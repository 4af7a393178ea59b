//! The entries of the four-level page tables, and the walk through them.
//!
//! # Invariants
//!
//! A table is a frame of its own, reached through the direct map, and its words are only touched atomically. A word
//! that is present and a leaf maps a frame; one that is not present may hold anything, such as a swap entry.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use x86_64::structures::paging::PageTableFlags as Flags;

pub use super::mmu::{active_root, forget_page, load};
use super::{cpu, mmu};
use crate::address_map::direct;
use crate::frame::FrameNumber;
use crate::kernel_map;
use crate::user_tables::Root;

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
    unsafe { &*direct(frame.address()) }
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

/// How many words of the user half of the root in use say something.
pub fn used_user_words() -> usize {
    // SAFETY: the root in use is a root table, and stays while it is.
    let root = unsafe { table(active_root()) };
    root[..256].iter().filter(|word| word.load(Ordering::Relaxed) != 0).count()
}

/// Makes `to` the root in use instead of `from`, where none is the kernel's own, and forgets all translations that are not global.
///
/// Every root has the kernel's half, so code, data and stack stay mapped. A root that is in use is not freed: see
/// [`UserTables`](crate::user_tables::UserTables).
#[inline]
pub(crate) fn activate(from: Option<&Root>, to: Option<&Root>) {
    let own = 1 << cpu::this().number();
    let root = match to {
        Some(root) => {
            root.users().fetch_or(own, Ordering::SeqCst);
            root.frame()
        }
        None => kernel_map::root(),
    };
    // Before the load: what is marked meanwhile is perhaps remembered after it.
    STALE.fetch_and(!own, Ordering::SeqCst);
    // SAFETY: the kernel's code, data and stack stay mapped.
    unsafe { load(root) };
    if let Some(from) = from.filter(|from| from.frame() != root) {
        from.users().fetch_and(!own, Ordering::SeqCst);
    }
}

/// The processors that may remember what is in no table any more, a bit each.
static STALE: AtomicU32 = AtomicU32::new(0);

/// The processors that use a root may remember what was just taken out of its tables.
#[inline]
pub(crate) fn mark_stale(users: &AtomicU32) {
    let users = users.load(Ordering::SeqCst);
    // A processor takes its mark off before it forgets: one that is there still will be heeded.
    if users & !STALE.load(Ordering::SeqCst) != 0 {
        STALE.fetch_or(users, Ordering::SeqCst);
    }
}

/// Makes the processors forget what was taken out of tables that they use. No frame that was mapped is free before
/// this. Returns whether there were any.
#[inline]
pub fn flush_stale() -> bool {
    let any = STALE.load(Ordering::SeqCst) != 0;
    if any {
        flush_user_everywhere();
    }
    any
}

/// Makes the processors that use a root forget the page at `address`, whose PTE was just changed.
#[inline]
pub(crate) fn flush_page(address: u64, users: &AtomicU32) {
    let own = 1 << cpu::this().number();
    if users.load(Ordering::SeqCst) & !own != 0 {
        mark_stale(users);
        flush_stale();
    }
    forget_page(address);
}

/// Forgets all translations of the user half, on every processor that may remember one that is stale.
#[inline(never)]
pub fn flush_user_everywhere() {
    cpu::overtaken();
    // Before they forget: what is marked meanwhile is perhaps remembered after it. Where processors are interrupted one after the
    // other, each takes its own mark off.
    let stale = STALE.swap(0, Ordering::SeqCst);
    mmu::forget_user();
    mmu::forget_user_on(stale & !(1 << cpu::this().number()));
}
