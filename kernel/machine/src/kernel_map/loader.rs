//! What the tables hold from the start: the direct map, and the kernel's image as the loader mapped it.

use core::ops::Range;
use core::sync::atomic::Ordering;

use bootloader_api::info::MemoryRegion;
use x86_64::structures::paging::PageTableFlags as Flags;

use super::{DATA, PAGE, begin, set, set_run};
use crate::address_map::{DIRECT_MAP, KERNEL_IMAGE};
use crate::arch::mmu;
use crate::arch::page_table::{self, Table, frame_of, leaf, table};
use crate::frame::FrameNumber;
use crate::no_memory::AllocationError;
use crate::physical;

const LARGE_PAGE: u64 = 2 << 20;

/// Builds the tables: the direct map of the managed RAM and the kernel's image, whose pages and protections are read
/// from the loader's tables. They are not activated yet.
///
/// # Errors
/// [`AllocationError`] when there is not enough memory for the tables.
///
/// # Panics
/// When the loader mapped a page of the kernel both writable and executable.
///
/// # Safety
/// The loader's tables are in use, and these are the regions that [`physical::start`] had.
pub unsafe fn build(regions: &[MemoryRegion], limit: u64) -> Result<FrameNumber, AllocationError> {
    let root = begin()?;
    for range in physical::usable(regions, limit) {
        map_direct(root, range)?;
    }
    copy_image(root, mmu::active_root())?;
    Ok(root)
}

fn map_direct(root: FrameNumber, range: Range<u64>) -> Result<(), AllocationError> {
    let mut address = range.start;
    while address < range.end {
        let end = range.end.min((address / LARGE_PAGE + 1) * LARGE_PAGE);
        let entry = |page, flags| leaf(FrameNumber::containing(page), flags);
        if end - address == LARGE_PAGE {
            set(root, DIRECT_MAP + address, 2, entry(address, DATA | Flags::HUGE_PAGE))?;
        } else {
            set_run(root, DIRECT_MAP + address, (address..end).step_by(PAGE as usize).map(|page| entry(page, DATA)))?;
        }
        address = end;
    }
    Ok(())
}

/// Copies what the loader mapped from [`KERNEL_IMAGE`] on.
fn copy_image(root: FrameNumber, loader_root: FrameNumber) -> Result<(), AllocationError> {
    for directory in (KERNEL_IMAGE..=u64::MAX - (LARGE_PAGE - 1)).step_by(LARGE_PAGE as usize) {
        // SAFETY: the loader's tables are in use and nothing changes them.
        let Some(entry) = (unsafe { page_table::walk(loader_root, directory, 2) }) else { continue };
        let entry = entry.load(Ordering::Relaxed);
        if !page_table::flags_of(entry).contains(Flags::PRESENT) {
            continue;
        }
        // SAFETY: the entry leads to a table: the loader maps the kernel with 4 KiB pages.
        let pages: &Table = unsafe { table(frame_of(entry)) };
        for (address, page) in (directory..).step_by(PAGE as usize).zip(pages) {
            let page = page.load(Ordering::Relaxed);
            let flags = page_table::flags_of(page) & (Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE);
            if flags.contains(Flags::PRESENT) {
                assert!(
                    !flags.contains(Flags::WRITABLE) || flags.contains(Flags::NO_EXECUTE),
                    "the loader mapped {address:#x} writable and executable"
                );
                set(root, address, 1, leaf(frame_of(page), flags | Flags::GLOBAL))?;
            }
        }
    }
    Ok(())
}
