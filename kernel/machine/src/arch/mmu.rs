//! What walks the page tables: which of them are in use, and the translations that the processor remembers.

use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::PhysFrame;
use x86_64::{PhysAddr, VirtAddr};

use crate::frame::FrameNumber;

/// The root table that is in use.
pub fn active_root() -> FrameNumber {
    FrameNumber::containing(Cr3::read().0.start_address().as_u64())
}

/// Makes `root` the table in use and forgets all translations that are not global.
///
/// # Safety
/// `root` is a root table that maps the kernel's code, data and stack, and stays while it is in use.
pub unsafe fn load(root: FrameNumber) {
    let frame = PhysFrame::containing_address(PhysAddr::new(root.address()));
    // SAFETY: the caller promises that the kernel's code, data and stack stay mapped.
    unsafe { Cr3::write(frame, Cr3Flags::empty()) };
}

/// Forgets the page at `address` on this processor alone.
#[inline]
pub fn forget_page(address: u64) {
    tlb::flush(VirtAddr::new_truncate(address));
}

/// Forgets the user half on this processor.
#[inline]
pub(crate) fn forget_user() {
    let (frame, flags) = Cr3::read();
    // SAFETY: the same root again changes nothing but the translations that are remembered.
    unsafe { Cr3::write(frame, flags) };
}

/// Forgets the user half on other processors, a bit each.
///
/// One processor is started for now. When there are more, this is where they are interrupted and waited for; so are those for
/// which [`crate::kernel_map::unmap`] forgets a page.
///
/// # Panics
/// When there are any.
#[inline]
pub(crate) fn forget_user_on(others: u32) {
    assert!(others == 0, "another processor is to forget translations, and none is started");
}

/// 2^`order` frames from `block` on become free. The simulated machine looks whether a processor can still reach them.
#[inline]
pub(crate) const fn note_free(_block: FrameNumber, _order: u8) {}
