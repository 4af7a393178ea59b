//! Restartable sequences: code that begins anew when it was interrupted.

use std::{
    arch::asm,
    ptr,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    thread::{available_parallelism, sleep},
    time::Duration,
};

use nix::{
    errno::Errno,
    libc::{self, c_int},
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction},
    unistd::{alarm, getppid},
};

use super::{Check, Outcome, require, require_killed, require_success};
use crate::process::Child;

pub(super) const CHECKS: &[Check] = &[
    ("sequences-registered", registered),
    ("sequences-in-children", in_children),
    ("sequences-and-handlers", and_handlers),
    ("sequences-and-others", and_others),
    ("sequences-wrong", wrong),
];

unsafe extern "C" {
    /// Where the C library has registered its area, from the thread's storage.
    static __rseq_offset: isize;
    static __rseq_size: u32;
}

/// What stands before the C library's abort addresses, and these checks'.
const SIGNATURE: u32 = 0x5305_3053;
const UNREGISTER: u32 = 1;
const BYTES: u32 = 32;
const NOT_REGISTERED: u32 = u32::MAX;

/// Linux's `struct rseq`.
#[repr(C, align(32))]
struct Area {
    processor_start: AtomicU32,
    processor: AtomicU32,
    sequence: AtomicU64,
    rest: [u32; 4],
}

impl Area {
    const fn new() -> Self {
        let (start, number) = (AtomicU32::new(0), AtomicU32::new(NOT_REGISTERED));
        Self { processor_start: start, processor: number, sequence: AtomicU64::new(0), rest: [0; 4] }
    }

    fn call(&self, bytes: u32, flags: u32, signature: u32) -> nix::Result<()> {
        // SAFETY: the area is a static's or the C library's, so it stays while it is registered.
        Errno::result(unsafe { libc::syscall(libc::SYS_rseq, ptr::from_ref(self), bytes, flags, signature) }).map(drop)
    }
}

static AREA: Area = Area::new();
static OTHER: Area = Area::new();

/// The C library's area; none if it has registered none.
fn library_area() -> Option<&'static Area> {
    // SAFETY: the C library sets both before `main`.
    let (offset, bytes) = unsafe { (__rseq_offset, __rseq_size) };
    let storage: *const u8;
    // SAFETY: the first word of a thread's storage is its own address.
    unsafe { asm!("mov {}, fs:0", out(reg) storage, options(nostack, readonly, pure)) };
    // SAFETY: the C library says that its area is there.
    (bytes > 0).then(|| unsafe { &*storage.offset(offset).cast() })
}

/// Registers this file's area in place of the C library's.
fn register() -> nix::Result<()> {
    if let Some(area) = library_area() {
        area.call(BYTES, UNREGISTER, SIGNATURE)?;
    }
    AREA.call(BYTES, 0, SIGNATURE)
}

fn registered() -> Outcome {
    let Some(area) = library_area() else { return Err("the C library has not registered an area".into()) };
    // SAFETY: it has no preconditions.
    let processors = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    let number = area.processor.load(Ordering::Relaxed);
    require!(i64::from(number) < processors, "the program runs on processor {number} of {processors}");
    let refused = |what: &str, found: nix::Result<()>, expected| {
        require!(found == Err(expected), "{what} gave {found:?}, not {expected}");
        Ok(())
    };
    refused("a second area", OTHER.call(BYTES, 0, SIGNATURE), Errno::EINVAL)?;
    refused("the same area", area.call(BYTES, 0, SIGNATURE), Errno::EBUSY)?;
    refused("another signature", area.call(BYTES, 0, 1), Errno::EPERM)?;
    refused("unregistering with another signature", area.call(BYTES, UNREGISTER, 1), Errno::EPERM)?;
    refused("unregistering another area", OTHER.call(BYTES, UNREGISTER, SIGNATURE), Errno::EINVAL)?;
    register()?;
    let number = area.processor.load(Ordering::Relaxed);
    require!(number == NOT_REGISTERED, "an area that is not registered says processor {number}");
    require!(AREA.processor.load(Ordering::Relaxed) != NOT_REGISTERED, "an area does not say the processor");
    AREA.call(BYTES, UNREGISTER, SIGNATURE)?;
    refused("unregistering twice", AREA.call(BYTES, UNREGISTER, SIGNATURE), Errno::EINVAL)?;
    refused("an area that is too small", AREA.call(16, 0, SIGNATURE), Errno::EINVAL)?;
    refused("unknown flags", AREA.call(BYTES, 2, SIGNATURE), Errno::EINVAL)
}

