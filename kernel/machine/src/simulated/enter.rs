//! The way into a program.

use core::cell::Cell;

use super::{cpu, interrupts, program};
use crate::arch::registers::TrapFrame;
use crate::upcall;
use crate::{address_map, kernel_map};

/// Where the registers of the program of a thread are while the kernel runs, on its stack.
///
/// # Panics
/// When there is no stack.
pub(crate) fn program_frame(stack_top: u64) -> *mut TrapFrame {
    let address = stack_top - size_of::<TrapFrame>() as u64;
    address_map::direct(kernel_map::physical(address).expect("the stack is mapped"))
}

/// Does what the current thread does `first`, and then what the test's programs do.
///
/// # Safety
/// The thread has a program, whose registers were written to its frame.
pub(crate) unsafe fn enter_program(first: fn(&Cell<TrapFrame>)) -> ! {
    let place = program_frame(cpu::this().kernel_stack());
    // SAFETY: the frame is at the top of the stack, where nothing else is, and was written.
    let frame = unsafe { &mut *place };
    first(Cell::from_mut(frame));
    interrupts::disable();
    upcall::before_program(frame);
    interrupts::enable();
    loop {
        program::step(frame);
    }
}
