//! Traps: exceptions and interrupts, from the entry stubs to the handler that serves them.
//!
//! Every vector has a stub that completes the trap frame and calls `quire_trap`. A trap from ring 3 begins at the top of its
//! thread's kernel stack, so a program's registers are always found there; one from the kernel goes on below what it
//! interrupted. A page fault of a user copy is served there, which may sleep; any other in the kernel is a bug. A thread
//! that runs out of stack cannot be told so there: the fault becomes a double fault, which has a stack of its own.
//!
//! A non-maskable interrupt, a machine check or a double fault comes at any time, also between a change of ring and the
//! `swapgs` that goes with it: whose GS base is in use is then found out by its value, and each has a stack of its own.
//!
//! What a program does wrong becomes a signal. On the way back to it, signals are delivered and other threads get their
//! turn; a trap that comes back to kernel code with preemption and interrupts on is where threads are preempted.

use core::arch::global_asm;
use core::fmt;

use spin::Once;
use x86_64::instructions::interrupts;
use x86_64::registers::control::Cr2;
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::{PrivilegeLevel, VirtAddr};

use super::registers::{INTERRUPTS_ON, TrapFrame, pop_registers, push_registers};
use super::vectors::{DEVICES, FIRST_DEVICE, SPURIOUS, TIMER};
use super::{apic, cpu, gdt};
use crate::address_map::USER_END;
use crate::stop;
use crate::task;
use crate::upcall::{self, Access, upcalls};

// Vectors 8, 10 to 14, 17, 21, 29 and 30 come with an error code (Intel SDM volume 3, table 6-1); the others get a zero.
global_asm!(
    ".global quire_trap_stubs",
    ".set vector, 0",
    ".balign 16",
    "quire_trap_stubs:",
    ".rept 256",
    ".balign 16",
    ".if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30",
    ".else",
    "push 0",
    ".endif",
    "push vector",
    ".if vector == 2 || vector == 8 || vector == 18",
    "jmp quire_trap_any_time",
    ".else",
    "jmp quire_trap_common",
    ".endif",
    ".set vector, vector + 1",
    ".endr",
    "quire_trap_common:",
    "test byte ptr [rsp + 24], 3",
    "jz 1f",
    "swapgs",
    "1:",
    push_registers!(),
    "cld",
    // Close the user half again, should the trap have come from a user copy.
    "pushfq",
    "and dword ptr [rsp], 0xfffbffff",
    "popfq",
    "mov rdi, rsp",
    "call quire_trap",
    ".global quire_trap_return",
    "quire_trap_return:",
    pop_registers!(),
    "add rsp, 16",
    "test byte ptr [rsp + 8], 3",
    "jz 1f",
    "swapgs",
    "1:",
    "iretq",
    // The base's highest bit says whose it is: a program's is in the user half. These traps end the kernel, so nothing
    // is restored.
    "quire_trap_any_time:",
    push_registers!(),
    "cld",
    "mov ecx, {gs_base}",
    "rdmsr",
    "test edx, edx",
    "js 1f",
    "swapgs",
    "1:",
    "mov rdi, rsp",
    "call quire_trap",
    "ud2",
    gs_base = const 0xc000_0101_u32,
);

unsafe extern "C" {
    fn quire_trap_stubs();
}

static IDT: Once<InterruptDescriptorTable> = Once::new();

/// Who serves a device's interrupts, and with what argument.
type DeviceHandler = (fn(usize), usize);

/// Those of all vectors; none yet where a vector is free.
static DEVICE_HANDLERS: [Once<DeviceHandler>; DEVICES as usize] = [const { Once::new() }; DEVICES as usize];

/// Loads the interrupt descriptor table. Interrupts stay as they are.
pub fn start() {
    let idt = IDT.call_once(|| {
        let mut idt = InterruptDescriptorTable::new();
        let stub = |vector: u8| VirtAddr::new(quire_trap_stubs as *const () as u64 + 16 * u64::from(vector));
        // SAFETY: each stub is a complete handler for its vector, error code or none, and ends in `iretq`; the stack
        // indices are those of stacks that `gdt` has set up.
        unsafe {
            idt.divide_error.set_handler_addr(stub(0));
            idt.debug.set_handler_addr(stub(1));
            idt.non_maskable_interrupt.set_handler_addr(stub(2)).set_stack_index(gdt::NMI_STACK);
            idt.breakpoint.set_handler_addr(stub(3)).set_privilege_level(PrivilegeLevel::Ring3);
            idt.overflow.set_handler_addr(stub(4));
            idt.bound_range_exceeded.set_handler_addr(stub(5));
            idt.invalid_opcode.set_handler_addr(stub(6));
            idt.device_not_available.set_handler_addr(stub(7));
            idt.double_fault.set_handler_addr(stub(8)).set_stack_index(gdt::DOUBLE_FAULT_STACK);
            idt.invalid_tss.set_handler_addr(stub(10));
            idt.segment_not_present.set_handler_addr(stub(11));
            idt.stack_segment_fault.set_handler_addr(stub(12));
            idt.general_protection_fault.set_handler_addr(stub(13));
            idt.page_fault.set_handler_addr(stub(14));
            idt.x87_floating_point.set_handler_addr(stub(16));
            idt.alignment_check.set_handler_addr(stub(17));
            idt.machine_check.set_handler_addr(stub(18)).set_stack_index(gdt::MACHINE_CHECK_STACK);
            idt.simd_floating_point.set_handler_addr(stub(19));
            idt.virtualization.set_handler_addr(stub(20));
            idt.cp_protection_exception.set_handler_addr(stub(21));
            idt.hv_injection_exception.set_handler_addr(stub(28));
            idt.vmm_communication_exception.set_handler_addr(stub(29));
            idt.security_exception.set_handler_addr(stub(30));
            for vector in 32..=255 {
                idt[vector].set_handler_addr(stub(vector));
            }
        }
        idt
    });
    idt.load();
}

