//! Each processor's own data, and the accessor to it.
//!
//! The GS base points to the processor's [`PerCpu`] while the kernel runs; its first word is its own address. In ring 3
//! the GS base is the program's, and the kernel's waits in `KernelGsBase`: entry and exit
//! swap the two. One processor is started for now, but nothing outside this file knows that.

use core::arch::asm;
use core::arch::x86_64::CpuidResult;
use core::mem::offset_of;
use core::sync::atomic::Ordering;

use x86_64::VirtAddr;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::model_specific::GsBase;

use super::gdt;
pub use super::per_cpu::{MAX_CPUS, PerCpu};
use crate::running::Running;

/// Where `kernel_stack` is from the GS base.
pub(super) const KERNEL_STACK: usize = offset_of!(PerCpu, kernel_stack);
/// Where `user_stack` is from the GS base.
pub(super) const USER_STACK: usize = offset_of!(PerCpu, user_stack);

impl PerCpu {
    /// Makes the kernel be entered on the stack that ends at `top`. Interrupts are off.
    pub(crate) fn set_kernel_stack(&self, top: u64) {
        self.kernel_stack.store(top, Ordering::Relaxed);
        gdt::set_kernel_stack(top);
    }
}

static CPUS: [PerCpu; MAX_CPUS] = [const { PerCpu::new() }; MAX_CPUS];

/// The data of all processors, those included that are not started.
pub(crate) fn all() -> &'static [PerCpu] {
    &CPUS
}

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
    this().with_running(look)
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

/// Whether this runs on the machine: on the host, pure code also runs in tests that have none.
#[inline]
pub(crate) const fn is_of_machine() -> bool {
    true
}

/// Waits until `lock` is free, and takes it.
#[inline]
pub fn spin<T>(lock: &spin::Mutex<T>) -> spin::MutexGuard<'_, T> {
    lock.lock()
}

/// Called while spinning, where nothing can be done but to let others run.
#[inline]
pub fn relax() {
    core::hint::spin_loop();
}

/// A point at which another processor may be faster. Nothing has to be done for that: it is the simulated machine's chance to
/// let it be so.
#[inline]
pub const fn overtaken() {}

/// A thread is ready to run: for the processors that are idle. None is while another runs, with one started.
#[inline]
pub const fn wake_idle() {}

/// The time-stamp counter.
#[inline]
pub fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the counter, and the kernel may read it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// A word from the processor's generator, if it has one that answers.
pub(crate) fn random_word() -> Option<u64> {
    const RDRAND: u32 = 1 << 30;
    /// Intel's manual: ten attempts in a row do not fail on a working processor.
    const ATTEMPTS: u32 = 10;
    if core::arch::x86_64::__cpuid(1).ecx & RDRAND == 0 {
        return None;
    }
    (0..ATTEMPTS).find_map(|_| {
        let (word, answered): (u64, u8);
        // SAFETY: the processor has the instruction, which changes nothing but its result and the flags.
        unsafe { asm!("rdrand {}", "setc {}", out(reg) word, out(reg_byte) answered, options(nomem, nostack)) };
        (answered == 1).then_some(word)
    })
}

/// Sets up the processor that runs this as number `number`: its data, and the protections that the kernel relies on.
///
/// # Safety
/// Called once for each processor, before anything uses [`this`].
pub unsafe fn start(number: usize) {
    let cpu = &CPUS[number];
    cpu.number.store(number as u32, Ordering::Relaxed);
    let address = core::ptr::from_ref(cpu) as u64;
    cpu.own_address.store(address, Ordering::Relaxed);
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
