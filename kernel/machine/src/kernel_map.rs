//! The kernel half of the page tables, the same in every address space.
//!
//! # Invariants
//!
//! No page is both writable and executable. An address space copies the root's upper half, and so sees what changes later
//! in the tables below, but no new entry of the root itself: the entries of RAM, of the image and of the `WINDOWS` are there
//! before the first address space is, and others never are.
//!
//! # Locking
//!
//! One lock for all changes. Translations that are removed are flushed on this processor; when more processors are
//! started, this is where they are told.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use quire_swap::header::PAGE_SIZE;
pub use x86_64::structures::paging::PageTableFlags as Flags;

use crate::address_map::{ARCHIVE, BLOCKS, INFLATED_ARCHIVE, MMIO, ROOT_ENTRY_BYTES, STACKS};
use crate::arch::mmu;
use crate::arch::page_table::{self, ENTRIES, frame_of, leaf, table};
use crate::frame::{FrameNumber, Kind};
use crate::no_memory::AllocationError;
use crate::physical;
use crate::sync::{Once, Rank, SpinLock};
use crate::unique::UniqueFrame;
use crate::watermark::Purpose;

#[cfg(target_os = "none")]
pub mod loader;

const PAGE: u64 = PAGE_SIZE as u64;

const _: () = assert!(ROOT_ENTRY_BYTES == page_table::covered(4));

/// The flags of the tables above the leaves; what a page may be used for is said in its leaf alone.
const TABLE: Flags = Flags::PRESENT.union(Flags::WRITABLE);
/// The flags of the kernel's data.
pub const DATA: Flags = Flags::PRESENT.union(Flags::WRITABLE).union(Flags::NO_EXECUTE).union(Flags::GLOBAL);

/// Where pages come and go while there are address spaces, each as large as what one entry of the root covers.
const WINDOWS: [u64; 5] = [MMIO, ARCHIVE, INFLATED_ARCHIVE, STACKS, BLOCKS];

static ROOT: Once<FrameNumber> = Once::new();
static LOCK: SpinLock<()> = SpinLock::new(Rank::KernelMap, ());
static NEXT_MMIO: AtomicU64 = AtomicU64::new(MMIO);

fn allocate_table() -> Option<FrameNumber> {
    physical::allocate(0, Kind::KernelTable, Purpose::Kernel)
}

/// Makes the root, with the tables for what comes and goes.
///
/// # Errors
/// [`AllocationError`] when there is not enough memory for the tables.
pub(crate) fn begin() -> Result<FrameNumber, AllocationError> {
    let root = allocate_table().ok_or(AllocationError)?;
    // SAFETY: the frame was just allocated for this; the loader's direct map reaches it.
    let entries = unsafe { table(root) };
    for entry in entries {
        entry.store(0, Ordering::Relaxed);
    }
    for window in WINDOWS {
        // SAFETY: the root is not in use yet.
        unsafe { page_table::walk_or_create(root, window, 3, TABLE, &mut allocate_table) }.ok_or(AllocationError)?;
    }
    ROOT.call_once(|| root);
    Ok(root)
}

fn set(root: FrameNumber, address: u64, level: u8, entry: u64) -> Result<(), AllocationError> {
    // SAFETY: `root` is the kernel's root table, whose tables are never freed; changes are made under the lock or,
    // while it is built, by its builder.
    let place = unsafe { page_table::walk_or_create(root, address, level, TABLE, &mut allocate_table) };
    place.ok_or(AllocationError)?.store(entry, Ordering::Release);
    Ok(())
}

/// The same for pages that follow one another from `address` on, as far as one table reaches: one walk for all.
#[cfg(target_os = "none")]
fn set_run(root: FrameNumber, address: u64, entries: impl Iterator<Item = u64>) -> Result<(), AllocationError> {
    // SAFETY: as in `set`.
    unsafe { page_table::walk_or_create(root, address, 1, TABLE, &mut allocate_table) }.ok_or(AllocationError)?;
    // SAFETY: as above; the entry of level 2 leads to the table that is there now.
    let table =
        unsafe { page_table::walk(root, address, 2).map(|above| table(frame_of(above.load(Ordering::Acquire)))) };
    let table = &table.ok_or(AllocationError)?[page_table::index(address, 1)..];
    table.iter().zip(entries).for_each(|(old, entry)| old.store(entry, Ordering::Release));
    Ok(())
}

/// The root table whose upper half every address space shares.
///
/// # Panics
/// Before the tables are built.
pub fn root() -> FrameNumber {
    *ROOT.get().expect("the kernel's tables are built before they are used")
}

