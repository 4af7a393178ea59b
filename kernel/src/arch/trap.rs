//! Traps: exceptions and interrupts, from the entry stubs to the handler that serves them.
//!
//! Every vector has a stub that completes the trap frame and calls `quire_trap`. A trap from ring 3 begins at the top of its
//! thread's kernel stack, so a program's registers are always found there; one from the kernel goes on below what it
//! interrupted. A page fault of a user copy is served there, which may sleep; any other in the kernel is a bug. A thread
//! that runs out of stack cannot be told so there: the fault becomes a double fault, which has a stack of its own.
//!
//! What a program does wrong becomes a signal. On the way back to it, signals are delivered and other threads get their
//! turn; a trap that comes back to kernel code with preemption and interrupts on is where threads are preempted.

use core::arch::{asm, global_asm};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;
use x86_64::instructions::interrupts;
use x86_64::registers::control::Cr2;
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::{PrivilegeLevel, VirtAddr};

use super::{USER_END, apic, cpu, gdt};
use crate::mm::fault::Access;
use crate::{mm, process, task};

/// The timer's vector.
pub const TIMER: u8 = 0x20;
/// The first vector that devices may be given.
pub const FIRST_DEVICE: u8 = 0x30;
/// How many vectors devices may be given.
pub const DEVICES: u8 = 32;
/// The local APIC's spurious vector.
pub const SPURIOUS: u8 = 0xff;
/// What stands for the vector when a system call made the frame: more than any vector.
pub const SYSTEM_CALL: u64 = 0x100;

/// The resume flag and those that a program may change: carry, parity, adjust, zero, sign, trap, direction, overflow and
/// alignment check (Linux: `FIX_EFLAGS`).
const PROGRAM_FLAGS: u64 = 0x0005_0dd5;
/// What is set in the flags whenever a program runs: interrupts, and the bit that is always 1.
const FIXED_FLAGS: u64 = INTERRUPTS_ON | 1 << 1;

/// The interrupted registers, as the stubs push them.
#[derive(Clone)]
#[repr(C)]
#[expect(missing_docs, reason = "the registers' own names")]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    /// The trap's vector, or [`SYSTEM_CALL`].
    pub vector: u64,
    /// The trap's error code; for a system call its number, which `rax` loses to the result.
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl TrapFrame {
    /// The registers of a program that starts at `rip` with its stack at `rsp`.
    pub fn starting(rip: u64, rsp: u64) -> Self {
        Self {
            r15: 0,
            r14: 0,
            r13: 0,
            r12: 0,
            r11: 0,
            r10: 0,
            r9: 0,
            r8: 0,
            rbp: 0,
            rdi: 0,
            rsi: 0,
            rdx: 0,
            rcx: 0,
            rbx: 0,
            rax: 0,
            vector: 0,
            error: 0,
            rip,
            cs: u64::from(gdt::USER_CODE),
            rflags: FIXED_FLAGS,
            rsp,
            ss: u64::from(gdt::USER_DATA),
        }
    }

    /// Whether the registers are a program's.
    pub fn is_programs(&self) -> bool {
        self.cs & 3 == 3
    }

    /// Replaces those of the flags that a program may change by those of `flags`.
    pub fn set_program_flags(&mut self, flags: u64) {
        self.rflags = self.rflags & !PROGRAM_FLAGS | flags & PROGRAM_FLAGS;
    }
}

/// Where the registers of the program of the current thread are while the kernel runs.
pub fn program_frame(stack_top: u64) -> *mut TrapFrame {
    (stack_top - size_of::<TrapFrame>() as u64) as *mut TrapFrame
}

/// Enters ring 3 with the registers of the current thread's program, for the first time.
///
/// # Safety
/// The thread is a process's, and the registers in its frame are a program's. Nothing on its stack is used any more.
pub unsafe fn enter_program() -> ! {
    interrupts::disable();
    let frame = program_frame(cpu::this().kernel_stack());
    // SAFETY: the frame is at the top of the stack, where nothing but it is.
    process::before_user(unsafe { &mut *frame });
    // SAFETY: as the caller promises; interrupts are off.
    unsafe { asm!("mov rsp, {}", "jmp quire_trap_return", in(reg) frame, options(noreturn)) }
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
    "test byte ptr [rsp + 24], 3",
    "jz 1f",
    "swapgs",
    "1:",
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
    "call quire_trap",
    ".global quire_trap_return",
    "quire_trap_return:",
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
    "test byte ptr [rsp + 8], 3",
    "jz 1f",
    "swapgs",
    "1:",
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

#[unsafe(no_mangle)]
extern "C" fn quire_trap(frame: &mut TrapFrame) {
    match frame.vector as u8 {
        14 => page_fault(frame),
        vector => other_trap(frame, vector),
    }
    if frame.is_programs() {
        process::before_user(frame);
    } else if frame.rflags & INTERRUPTS_ON != 0 {
        task::preempt();
    }
}

/// Apart, so that it costs page faults no registers.
#[inline(never)]
fn other_trap(frame: &mut TrapFrame, vector: u8) {
    match vector {
        TIMER => {
            task::time::tick();
            process::tick(frame.is_programs());
            cpu::this().request_reschedule();
            apic::end_of_interrupt();
        }
        SPURIOUS => {}
        vector @ FIRST_DEVICE.. if vector < FIRST_DEVICE + DEVICES => {
            device_interrupt(vector);
            apic::end_of_interrupt();
        }
        8 => match mm::stack::guard_owner(Cr2::read_raw()) {
            Some(thread) => {
                panic!("kernel stack overflow: {thread} ran into the guard page at {:#018x}\n{frame}", Cr2::read_raw())
            }
            None => panic!("{}\n{frame}", ExceptionName(8)),
        },
        vector if frame.is_programs() && is_programs_fault(vector) => {
            interrupts::enable();
            process::exception(frame);
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
    const FETCH: u64 = 1 << 4;
    let address = Cr2::read_raw();
    let access =
        Access { write: frame.error & WRITE != 0, execute: frame.error & FETCH != 0, user: frame.is_programs() };
    if frame.is_programs() {
        interrupts::enable();
        let served =
            if address < USER_END { mm::fault::handle(address, access) } else { Err(task::Fatal::NotMapped(address)) };
        match served {
            Ok(service) => process::count_fault(service),
            Err(fatal) => process::fault(frame, address, fatal),
        }
        return;
    }
    let recovery = super::user::recovery_address(frame.rip);
    if let Some(recovery) = recovery.filter(|_| address < USER_END && cpu::this().preemption_is_on()) {
        if frame.rflags & INTERRUPTS_ON != 0 {
            interrupts::enable();
        }
        let served = mm::fault::handle(address, access);
        interrupts::disable();
        match served {
            Ok(service) => process::count_fault(service),
            Err(_) => frame.rip = recovery,
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
