//! Where the FS and the GS segment of the running thread's program begin, which 64-bit programs address their threads' storage
//! by. The addresses are below [`USER_END`](crate::address_map::USER_END), as those who set them see to.

use x86_64::VirtAddr;
use x86_64::registers::model_specific::{FsBase, KernelGsBase};

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
pub fn set_gs(base: u64) {
    KernelGsBase::write(VirtAddr::new_truncate(base));
}
