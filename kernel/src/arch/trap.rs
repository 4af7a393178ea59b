//! Traps: exceptions and interrupts, from the entry stubs to the handler that serves them.
//!
//! Every vector has a stub that completes the trap frame and calls `quire_trap`. A page fault arrives on a stack of
//! its own; when its address lies in the user half it can be served, which may sleep, so it is moved to the stack of
//! the thread that it interrupted. A fault in the kernel half is a bug and is reported from where it is, which works
//! even if that thread's stack is exhausted.
//!
//! A trap that comes back to kernel code with preemption and interrupts on is where threads are preempted.

use core::arch::global_asm;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::interrupts;
use x86_64::registers::control::Cr2;
use x86_64::structures::idt::InterruptDescriptorTable;

use super::{USER_END, apic, cpu, gdt};
use crate::{mm, task};

/// The timer's vector.
pub const TIMER: u8 = 0x20;
/// The first vector that devices may be given.
pub const FIRST_DEVICE: u8 = 0x30;
/// How many vectors devices may be given.
pub const DEVICES: u8 = 32;
/// The local APIC's spurious vector.
pub const SPURIOUS: u8 = 0xff;

/// The interrupted registers, as the stubs push them.
#[repr(C)]
pub struct TrapFrame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rbp: u64,
    rdi: u64,
    rsi: u64,
    rdx: u64,
    rcx: u64,
    rbx: u64,
    rax: u64,
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

const INTERRUPTS_ON: u64 = 1 << 9;

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
    "jmp quire_trap_common",
    ".set vector, vector + 1",
    ".endr",
    "quire_trap_common:",
    "push rax",
    "push rbx",
    "push rcx",
    "push rdx",
    "push rsi",
    "push rdi",
    "push rbp",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "cld",
    // Close the user half again, should the trap have come from a user copy.
    "pushfq",
    "and dword ptr [rsp], 0xfffbffff",
    "popfq",
    "mov rdi, rsp",
    "cmp qword ptr [rsp + 120], 14",
    "jne 2f",
    "call quire_place_page_fault",
    "mov rsp, rax",
    "mov rdi, rax",
    "2:",
    "call quire_trap",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rbp",
    "pop rdi",
    "pop rsi",
    "pop rdx",
    "pop rcx",
    "pop rbx",
    "pop rax",
    "add rsp, 16",
    "iretq",
);

unsafe extern "C" {
    fn quire_trap_stubs();
}

static IDT: Once<InterruptDescriptorTable> = Once::new();

/// Handlers of device vectors, as function addresses with their argument; zero when the vector is free.
static DEVICE_HANDLERS: [(AtomicU64, AtomicU64); DEVICES as usize] =
    [const { (AtomicU64::new(0), AtomicU64::new(0)) }; DEVICES as usize];

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
            idt.breakpoint.set_handler_addr(stub(3));
            idt.overflow.set_handler_addr(stub(4));
            idt.bound_range_exceeded.set_handler_addr(stub(5));
            idt.invalid_opcode.set_handler_addr(stub(6));
            idt.device_not_available.set_handler_addr(stub(7));
            idt.double_fault.set_handler_addr(stub(8)).set_stack_index(gdt::DOUBLE_FAULT_STACK);
            idt.invalid_tss.set_handler_addr(stub(10));
            idt.segment_not_present.set_handler_addr(stub(11));
            idt.stack_segment_fault.set_handler_addr(stub(12));
            idt.general_protection_fault.set_handler_addr(stub(13));
            idt.page_fault.set_handler_addr(stub(14)).set_stack_index(gdt::PAGE_FAULT_STACK);
            idt.x87_floating_point.set_handler_addr(stub(16));
            idt.alignment_check.set_handler_addr(stub(17));
            idt.machine_check.set_handler_addr(stub(18));
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
    let (index, (free, place)) =
        DEVICE_HANDLERS.iter().enumerate().find(|(_, (handler, _))| handler.load(Ordering::Acquire) == 0)?;
    place.store(argument as u64, Ordering::Relaxed);
    free.store(handler as usize as u64, Ordering::Release);
    Some(FIRST_DEVICE + index as u8)
}