/// Gives a free device vector to `handler`, which is called with `argument` in interrupt context: it may take spinning
/// locks and wake threads, and nothing else. `None` when all vectors are taken. Only the thread that starts devices calls
/// this.
pub fn allocate_vector(handler: fn(usize), argument: usize) -> Option<u8> {
    let (index, free) = DEVICE_HANDLERS.iter().enumerate().find(|(_, handler)| handler.get().is_none())?;
    free.call_once(|| (handler, argument));
    Some(FIRST_DEVICE + index as u8)
}

#[unsafe(no_mangle)]
extern "C" fn quire_trap(frame: &mut TrapFrame) {
    match frame.vector as u8 {
        14 => page_fault(frame),
        vector => other_trap(frame, vector),
    }
    if frame.is_programs() {
        upcall::before_program(frame);
    } else if frame.rflags & INTERRUPTS_ON != 0 {
        task::preempt();
    }
}

/// Apart, so that it costs page faults no registers.
#[inline(never)]
fn other_trap(frame: &mut TrapFrame, vector: u8) {
    match vector {
        TIMER => {
            if !frame.is_programs() {
                stop::note_tick(frame);
            }
            task::time::tick();
            (upcalls().tick)(frame.is_programs());
            cpu::this().request_reschedule();
            apic::end_of_interrupt();
        }
        SPURIOUS => {}
        vector @ FIRST_DEVICE.. if vector < FIRST_DEVICE + DEVICES => {
            device_interrupt(vector);
            apic::end_of_interrupt();
        }
        8 => match task::scheduler::try_current().filter(|thread| thread.is_guard(Cr2::read_raw())) {
            Some(thread) => {
                panic!("kernel stack overflow: {thread} ran into the guard page at {:#018x}\n{frame}", Cr2::read_raw())
            }
            None => panic!("{}\n{frame}", ExceptionName(8)),
        },
        vector if frame.is_programs() && is_programs_fault(vector) => {
            interrupts::enable();
            (upcalls().exception)(frame);
        }
        vector => panic!("{}\n{frame}", ExceptionName(vector)),
    }
}

/// Whether an exception on `vector` in ring 3 is the program's doing, and not the machine's.
fn is_programs_fault(vector: u8) -> bool {
    const NMI: u8 = 2;
    const MACHINE_CHECK: u8 = 18;
    vector < 32 && vector != NMI && vector != MACHINE_CHECK
}

fn device_interrupt(vector: u8) {
    if let Some((handler, argument)) = DEVICE_HANDLERS[usize::from(vector - FIRST_DEVICE)].get() {
        handler(*argument);
    }
}

fn page_fault(frame: &mut TrapFrame) {
    const WRITE: u64 = 1 << 1;
    const FETCH: u64 = 1 << 4;
    let address = Cr2::read_raw();
    let access =
        Access { write: frame.error & WRITE != 0, execute: frame.error & FETCH != 0, user: frame.is_programs() };
    if frame.is_programs() {
        interrupts::enable();
        (upcalls().page_fault)(frame, address, access);
        return;
    }
    let recovery = super::user::recovery_address(frame.rip);
    if let Some(recovery) = recovery.filter(|_| address < USER_END && cpu::this().preemption_is_on()) {
        if frame.rflags & INTERRUPTS_ON != 0 {
            interrupts::enable();
        }
        let is_served = (upcalls().user_copy_fault)(address, access);
        interrupts::disable();
        if !is_served {
            frame.rip = recovery;
        }
        return;
    }
    panic!("page fault at {address:#018x}: {}\n{frame}", FaultCause(frame.error));
}

struct FaultCause(u64);

impl fmt::Display for FaultCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = if self.0 & 1 << 4 != 0 {
            "instruction fetch"
        } else if self.0 & 1 << 1 != 0 {
            "write"
        } else {
            "read"
        };
        let why = if self.0 & 1 << 3 != 0 {
            "a reserved bit is set in a page-table entry"
        } else if self.0 & 1 != 0 {
            "the page's protection forbids it"
        } else {
            "no page is there"
        };
        write!(f, "{access}; {why}")
    }
}

struct ExceptionName(u8);

impl fmt::Display for ExceptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "divide error",
            1 => "debug exception",
            2 => "non-maskable interrupt",
            3 => "breakpoint",
            4 => "overflow",
            5 => "bound range exceeded",
            6 => "invalid opcode",
            7 => "floating-point unit used in the kernel",
            8 => "double fault",
            10 => "invalid task state segment",
            11 => "segment not present",
            12 => "stack-segment fault",
            13 => "general protection fault",
            16 => "x87 floating-point error",
            17 => "alignment check",
            18 => "machine check",
            19 => "SIMD floating-point error",
            20 => "virtualization exception",
            21 => "control-protection exception",
            28 => "hypervisor injection exception",
            29 => "VMM communication exception",
            30 => "security exception",
            _ => return write!(f, "interrupt on vector {:#x}, for which there is no handler", self.0),
        })
    }
}
