//! The first way into a program: after it was made, there is no trap or call to return from.

use core::arch::asm;
use core::cell::Cell;

use super::cpu;
use super::interrupts;
use super::registers::TrapFrame;
use crate::upcall;

/// Where the registers of the program of a thread are while the kernel runs, on its stack.
pub(crate) fn program_frame(stack_top: u64) -> *mut TrapFrame {
    (stack_top - size_of::<TrapFrame>() as u64) as *mut TrapFrame
}

/// Does what the current thread does `first`, and enters ring 3 with the registers of its program for the first time.
///
/// # Safety
/// The thread has a program, whose registers were written to its frame. Nothing on its stack is used any more.
pub(crate) unsafe fn enter_program(first: fn(&Cell<TrapFrame>)) -> ! {
    let place = program_frame(cpu::this().kernel_stack());
    // SAFETY: the frame is at the top of the stack, where nothing but it is, and was written.
    let frame = unsafe { &mut *place };
    first(Cell::from_mut(frame));
    interrupts::disable();
    upcall::before_program(frame);
    // SAFETY: as the caller promises; interrupts are off.
    unsafe { asm!("mov rsp, {}", "jmp quire_trap_return", in(reg) place, options(noreturn)) }
}
