//! A program's accesses to its memory: what a test does in a program's place, on the thread that runs it.
//!
//! A page fault reaches the rooms above as a trap does: `page_fault` of the upcalls, then `before_user`, with the registers of a
//! program that runs at [`RUNS_AT`]. If they let it go on there, it tries again; if they have changed where it goes on, or
//! called [`abandon`], the access fails.

use core::cell::Cell;
use std::sync::Mutex;

use super::lock::locked;
use super::mmu::{self, Refused};
use super::user::parts;
use super::{cpu, interrupts};
use crate::arch::registers::{SYSTEM_CALL, TrapFrame};
use crate::upcall::{self, Access, upcalls};
use crate::user::Fault;

/// What programs that threads were made for do, a step at a time, until they make the call that ends them.
static STEP: Mutex<Option<fn(&mut TrapFrame)>> = Mutex::new(None);

/// Lets every program do `step` again and again, with its registers.
pub fn set_step(step: fn(&mut TrapFrame)) {
    *locked(&STEP) = Some(step);
}

/// A step of the current thread's program.
pub(super) fn step(frame: &mut TrapFrame) {
    let step = *locked(&STEP);
    step.expect("a test says what its programs do before it makes one")(frame);
}

/// Makes a system call of the program that has these registers, which are changed as it says; returns what it finds in `rax`.
pub fn system_call(frame: &mut TrapFrame, number: u64, arguments: [u64; 6]) -> u64 {
    (frame.rax, frame.vector, frame.error) = (number, SYSTEM_CALL, number);
    let result = (upcalls().system_call)(Cell::from_mut(frame), number, arguments);
    frame.rax = result;
    upcall::before_program(frame);
    interrupts::enable();
    frame.rax
}

/// Where the program is that makes the accesses.
pub const RUNS_AT: u64 = 0x40_0000;
const VECTOR: u64 = 14;

/// Ends the access that `frame` was interrupted in, for a page fault that cannot be served.
pub fn abandon(frame: &mut TrapFrame) {
    frame.rip = 0;
}

/// Where the byte at `address` is.
fn reach(address: u64, access: Access) -> Result<*mut u8, Fault> {
    loop {
        let refused = match mmu::translate(address, access) {
            Ok(place) => return Ok(place),
            Err(refused) => refused,
        };
        assert!(cpu::this().preemption_is_on(), "a program runs while nothing keeps the processor");
        let mut frame = TrapFrame::starting(RUNS_AT, 0);
        frame.vector = VECTOR;
        frame.error = error_code(refused, access);
        (upcalls().page_fault)(&mut frame, address, access);
        upcall::before_program(&mut frame);
        interrupts::enable();
        if frame.rip != RUNS_AT {
            return Err(Fault);
        }
    }
}

/// Intel SDM volume 3, figure 4-12.
fn error_code(refused: Refused, access: Access) -> u64 {
    let present = u64::from(refused == Refused::NotAllowed);
    present | u64::from(access.write) << 1 | u64::from(access.user) << 2 | u64::from(access.execute) << 4
}

/// Reads the bytes from `address` on, from one page after the other.
///
/// # Errors
/// [`Fault`]; part of the bytes may have been read.
pub fn read(address: u64, to: &mut [u8]) -> Result<(), Fault> {
    for (before, length) in parts(address, to.len()) {
        let from = reach(address + before as u64, Access { write: false, execute: false, user: true })?;
        // SAFETY: the bytes are in a frame of the machine's memory, which `to` is not.
        unsafe { from.copy_to_nonoverlapping(to[before..].as_mut_ptr(), length) };
    }
    Ok(())
}

/// Writes the bytes from `address` on, to one page after the other.
///
/// # Errors
/// [`Fault`]; part of the bytes may have been written.
pub fn write(address: u64, from: &[u8]) -> Result<(), Fault> {
    for (before, length) in parts(address, from.len()) {
        let to = reach(address + before as u64, Access { write: true, execute: false, user: true })?;
        // SAFETY: as above, the other way round.
        unsafe { to.copy_from_nonoverlapping(from[before..].as_ptr(), length) };
    }
    Ok(())
}

/// Fetches an instruction from `address`.
///
/// # Errors
/// [`Fault`].
pub fn execute(address: u64) -> Result<(), Fault> {
    reach(address, Access { write: false, execute: true, user: true }).map(|_| ())
}
