//! Scenarios that end badly on purpose, so that tests can see how that looks from outside.

use alloc::string::String;
use core::arch::asm;
use core::hint::black_box;

use quire_machine::task::{self, time};

use super::failure::Failure;
use crate::command_line::CommandLine;

type Outcome = Result<String, Failure>;

pub(super) fn fail(_: CommandLine<'static>) -> Outcome {
    Err(Failure("as it was asked to".into()))
}

pub(super) fn panic(_: CommandLine<'static>) -> Outcome {
    panic!("as it was asked to")
}

pub(super) fn hang(_: CommandLine<'static>) -> Outcome {
    loop {
        time::sleep(core::time::Duration::from_secs(1));
    }
}

#[expect(unsafe_code, reason = "a crash on purpose")]
pub(super) fn reset(_: CommandLine<'static>) -> Outcome {
    let nothing = [0_u16; 5];
    // SAFETY: none, on purpose: without an interrupt descriptor table the breakpoint cannot be delivered, nor the double
    // fault that follows.
    unsafe { asm!("lidt [{}]", "int3", in(reg) nothing.as_ptr()) };
    Err(Failure("the machine survived a triple fault".into()))
}

pub(super) fn stack_overflow(_: CommandLine<'static>) -> Outcome {
    fn deeper(depth: u64) -> u64 {
        let frame = black_box([depth; 32]);
        if depth == u64::MAX { 0 } else { deeper(depth + 1) + frame[(depth % 32) as usize] }
    }
    let thread = task::spawn("bottomless", || deeper(0)).map_err(|_| Failure("no memory for a thread".into()))?;
    let depth = thread.join();
    Err(Failure(alloc::format!("a stack had room for {depth} frames")))
}

#[expect(unsafe_code, reason = "a crash on purpose")]
pub(super) fn null_pointer(_: CommandLine<'static>) -> Outcome {
    let value: u64;
    // SAFETY: none, on purpose: page 0 is never mapped, so this faults.
    unsafe { asm!("mov {}, [{}]", out(reg) value, in(reg) 8_u64) };
    Err(Failure(alloc::format!("address 8 holds {value:#x}")))
}

#[expect(unsafe_code, reason = "a crash on purpose")]
pub(super) fn write_to_code(_: CommandLine<'static>) -> Outcome {
    // SAFETY: none, on purpose: the kernel's code is mapped read-only, so this faults.
    unsafe { asm!("mov byte ptr [{}], 0xc3", in(reg) write_to_code as *const () as u64) };
    Err(Failure("the kernel's code is writable".into()))
}

#[expect(unsafe_code, reason = "a crash on purpose")]
pub(super) fn execute_data(_: CommandLine<'static>) -> Outcome {
    // `ret`, in a word on the stack.
    let code = black_box([0xc3_u8; 16]);
    // SAFETY: none, on purpose: stacks are mapped without execution, so this faults.
    unsafe { asm!("call {}", in(reg) code.as_ptr(), clobber_abi("C")) };
    Err(Failure("the stack is executable".into()))
}
