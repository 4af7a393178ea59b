//! Pages sixteen bytes at a time, in the vector registers.
//!
//! The registers are those of the program that ran last, and the kernel uses them nowhere else. Each function here saves what it
//! uses and puts it back, and keeps preemption off meanwhile: at a switch, a thread that has no program would lose them. What
//! interrupts it leaves them as they were.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::page;

use super::cpu::{disable_preemption, enable_preemption};

/// Makes the whole page repeat one word.
pub fn fill(page: &mut Page, word: u64) {
    let mut kept = [0_u64; 2];
    let first = page.as_mut_ptr();
    disable_preemption();
    // SAFETY: it writes the page and, for as long as this takes, what is kept, and nothing else; the register is as it was.
    unsafe {
        asm!(
            "movups [{kept}], xmm0",
            "movq xmm0, {word}",
            "punpcklqdq xmm0, xmm0",
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
            word = in(reg) word,
            at = inout(reg) first => _,
            end = in(reg) first.wrapping_add(PAGE_SIZE),
            options(nostack)
        );
    }
    enable_preemption();
}

/// The word that the whole page repeats, if there is one: then it is all of its words' AND, and their OR.
pub fn repeated_word(page: &Page) -> Option<u64> {
    let (words, _) = page.as_chunks::<8>();
    let (first, last) = (u64::from_le_bytes(*words.first()?), u64::from_le_bytes(*words.last()?));
    // Most pages that differ do so at the ends. With the same word at both, sixteen bytes that are repeated are two of it.
    if first != last {
        return None;
    }
    if !page.as_ptr().addr().is_multiple_of(16) {
        return page::repeated_word(page);
    }
    let mut kept = [0_u64; 6];
    let alike: u32;
    disable_preemption();
    // SAFETY: it reads the page, a kilobyte at a time and none behind the last, up to the first that differs, and writes what is
    // kept; the registers are as they were.
    unsafe {
        asm!(
            "movups [{kept}], xmm0",
            "movups [{kept} + 16], xmm1",
            "movups [{kept} + 32], xmm2",
            "movaps xmm0, [{at}]",
            "movaps xmm1, xmm0",
            "2:",
            ".set quire_offset, 0",
            ".rept 64",
            "orps xmm0, [{at} + quire_offset]",
            "andps xmm1, [{at} + quire_offset]",
            ".set quire_offset, quire_offset + 16",
            ".endr",
            "movaps xmm2, xmm0",
            "pcmpeqd xmm2, xmm1",
            "movmskps {alike:e}, xmm2",
            "cmp {alike:e}, 15",
            "jne 3f",
            "add {at}, 1024",
            "cmp {at}, {end}",
            "jb 2b",
            "3:",
            "movups xmm0, [{kept}]",
            "movups xmm1, [{kept} + 16]",
            "movups xmm2, [{kept} + 32]",
            kept = in(reg) kept.as_mut_ptr(),
            at = inout(reg) page.as_ptr() => _,
            end = in(reg) page.as_ptr().wrapping_add(PAGE_SIZE),
            alike = out(reg) alike,
            options(nostack)
        );
    }
    enable_preemption();
    (alike == 15).then_some(first)
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
