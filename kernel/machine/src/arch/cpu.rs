//! Each processor's own data, and the accessor to it.
//!
//! The GS base points to the processor's [`PerCpu`] while the kernel runs; its first word is its own address. In ring 3
//! the GS base is the program's, and the kernel's waits in `KernelGsBase`: entry and exit swap the two. One processor is started for now, but nothing outside this file knows that.
//!
//! The fields are atomics because the accessor hands out shared references; only their own processor writes them. A
//! thread that is preempted between reading the accessor and using the reference may go on elsewhere, so the only
//! fields that such a thread writes are those that a context switch carries along or that one instruction updates.

use core::arch::asm;
use core::arch::x86_64::CpuidResult;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use x86_64::VirtAddr;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::model_specific::GsBase;

use super::gdt;
use crate::running::Running;

/// The most processors that the kernel has room for.
pub const MAX_CPUS: usize = 8;

/// One processor's data.
#[repr(C)]
pub struct PerCpu {
    /// This structure's own address, so that one load through GS finds it.
    own_address: UnsafeCell<u64>,
    /// How many reasons there are not to be preempted.
    preemption_off: AtomicU32,
    /// The processor's number, from 0.
    number: AtomicU32,
    /// Set by an interrupt that made another thread ready or ended a time slice.
    reschedule: AtomicBool,
    /// The thread that runs; null before threads are started.
    current: AtomicPtr<()>,
    /// The part of that thread that is known here; null before threads are started.
    running: AtomicPtr<Running>,
    /// The ranks of the locks that the current thread holds, a bit each.
    held_ranks: AtomicU64,
    /// Where the current thread's kernel stack begins to grow down.
    kernel_stack: AtomicU64,
    /// The program's stack pointer, for the few instructions of a system call's entry that have no other place for it.
    user_stack: AtomicU64,
}

/// Where `kernel_stack` is from the GS base.
pub(super) const KERNEL_STACK: usize = offset_of!(PerCpu, kernel_stack);
/// Where `user_stack` is from the GS base.
pub(super) const USER_STACK: usize = offset_of!(PerCpu, user_stack);

// SAFETY: `own_address` is written once, before the structure can be reached through GS, and is read-only afterwards.
unsafe impl Sync for PerCpu {}

impl PerCpu {
    const fn new() -> Self {
        Self {
            own_address: UnsafeCell::new(0),
            preemption_off: AtomicU32::new(0),
            number: AtomicU32::new(0),
            reschedule: AtomicBool::new(false),
            current: AtomicPtr::new(core::ptr::null_mut()),
            running: AtomicPtr::new(core::ptr::null_mut()),
            held_ranks: AtomicU64::new(0),
            kernel_stack: AtomicU64::new(0),
            user_stack: AtomicU64::new(0),
        }
    }

    /// The processor's number, below [`MAX_CPUS`].
    pub fn number(&self) -> usize {
        self.number.load(Ordering::Relaxed) as usize
    }

    /// Where the running thread is; null before threads are started. What is there, the scheduler knows.
    pub fn current(&self) -> *mut () {
        self.current.load(Ordering::Relaxed)
    }

    /// Makes `thread` the running one, of which `running` is a part. Interrupts are off, or threads are not started yet.
    ///
    /// # Safety
    /// The thread, and so its part, lives until another is made the running one.
    pub(crate) unsafe fn set_current(&self, thread: *mut (), running: *const Running) {
        self.current.store(thread, Ordering::Relaxed);
        self.running.store(running.cast_mut(), Ordering::Relaxed);
    }

    /// The ranks of the locks that the current thread holds, a bit each.
    pub fn held_ranks(&self) -> u64 {
        self.held_ranks.load(Ordering::Relaxed)
    }

    /// Replaces the mask of held ranks.
    pub(crate) fn set_held_ranks(&self, held: u64) {
        self.held_ranks.store(held, Ordering::Relaxed);
    }

    /// Where the current thread's kernel stack begins to grow down.
    pub fn kernel_stack(&self) -> u64 {
        self.kernel_stack.load(Ordering::Relaxed)
    }

