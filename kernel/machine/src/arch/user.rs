//! Access to the user half from the kernel: the only code that may touch a user page, for the methods of
//! [`UserPtr`](crate::user::UserPtr) and [`UserRange`](crate::user::UserRange), who have checked the addresses.
//!
//! An access may fault, sleep and swap in. If the fault cannot be served, the fault handler continues at the routine's
//! recovery address and the copy reports failure; nothing is unwound and nothing leaks. With SMAP, the routine sets the
//! alignment-check flag that opens the user half for just its own instructions, and trap entry closes it again.

use core::arch::global_asm;

global_asm!(
    ".global quire_user_copy, quire_user_copy_end, quire_user_touch, quire_user_touch_end, quire_user_copy_failed",
    ".global quire_user_load, quire_user_load_end, quire_user_exchange, quire_user_exchange_end",
    // rdi destination, rsi source, rdx bytes; returns the bytes that were not copied.
    "quire_user_copy:",
    "pushfq",
    "pushfq",
    "or dword ptr [rsp], 0x40000",
    "popfq",
    "cld",
    "mov rcx, rdx",
    "shr rcx, 3",
    "and edx, 7",
    "rep movsq",
    "mov ecx, edx",
    "rep movsb",
    "quire_user_copy_end:",
    "xor eax, eax",
    "popfq",
    "ret",
    // rdi address; writes there what is there. Leaves the stack as the copy does.
    "quire_user_touch:",
    "pushfq",
    "pushfq",
    "or dword ptr [rsp], 0x40000",
    "popfq",
    "lock or byte ptr [rdi], 0",
    "quire_user_touch_end:",
    "xor eax, eax",
    "popfq",
    "ret",
    // rdi address of four bytes, rsi where they go: one load.
    "quire_user_load:",
    "pushfq",
    "pushfq",
    "or dword ptr [rsp], 0x40000",
    "popfq",
    "mov eax, [rdi]",
    "quire_user_load_end:",
    "mov [rsi], eax",
    "xor eax, eax",
    "popfq",
    "ret",
    // rdi address of four bytes, rsi where what was there goes, edx what is expected, ecx what replaces that.
    "quire_user_exchange:",
    "pushfq",
    "pushfq",
    "or dword ptr [rsp], 0x40000",
    "popfq",
    "mov eax, edx",
    "lock cmpxchg [rdi], ecx",
    "quire_user_exchange_end:",
    "mov [rsi], eax",
    "xor eax, eax",
    "popfq",
    "ret",
    "quire_user_copy_failed:",
    "mov eax, 1",
    "popfq",
    "ret",
);

unsafe extern "C" {
    fn quire_user_copy(destination: u64, source: u64, bytes: u64) -> u64;
    fn quire_user_copy_end();
    fn quire_user_touch(address: u64) -> u64;
    fn quire_user_touch_end();
    fn quire_user_load(address: u64, to: *mut u32) -> u64;
    fn quire_user_load_end();
    fn quire_user_exchange(address: u64, found: *mut u32, expected: u32, new: u32) -> u64;
    fn quire_user_exchange_end();
    fn quire_user_copy_failed();
}

/// Where a kernel fault at `instruction` continues if it cannot be served; `None` when the kernel may not fault there.
pub fn recovery_address(instruction: u64) -> Option<u64> {
    let routines = [
        (quire_user_copy as *const (), quire_user_copy_end as *const ()),
        (quire_user_touch as *const (), quire_user_touch_end as *const ()),
        (quire_user_load as *const (), quire_user_load_end as *const ()),
        (quire_user_exchange as *const (), quire_user_exchange_end as *const ()),
    ];
    let may_fault = routines.iter().any(|(start, end)| (*start as u64..*end as u64).contains(&instruction));
    may_fault.then_some(quire_user_copy_failed as *const () as u64)
}

/// Copies from `address` of the user half on; whether all bytes could be.
#[inline]
pub(crate) fn copy_from(address: u64, to: &mut [u8]) -> bool {
    // SAFETY: the destination is a live slice of initialised bytes; the source is in the user half, whose bytes are plain data,
    // and a fault there is recovered from.
    unsafe { quire_user_copy(to.as_mut_ptr() as u64, address, to.len() as u64) == 0 }
}

/// Copies to `address` of the user half on; whether all bytes could be.
#[inline]
pub(crate) fn copy_to(address: u64, from: &[u8]) -> bool {
    // SAFETY: the source is a live slice; the destination is in the user half, which no Rust object of the kernel occupies, and a
    // fault there is recovered from.
    unsafe { quire_user_copy(address, from.as_ptr() as u64, from.len() as u64) == 0 }
}

/// Writes at `address` what is there; whether that could be.
#[inline]
pub(crate) fn touch(address: u64) -> bool {
    // SAFETY: the address is in the user half, which no Rust object of the kernel occupies; a fault there is recovered from.
    unsafe { quire_user_touch(address) == 0 }
}

/// The number at `address`, in one load.
#[inline]
pub(crate) fn load(address: u64) -> Option<u32> {
    let mut found = 0;
    // SAFETY: `found` outlives the call; the address is in the user half, whose bytes are plain data, and a fault there is
    // recovered from.
    (unsafe { quire_user_load(address, &raw mut found) } == 0).then_some(found)
}

/// Replaces the number at `address` by `new` if it is `expected`; returns what was there.
#[inline]
pub(crate) fn compare_exchange(address: u64, expected: u32, new: u32) -> Option<u32> {
    let mut found = 0;
    // SAFETY: `found` outlives the call; the address is in the user half, which no Rust object of the kernel occupies, and a
    // fault there is recovered from.
    (unsafe { quire_user_exchange(address, &raw mut found, expected, new) } == 0).then_some(found)
}