/// Maps the page at `address`, in one of the windows and unmapped, to `frame`, which is the map's from then on.
///
/// # Errors
/// The frame, when there is none for a table, something is mapped there, or no window has the address.
pub(crate) fn map(address: u64, frame: UniqueFrame, flags: Flags) -> Result<(), UniqueFrame> {
    let is_within = |window: &u64| (*window..*window + ROOT_ENTRY_BYTES).contains(&address);
    if !WINDOWS.iter().any(is_within) {
        return Err(frame);
    }
    let _lock = LOCK.lock();
    // SAFETY: the kernel's tables are never freed.
    let there = unsafe { page_table::walk(root(), address, 1) }.map_or(0, |entry| entry.load(Ordering::Relaxed));
    if there != 0 || set(root(), address, 1, leaf(frame.number(), flags)).is_err() {
        return Err(frame);
    }
    let _ = frame.into_number();
    Ok(())
}

/// Unmaps the page at `address`; returns the frame that was there.
///
/// # Safety
/// The page was mapped by [`map`], and nothing reaches it any more.
pub(crate) unsafe fn unmap(address: u64) -> Option<UniqueFrame> {
    let _lock = LOCK.lock();
    // SAFETY: the kernel's tables are never freed.
    let entry = unsafe { page_table::walk(root(), address, 1) }?.swap(0, Ordering::AcqRel);
    mmu::forget_page(address);
    let is_present = page_table::flags_of(entry).contains(Flags::PRESENT);
    // SAFETY: the frame became the map's when it was mapped, and is not mapped any more.
    is_present.then(|| unsafe { UniqueFrame::from_number(frame_of(entry), 0) })
}

/// The physical address of what is mapped at `address`, by a page of the usual size.
pub(crate) fn physical(address: u64) -> Option<u64> {
    // SAFETY: the kernel's tables are never freed.
    let entry = unsafe { page_table::walk(root(), address, 1) }?.load(Ordering::Acquire);
    let is_present = page_table::flags_of(entry).contains(Flags::PRESENT);
    is_present.then(|| frame_of(entry).address() + address % PAGE)
}

/// Maps `bytes` of device registers at `physical`, uncached; returns where. The mapping stays.
///
/// # Errors
/// [`AllocationError`] when there is no frame for a table, or too little of the window is left.
pub fn map_registers(physical: u64, bytes: usize) -> Result<u64, AllocationError> {
    let first = physical / PAGE * PAGE;
    let end = (physical + bytes as u64).next_multiple_of(PAGE);
    let after = |next: u64| next.checked_add(end - first).filter(|after| *after <= MMIO + ROOT_ENTRY_BYTES);
    let start = NEXT_MMIO.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).map_err(|_| AllocationError)?;
    let _lock = LOCK.lock();
    for offset in (0..end - first).step_by(PAGE as usize) {
        // `FrameNumber` reaches 16 TiB; device registers can lie beyond, so the entry is put together here.
        let entry = (first + offset) | (DATA | Flags::NO_CACHE | Flags::WRITE_THROUGH).bits();
        set(root(), start + offset, 1, entry)?;
    }
    Ok(start + (physical - first))
}

/// A page that is mapped in the kernel half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedPage {
    /// Where.
    pub address: u64,
    /// To what, of RAM or of a device.
    pub physical: Range<u64>,
    /// What may be done with it.
    pub flags: Flags,
}

/// Calls `visit` with every page that is mapped in the kernel half.
pub fn for_each_page(mut visit: impl FnMut(MappedPage)) {
    for upper in ENTRIES as u64 / 2..ENTRIES as u64 {
        visit_table(root(), 4, 0xffff << 48, upper..upper + 1, &mut visit);
    }
}

fn visit_table(frame: FrameNumber, level: u8, base: u64, part: Range<u64>, visit: &mut impl FnMut(MappedPage)) {
    let bytes = page_table::covered(level);
    // SAFETY: the kernel's tables are never freed.
    let entries = unsafe { table(frame) };
    for index in part {
        let entry = entries[index as usize].load(Ordering::Acquire);
        let flags = page_table::flags_of(entry);
        let address = base + index * bytes;
        if !flags.contains(Flags::PRESENT) {
            continue;
        }
        if level == 1 || flags.contains(Flags::HUGE_PAGE) {
            let start = entry & page_table::ADDRESS & !(bytes - 1);
            visit(MappedPage { address, physical: start..start + bytes, flags });
        } else {
            visit_table(frame_of(entry), level - 1, address, 0..ENTRIES as u64, visit);
        }
    }
}
