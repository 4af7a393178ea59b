//! The switch from one kernel thread's stack to another's.

use core::arch::naked_asm;

/// Saves the caller's callee-saved registers on its stack and the stack pointer in `*save`, then continues the thread
/// whose stack pointer is `load`. Returns when another thread switches back.
///
/// # Safety
/// `load` was stored by an earlier call or made by [`prepare_stack`]; nothing else continues that thread; interrupts are
/// off; `save` stays valid until the thread is continued.
#[unsafe(naked)]
pub unsafe extern "C" fn switch(save: *mut u64, load: u64) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// As [`switch`], for a thread that is never continued.
///
/// # Safety
/// As for [`switch`].
pub unsafe fn switch_for_good(save: *mut u64, load: u64) -> ! {
    // SAFETY: the caller's.
    unsafe { switch(save, load) };
    unreachable!("a dead thread was continued");
}

/// Lays out the stack that ends at `top` so that [`switch`] continues in `entry`; returns the stack pointer to load.
///
/// # Safety
/// The 72 bytes below `top`, which is a multiple of 16, are writable and unused.
pub unsafe fn prepare_stack(top: u64, entry: extern "C-unwind" fn() -> !) -> u64 {
    // Six registers, the return address, and one word so that `entry` finds the stack as a call would leave it.
    let words = [0, 0, 0, 0, 0, 0, entry as usize as u64, 0];
    let start = top - size_of_val(&words) as u64;
    // SAFETY: the caller gives the memory.
    unsafe { (start as *mut [u64; 8]).write(words) };
    start
}
