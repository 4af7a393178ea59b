//! Pages sixteen bytes at a time, in the vector registers.
//!
//! The registers are those of the program that ran last, and the kernel uses them nowhere else. Each function here saves what it
//! uses and puts it back, and keeps preemption off meanwhile: at a switch, a thread that has no program would lose them. What
//! interrupts it leaves them as they were.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use quire_swap::header::{PAGE_SIZE, Page};

use super::cpu::{disable_preemption, enable_preemption};

/// Fills a page with zeros.
pub(crate) fn clear(page: &mut Page) {
    let mut kept = [0_u64; 2];
    let first = page.as_mut_ptr();
    disable_preemption();
    // SAFETY: it writes the page and, for as long as this takes, what is kept, and nothing else; the register is as it was.
    unsafe {
        asm!(
            "movups [{kept}], xmm0",
            "xorps xmm0, xmm0",
            "2:",
            ".set quire_offset, 0",
            ".rept 64",
            "movups [{at} + quire_offset], xmm0",
            ".set quire_offset, quire_offset + 16",
            ".endr",
            "add {at}, 1024",
            "cmp {at}, {end}",
            "jb 2b",
            "movups xmm0, [{kept}]",
            kept = in(reg) kept.as_mut_ptr(),
            at = inout(reg) first => _,
            end = in(reg) first.wrapping_add(PAGE_SIZE),
            options(nostack)
        );
    }
    enable_preemption();
}

/// Whether all words of a page, which begins at a multiple of 16, are 0. What others write to them meanwhile may be noticed or not.
pub(crate) fn are_zero(words: &[AtomicU64; PAGE_SIZE / 8]) -> bool {
    debug_assert!(words.as_ptr().addr().is_multiple_of(16));
    // Nearly every page that is not zero is not from its first word on.
    if words[0].load(Ordering::Relaxed) != 0 {
        return false;
    }
    let mut kept = [0_u64; 4];
    let others: u32;
    disable_preemption();
    // SAFETY: it reads the words, a kilobyte at a time and none behind the last, up to the first that is not 0, and writes what is
    // kept; the registers are as they were.
    unsafe {
        asm!(
            "movups [{kept}], xmm0",
            "movups [{kept} + 16], xmm1",
            "xorps xmm1, xmm1",
            "2:",
            "movaps xmm0, [{at}]",
            ".set quire_offset, 16",
            ".rept 63",
            "orps xmm0, [{at} + quire_offset]",
            ".set quire_offset, quire_offset + 16",
            ".endr",
            "pcmpeqd xmm0, xmm1",
            "movmskps {others:e}, xmm0",
            "xor {others:e}, 15",
            "jnz 3f",
            "add {at}, 1024",
            "cmp {at}, {end}",
            "jb 2b",
            "3:",
            "movups xmm0, [{kept}]",
            "movups xmm1, [{kept} + 16]",
            kept = in(reg) kept.as_mut_ptr(),
            at = inout(reg) words.as_ptr() => _,
            end = in(reg) words.as_ptr().wrapping_add(words.len()),
            others = out(reg) others,
            options(nostack)
        );
    }
    enable_preemption();
    others == 0
}