/// Moves the frame of a page fault that can be served to the stack of the thread that it interrupted; returns where the
/// frame is now.
#[unsafe(no_mangle)]
extern "C" fn quire_place_page_fault(frame: *mut TrapFrame) -> *mut TrapFrame {
    if Cr2::read_raw() >= USER_END {
        return frame;
    }
    // SAFETY: the stub passes its own frame, complete and not yet shared.
    let interrupted_stack = unsafe { (*frame).rsp };
    let place = ((interrupted_stack - size_of::<TrapFrame>() as u64) & !15) as *mut TrapFrame;
    // SAFETY: the interrupted code is kernel code without a red zone, so everything below its stack pointer is free;
    // a user address is only touched by the user copy, which runs with room to spare on a thread's stack.
    unsafe { place.copy_from(frame, 1) };
    place
}

#[unsafe(no_mangle)]
extern "C" fn quire_trap(frame: &mut TrapFrame) {
    match frame.vector as u8 {
        14 => page_fault(frame),
        TIMER => {
            task::time::tick();
            cpu::this().request_reschedule();
            apic::end_of_interrupt();
        }
        SPURIOUS => {}
        vector @ FIRST_DEVICE.. if vector < FIRST_DEVICE + DEVICES => {
            device_interrupt(vector);
            apic::end_of_interrupt();
        }
        8 => match mm::stack::guard_owner(Cr2::read_raw()) {
            Some(thread) => panic!("kernel stack overflow: {thread} ran out of stack\n{frame}"),
            None => panic!("{}\n{frame}", ExceptionName(8)),
        },
        vector => panic!("{}\n{frame}", ExceptionName(vector)),
    }
    if frame.rflags & INTERRUPTS_ON != 0 {
        task::preempt();
    }
}

fn device_interrupt(vector: u8) {
    let (handler, argument) = &DEVICE_HANDLERS[usize::from(vector - FIRST_DEVICE)];
    let handler = handler.load(Ordering::Acquire);
    if handler == 0 {
        return;
    }
    // SAFETY: the only non-zero values ever stored are addresses of functions of this type.
    let handler = unsafe { core::mem::transmute::<usize, fn(usize)>(handler as usize) };
    handler(argument.load(Ordering::Acquire) as usize);
}

fn page_fault(frame: &mut TrapFrame) {
    const WRITE: u64 = 1 << 1;
    let address = Cr2::read_raw();
    let recovery = super::user::recovery_address(frame.rip);
    if let Some(recovery) = recovery.filter(|_| address < USER_END && cpu::this().preemption_is_on()) {
        if frame.rflags & INTERRUPTS_ON != 0 {
            interrupts::enable();
        }
        let served = mm::fault::handle(address, frame.error & WRITE != 0);
        interrupts::disable();
        if served.is_err() {
            frame.rip = recovery;
        }
        return;
    }
    if let Some(thread) = mm::stack::guard_owner(address) {
        panic!("kernel stack overflow: {thread} ran into the guard page at {address:#018x}\n{frame}");
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
            _ => return write!(f, "interrupt on vector {:#x}, which nobody asked for", self.0),
        })
    }
}

impl fmt::Display for TrapFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  rip {:016x}  rsp {:016x}  rflags {:08x}  error {:#x}",
            self.rip, self.rsp, self.rflags, self.error
        )?;
        writeln!(f, "  rax {:016x}  rbx {:016x}  rcx {:016x}  rdx {:016x}", self.rax, self.rbx, self.rcx, self.rdx)?;
        writeln!(
            f,
            "  rsi {:016x}  rdi {:016x}  rbp {:016x}  cs {:x} ss {:x}",
            self.rsi, self.rdi, self.rbp, self.cs, self.ss
        )?;
        writeln!(f, "  r8  {:016x}  r9  {:016x}  r10 {:016x}  r11 {:016x}", self.r8, self.r9, self.r10, self.r11)?;
        write!(f, "  r12 {:016x}  r13 {:016x}  r14 {:016x}  r15 {:016x}", self.r12, self.r13, self.r14, self.r15)
    }
}