    /// Makes the kernel be entered on the stack that ends at `top`. Interrupts are off.
    pub(crate) fn set_kernel_stack(&self, top: u64) {
        self.kernel_stack.store(top, Ordering::Relaxed);
        gdt::set_kernel_stack(top);
    }

    /// Asks for a context switch at the next chance.
    pub fn request_reschedule(&self) {
        self.reschedule.store(true, Ordering::Relaxed);
    }

    /// Whether a switch was asked for; forgets it.
    pub fn take_reschedule(&self) -> bool {
        self.reschedule.swap(false, Ordering::Relaxed)
    }

    /// Whether the current thread may be preempted.
    pub fn preemption_is_on(&self) -> bool {
        self.preemption_off.load(Ordering::Relaxed) == 0
    }
}

static CPUS: [PerCpu; MAX_CPUS] = [const { PerCpu::new() }; MAX_CPUS];

/// The processor that runs this.
#[inline]
pub fn this() -> &'static PerCpu {
    let address: u64;
    // SAFETY: `start` has pointed the GS base at a `PerCpu` whose first word is its own address.
    unsafe { asm!("mov {}, gs:[0]", out(reg) address, options(nostack, preserves_flags, readonly)) };
    // SAFETY: the address is that of an element of `CPUS`, which is never moved or freed and only shared.
    unsafe { &*(address as *const PerCpu) }
}

/// Calls `look` with what is known here of the running thread; `None` before threads are started.
#[inline]
pub fn with_running<R>(look: impl FnOnce(&Running) -> R) -> Option<R> {
    let running = this().running.load(Ordering::Relaxed);
    // SAFETY: `set_current` was promised that the running thread lives, and that thread is the one that looks.
    unsafe { running.as_ref() }.map(look)
}

/// Keeps the current thread on this processor, running, until [`enable_preemption`].
#[inline]
pub fn disable_preemption() {
    // SAFETY: one instruction adds to this processor's own counter, so a switch cannot come in between.
    unsafe { asm!("inc dword ptr gs:[{}]", const offset_of!(PerCpu, preemption_off), options(nostack)) };
}

/// Takes back one [`disable_preemption`].
#[inline]
pub fn enable_preemption() {
    // SAFETY: as in `disable_preemption`.
    unsafe { asm!("dec dword ptr gs:[{}]", const offset_of!(PerCpu, preemption_off), options(nostack)) };
}

/// Sets up the processor that runs this as number `number`: its data, and the protections that the kernel relies on.
///
/// # Safety
/// Called once for each processor, before anything uses [`this`].
pub unsafe fn start(number: usize) {
    let cpu = &CPUS[number];
    cpu.number.store(number as u32, Ordering::Relaxed);
    let address = core::ptr::from_ref(cpu) as u64;
    // SAFETY: nobody reaches this element before GS points to it, so the write is not shared.
    unsafe { *cpu.own_address.get() = address };
    GsBase::write(VirtAddr::new(address));

    // SAFETY: the pages of the loader's tables that are not executable are marked so already; write protection and
    // global pages hold for every table that Quire builds.
    unsafe {
        Efer::update(|flags| flags.insert(EferFlags::NO_EXECUTE_ENABLE));
        Cr0::update(|flags| flags.insert(Cr0Flags::WRITE_PROTECT));
        Cr4::update(|flags| flags.insert(Cr4Flags::PAGE_GLOBAL | supported_user_protections()));
    }
}

/// SMEP and SMAP (Intel SDM volume 3, 4.6): the kernel does not run user pages, and touches them only in
/// [`super::user`]. UMIP: programs do not see where the descriptor tables are.
fn supported_user_protections() -> Cr4Flags {
    let mut flags = Cr4Flags::empty();
    let CpuidResult { ebx: features, ecx: more, .. } = core::arch::x86_64::__cpuid_count(7, 0);
    flags.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, features & 1 << 7 != 0);
    flags.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, features & 1 << 20 != 0);
    flags.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, more & 1 << 2 != 0);
    flags
}
