//! The registers of what a trap or a system call interrupted.

use core::fmt;

use super::gdt;
use crate::address_map::USER_END;

/// The flag that lets interrupts come.
pub(crate) const INTERRUPTS_ON: u64 = 1 << 9;
/// What stands for the vector when a system call made the frame: more than any vector.
pub const SYSTEM_CALL: u64 = 0x100;

/// The resume flag and those that a program may change: carry, parity, adjust, zero, sign, trap, direction, overflow and
/// alignment check (Linux: `FIX_EFLAGS`).
const PROGRAM_FLAGS: u64 = 0x0005_0dd5;
/// What is set in the flags whenever a program runs: interrupts, and the bit that is always 1.
const FIXED_FLAGS: u64 = INTERRUPTS_ON | 1 << 1;

/// The instructions that lay down those registers of a [`TrapFrame`] that the processor does not.
#[cfg(target_os = "none")]
macro_rules! push_registers {
    () => {
        concat!(
            "push rax\n",
            "push rbx\n",
            "push rcx\n",
            "push rdx\n",
            "push rsi\n",
            "push rdi\n",
            "push rbp\n",
            "push r8\n",
            "push r9\n",
            "push r10\n",
            "push r11\n",
            "push r12\n",
            "push r13\n",
            "push r14\n",
            "push r15\n",
        )
    };
}

/// The instructions that take up what `push_registers` laid down.
#[cfg(target_os = "none")]
macro_rules! pop_registers {
    () => {
        concat!(
            "pop r15\n",
            "pop r14\n",
            "pop r13\n",
            "pop r12\n",
            "pop r11\n",
            "pop r10\n",
            "pop r9\n",
            "pop r8\n",
            "pop rbp\n",
            "pop rdi\n",
            "pop rsi\n",
            "pop rdx\n",
            "pop rcx\n",
            "pop rbx\n",
            "pop rax\n",
        )
    };
}

#[cfg(target_os = "none")]
pub(super) use {pop_registers, push_registers};

/// The interrupted registers, as the stubs push them.
///
/// # Invariants
/// A value that is a program's stays one, and says that it goes on in the user half: those who have it change what the program may
/// change.
#[derive(Clone, Copy)]
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
    pub(crate) rip: u64,
    cs: u64,
    pub(crate) rflags: u64,
    pub rsp: u64,
    ss: u64,
}

impl TrapFrame {
    /// The registers of a program that starts at `rip` with its stack at `rsp`.
    ///
    /// # Panics
    /// When that is no address of the user half.
    pub fn starting(rip: u64, rsp: u64) -> Self {
        assert_is_programs(rip);
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

    /// Where the program goes on.
    #[inline]
    pub const fn rip(&self) -> u64 {
        self.rip
    }

    /// Has the program go on at `rip`.
    ///
    /// # Panics
    /// When that is no address of the user half: the processor may fault on it in ring 0, with the program's GS base.
    pub fn set_rip(&mut self, rip: u64) {
        assert_is_programs(rip);
        self.rip = rip;
    }

    /// The flags.
    pub const fn rflags(&self) -> u64 {
        self.rflags
    }

    /// The selectors of the code and the stack segment.
    pub const fn segments(&self) -> [u16; 2] {
        [self.cs as u16, self.ss as u16]
    }

    /// Replaces those of the flags that a program may change by those of `flags`.
    pub fn set_program_flags(&mut self, flags: u64) {
        self.rflags = self.rflags & !PROGRAM_FLAGS | flags & PROGRAM_FLAGS;
    }
}

fn assert_is_programs(rip: u64) {
    assert!(rip < USER_END, "a program goes on in the user half");
}

impl fmt::Display for TrapFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15, .. } = self;
        writeln!(f, "  rip {:016x}  rsp {:016x}  rflags {:08x}", self.rip, self.rsp, self.rflags)?;
        writeln!(f, "  cs {:x}  ss {:x}  error {:#x}", self.cs, self.ss, self.error)?;
        writeln!(f, "  rax {rax:016x}  rbx {rbx:016x}  rcx {rcx:016x}")?;
        writeln!(f, "  rdx {rdx:016x}  rsi {rsi:016x}  rdi {rdi:016x}")?;
        writeln!(f, "  rbp {rbp:016x}  r8  {r8:016x}  r9  {r9:016x}")?;
        writeln!(f, "  r10 {r10:016x}  r11 {r11:016x}  r12 {r12:016x}")?;
        write!(f, "  r13 {r13:016x}  r14 {r14:016x}  r15 {r15:016x}")
    }
}
