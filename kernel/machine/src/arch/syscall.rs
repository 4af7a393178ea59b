//! The way in and out of a system call: `syscall` and `sysret`.
//!
//! Entry lays the program's registers out as a trap does, so fork, signals and a return by `iretq` know one form only; the
//! word of the error code holds the call's number. `sysret` is used when the program continues right behind its `syscall`
//! with the flags that it had, which the processor keeps in `rcx` and `r11`; everything else leaves by `iretq`. A return
//! address is always below [`USER_END`](crate::address_map::USER_END), where `sysret` cannot fault (it would in ring 0, on the program's stack).

use core::arch::naked_asm;
use core::cell::Cell;

use x86_64::VirtAddr;
use x86_64::instructions::interrupts;
use x86_64::registers::model_specific::{Efer, EferFlags, LStar, SFMask, Star};
use x86_64::registers::rflags::RFlags;
use x86_64::structures::gdt::SegmentSelector;

use super::registers::{SYSTEM_CALL, TrapFrame, pop_registers, push_registers};
use super::{cpu, gdt};
use crate::upcall::{self, upcalls};

/// Lets programs make system calls.
///
/// # Panics
/// Never: the selectors are in the order that the processor wants.
pub fn start() {
    Star::write(
        SegmentSelector(gdt::USER_CODE),
        SegmentSelector(gdt::USER_DATA),
        SegmentSelector(gdt::KERNEL_CODE),
        SegmentSelector(gdt::KERNEL_DATA),
    )
    .expect("the selectors are in the order that the processor wants");
    LStar::write(VirtAddr::from_ptr(entry as *const ()));
    SFMask::write(
        RFlags::INTERRUPT_FLAG
            | RFlags::DIRECTION_FLAG
            | RFlags::TRAP_FLAG
            | RFlags::ALIGNMENT_CHECK
            | RFlags::NESTED_TASK,
    );
    // SAFETY: the entry is set up.
    unsafe { Efer::update(|flags| flags.insert(EferFlags::SYSTEM_CALL_EXTENSIONS)) };
}

#[unsafe(naked)]
extern "C" fn entry() -> ! {
    naked_asm!(
        "swapgs",
        "mov gs:[{user_stack}], rsp",
        "mov rsp, gs:[{kernel_stack}]",
        "push {user_data}",
        "push qword ptr gs:[{user_stack}]",
        "push r11",
        "push {user_code}",
        "push rcx",
        "push rax",
        "push {vector}",
        push_registers!(),
        "mov rdi, rsp",
        "call {call}",
        "test al, al",
        "jz quire_trap_return",
        pop_registers!(),
        // Past the vector, the number, and `rip`, `cs` and `rflags`, which are in `rcx` and `r11`.
        "mov rsp, [rsp + 40]",
        "swapgs",
        "sysretq",
        user_stack = const cpu::USER_STACK,
        kernel_stack = const cpu::KERNEL_STACK,
        user_data = const gdt::USER_DATA,
        user_code = const gdt::USER_CODE,
        vector = const SYSTEM_CALL,
        call = sym call,
    )
}

/// Does a call; says whether the program may be continued by `sysret`. Interrupts are off before and after.
extern "C" fn call(frame: &mut TrapFrame) -> bool {
    interrupts::enable();
    let (number, arguments) = (frame.rax, frame.arguments());
    frame.rax = (upcalls().system_call)(Cell::from_mut(frame), number, arguments);
    upcall::before_program(frame);
    frame.continues_behind_syscall()
}

impl TrapFrame {
    const fn arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    fn continues_behind_syscall(&self) -> bool {
        // `sysret` loads the resume flag as 0 and cannot set the trap flag without trapping in between.
        const UNUSUAL: u64 = RFlags::RESUME_FLAG.union(RFlags::TRAP_FLAG).bits();
        self.rcx == self.rip && self.r11 == self.rflags && self.rflags & UNUSUAL == 0
    }
}
