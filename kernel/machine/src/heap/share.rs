//! Who gets how much of the heap.

use quire_swap::header::PAGE_SIZE;

use super::fail_nth;
use crate::arch::cpu;
use crate::physical;
use crate::running::Running;
use crate::upcall::upcalls;
use crate::watermark::Purpose;

/// What [`may_allocate`] leaves to allocations that cannot fail, if memory is large enough.
pub(super) const KEPT_BACK: usize = 256 << 10;
/// This part of memory is not for what the kernel keeps on behalf of ordinary users.
pub const ROOT_SHARE: usize = 8;

/// On whose behalf the thread that runs this takes memory.
pub(crate) fn purpose() -> Purpose {
    match cpu::with_running(Running::may_take_reserve) {
        Some(true) => Purpose::Requests,
        Some(false) if (upcalls().serves_ordinary_user)() => Purpose::Program,
        _ => Purpose::Heap,
    }
}

/// Whether so many of the three parts of root's share are left after the kernel has taken another `pages` for this purpose.
pub(super) fn leaves(parts: usize, pages: usize, purpose: Purpose) -> bool {
    let managed = physical::managed_frames();
    let most = managed - parts * managed / (3 * ROOT_SHARE);
    purpose != Purpose::Program || physical::kernel_frames().saturating_add(pages) <= most
}

/// Whether `bytes` may be taken by a caller that can do without them.
pub fn may_allocate(bytes: usize) -> bool {
    !fail_nth::fails_now() && allows(bytes, 1)
}

/// Whether `bytes` may be taken for an object that stays: once this says no, [`may_allocate`] still does not, so that a program at its
/// limit has what it needs to give something up.
pub fn may_keep(bytes: usize) -> bool {
    !fail_nth::fails_now() && allows(bytes, 2)
}

/// Whether so many parts of what is kept back are left after `bytes` more: one for what cannot fail, one for what does not stay.
fn allows(bytes: usize, parts: usize) -> bool {
    if !cpu::is_of_machine() {
        return true;
    }
    let pages = bytes.div_ceil(PAGE_SIZE);
    let marks = physical::watermarks();
    let kept_back = (KEPT_BACK / PAGE_SIZE).min(marks.min / 4);
    let purpose = purpose();
    physical::free_frames() >= pages.saturating_add(marks.floor(purpose) + parts * kept_back)
        && leaves(parts + 1, pages, purpose)
}
