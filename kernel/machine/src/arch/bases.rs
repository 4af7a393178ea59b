//! Where the FS and the GS segment of the running thread's program begin, which 64-bit programs address their threads' storage
//! by.

use x86_64::VirtAddr;
use x86_64::registers::model_specific::{FsBase, KernelGsBase};

use crate::address_map::USER_END;

/// Where FS begins.
pub fn fs() -> u64 {
    FsBase::read().as_u64()
}

/// Has FS begin at `base`.
pub fn set_fs(base: u64) {
    FsBase::write(VirtAddr::new_truncate(base));
}

/// Where GS begins.
pub fn gs() -> u64 {
    KernelGsBase::read().as_u64()
}

/// Has GS begin at `base`.
///
/// # Panics
/// When that is not in the user half: what comes at any moment takes such a base for the kernel's, see `trap`.
pub fn set_gs(base: u64) {
    assert!(base < USER_END, "a program's GS base is in the user half");
    KernelGsBase::write(VirtAddr::new_truncate(base));
}