fn in_children() -> Outcome {
    register()?;
    require_success("a child", || Ok(AREA.call(BYTES, UNREGISTER, SIGNATURE)?))
}

/// Counts in a sequence that ends only when it is aborted, and returns how far that came.
fn count_until_aborted() -> u64 {
    let mut count = 0_u64;
    // SAFETY: the sequence touches a register alone; it is left at the abort address, before which the signature stands, as
    // bytes that nothing executes.
    unsafe {
        asm!(
            ".pushsection .data.rel.ro, \"aw\"",
            ".balign 32",
            "2:",
            ".long 0, 0",
            ".quad 3f, 4f - 3f, 5f",
            ".popsection",
            "lea {address}, [rip + 2b]",
            "mov [{area}], {address}",
            "3:",
            "inc {count}",
            "jmp 3b",
            "4:",
            ".long {signature}",
            "5:",
            address = out(reg) _,
            area = in(reg) AREA.sequence.as_ptr(),
            count = inout(reg) count,
            signature = const SIGNATURE,
        );
    }
    count
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn handle(_: c_int) {
    HANDLED.store(1 + AREA.sequence.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// A handler ends the sequence that it interrupts, before it runs.
fn and_handlers() -> Outcome {
    register()?;
    let action = SigAction::new(SigHandler::Handler(handle), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler uses atomics only.
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    let sender = Child::start(|| {
        sleep(Duration::from_millis(50));
        i32::from(kill(getppid(), Signal::SIGUSR1).is_err())
    })?;
    let mut handled = 0;
    while handled == 0 {
        // Somebody else may get the processor before the signal comes.
        count_until_aborted();
        handled = HANDLED.load(Ordering::Relaxed);
    }
    sender.wait()?;
    require!(handled == 1, "the handler saw the sequence at {:#x}", handled.wrapping_sub(1));
    Ok(())
}

/// So do other processes, when they get the processor.
fn and_others() -> Outcome {
    let others = available_parallelism()?.get();
    let spin = || loop {
        std::hint::spin_loop();
    };
    let others = (0..others).map(|_| Child::start(spin)).collect::<nix::Result<Vec<_>>>()?;
    let ended = require_success("a sequence beside others", || {
        register()?;
        let count = count_until_aborted();
        let sequence = AREA.sequence.load(Ordering::Relaxed);
        require!(count > 0 && sequence == 0, "after {count} rounds the sequence is at {sequence:#x}");
        Ok(())
    });
    for other in others {
        other.signal(Signal::SIGKILL)?;
        other.wait()?;
    }
    ended
}

/// A sequence that leads where no signature stands.
fn wrong() -> Outcome {
    require_killed(Signal::SIGSEGV, "a sequence without its signature", || {
        let _ = library_area().map(|area| area.call(BYTES, UNREGISTER, SIGNATURE));
        if AREA.call(BYTES, 0, SIGNATURE ^ 1).is_err() {
            return 1;
        }
        alarm::set(1);
        // The default action of the alarm would be another signal.
        let action = SigAction::new(SigHandler::Handler(handle), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler uses atomics only.
        if unsafe { sigaction(Signal::SIGALRM, &action) }.is_err() {
            return 2;
        }
        i32::from(count_until_aborted() > 0)
    })
}
