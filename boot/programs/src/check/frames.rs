//! What a handler is told, what it may change, and what no handler can do to the kernel by what it gives back.

use std::{
    arch::asm,
    ptr,
    sync::atomic::{AtomicI32, AtomicUsize, Ordering},
};

use nix::{
    errno::Errno,
    libc::{self, c_int, c_void, siginfo_t, ucontext_t},
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction},
};

use super::outcome::{Check, Outcome, require, require_killed, require_success};
use crate::process::{End, end_of};

pub(super) const CHECKS: &[Check] = &[
    ("frames-of-faults", of_faults),
    ("frames-keep-registers", keep_registers),
    ("frames-change-registers", change_registers),
    ("frames-queued", queued),
    ("frames-bad-address", bad_address),
    ("frames-bad-registers", bad_registers),
    ("frames-bad-image", bad_image),
    ("frames-bad-stack", bad_stack),
];

/// An address that the processor cannot form, and the kernel's first.
const NO_PROGRAMS: [i64; 2] = [0x8000_0000_0000_1234_u64.cast_signed(), 0xffff_8000_0000_1000_u64.cast_signed()];
/// Where the state that `xsave` writes begins to be more than `fxsave`'s.
const LEGACY_BYTES: usize = 512;
/// Where the kernel notes in the image what it holds.
const NOTE: std::ops::Range<usize> = 464..488;

type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

fn handle(signal: Signal, handler: Handler) -> nix::Result<()> {
    let action = SigAction::new(SigHandler::SigAction(handler), SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: the handlers below use atomics and their frames only.
    unsafe { sigaction(signal, &action) }.map(drop)
}

/// The context that a handler with `SA_SIGINFO` gets.
fn context<'a>(context: *mut c_void) -> &'a mut ucontext_t {
    // SAFETY: that is what its third argument points to, for as long as it runs, and nobody else uses it.
    unsafe { &mut *context.cast() }
}

static CODE: AtomicI32 = AtomicI32::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);
static CONTINUE_AT: AtomicUsize = AtomicUsize::new(0);

/// Notes what it is told, and goes on at [`CONTINUE_AT`].
extern "C" fn note(_: c_int, info: *mut siginfo_t, frame: *mut c_void) {
    // SAFETY: a handler with SA_SIGINFO gets the signal's description.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr()) };
    CODE.store(code, Ordering::Relaxed);
    ADDRESS.store(address.addr(), Ordering::Relaxed);
    context(frame).uc_mcontext.gregs[libc::REG_RIP as usize] = CONTINUE_AT.load(Ordering::Relaxed).cast_signed() as i64;
}

/// Runs an instruction that faults, with `value` in `rax` and `other` in `rcx`; the handler goes on behind it.
macro_rules! fault {
    ($instruction:literal, $value:expr, $other:expr) => {
        // SAFETY: the handler continues at the label, and the registers that the instruction may change are given up.
        unsafe {
            asm!(
                "lea {at}, [rip + 2f]",
                "mov [{place}], {at}",
                "xor edx, edx",
                $instruction,
                "2:",
                at = out(reg) _,
                place = in(reg) CONTINUE_AT.as_ptr(),
                inout("rax") $value => _,
                inout("rcx") $other => _,
                out("rdx") _,
            );
        }
    };
}

fn of_faults() -> Outcome {
    const KERNEL: i32 = 0x80;
    for signal in [Signal::SIGSEGV, Signal::SIGFPE, Signal::SIGILL, Signal::SIGTRAP] {
        handle(signal, note)?;
    }
    let told = |what: &str, code: i32, address: Option<usize>| {
        let found = (CODE.load(Ordering::Relaxed), ADDRESS.load(Ordering::Relaxed));
        require!(found.0 == code, "{what}: si_code {} instead of {code}", found.0);
        require!(address.is_none_or(|address| found.1 == address), "{what}: si_addr {:#x}", found.1);
        Ok(())
    };
    let code = of_faults as *const () as usize;
    fault!("mov [rax], cl", 0x18_usize, 0_usize);
    told("writing below every mapping", 1, Some(0x18))?;
    fault!("mov [rax], cl", code, 0_usize);
    told("writing to code", 2, Some(code))?;
    fault!("mov [rax], cl", 0xffff_8000_0000_0000_usize, 0_usize);
    told("writing to the kernel", 1, None)?;
    fault!("mov cl, [rax]", 0x8000_0000_0000_0000_usize, 0_usize);
    told("reading where no address is", KERNEL, Some(0))?;
    fault!("div rcx", 1_usize, 0_usize);
    told("dividing by zero", 1, None)?;
    fault!("ud2", 0_usize, 0_usize);
    told("an instruction that there is not", 2, None)?;
    fault!("hlt", 0_usize, 0_usize);
    told("an instruction of the kernel's", KERNEL, Some(0))?;
    fault!("int3", 0_usize, 0_usize);
    told("a breakpoint", KERNEL, None)
}

/// Fills what a program computes with, as if it had computed something else.
extern "C" fn clobber(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: what is filled is given up, and the frame puts it back.
    unsafe {
        asm!(
            "fninit",
            "pcmpeqd xmm6, xmm6",
            "pcmpeqd xmm7, xmm7",
            out("xmm6") _, out("xmm7") _, out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
            out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
        );
    }
}

/// A handler, and whoever runs meanwhile, leaves the registers of the program alone.
fn keep_registers() -> Outcome {
    handle(Signal::SIGUSR1, clobber)?;
    // Somebody who computes with the same registers all the time.
    let other = crate::process::Child::start(|| {
        loop {
            clobber(0, ptr::null_mut(), ptr::null_mut());
        }
    })?;
    let pid = i64::from(nix::unistd::getpid().as_raw());
    let mut sums = 0;
    for round in 0..200_u64 {
        let before = round * 0x0101_0101;
        let (low, whole, rest): (u64, u64, u64);
        // SAFETY: the two system calls, `kill` of this process and `sched_yield`, keep all registers but those that are
        // given up; the stack below is not used.
        unsafe {
            asm!(
                "movq xmm6, {before}",
                "movq xmm7, {before}",
                "fld1",
                "mov eax, 62",
                "syscall",
                "mov eax, 24",
                "syscall",
                "movq {low}, xmm6",
                "movq {whole}, xmm7",
                "push 0",
                "fistp qword ptr [rsp]",
                "pop {rest}",
                before = in(reg) before, low = out(reg) low, whole = out(reg) whole, rest = out(reg) rest,
                in("rdi") pid, in("rsi") Signal::SIGUSR1 as i64,
                out("rax") _, out("rcx") _, out("r11") _, out("xmm6") _, out("xmm7") _, out("st(0)") _,
                out("st(1)") _, out("st(2)") _, out("st(3)") _, out("st(4)") _, out("st(5)") _, out("st(6)") _,
                out("st(7)") _,
            );
        }
        sums += u32::from((low, whole, rest) == (before, before, 1));
    }
    other.signal(Signal::SIGKILL)?;
    other.wait()?;
    require!(sums == 200, "registers changed in {} of 200 rounds", 200 - sums);
    Ok(())
}

extern "C" fn add_one(_: c_int, _: *mut siginfo_t, frame: *mut c_void) {
    context(frame).uc_mcontext.gregs[libc::REG_RBX as usize] += 1;
}

fn change_registers() -> Outcome {
    handle(Signal::SIGUSR1, add_one)?;
    let mut found: u64;
    // SAFETY: `kill` of this process keeps all registers but those given up, and the handler adds 1 to `rbx`, which is
    // kept in another one meanwhile because the compiler reserves it.
    unsafe {
        asm!(
            "xchg rbx, {found}",
            "syscall",
            "xchg rbx, {found}",
            found = inout(reg) 41_u64 => found,
            inout("rax") 62_u64 => _, in("rdi") i64::from(nix::unistd::getpid().as_raw()),
            in("rsi") Signal::SIGUSR1 as i64, out("rcx") _, out("r11") _,
        );
    }
    require!(found == 42, "the handler made 42 of a register, and it is {found}");
    Ok(())
}

static VALUES: [AtomicI32; 3] = [const { AtomicI32::new(0) }; 3];
static ARRIVED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn collect(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: a handler with SA_SIGINFO gets the signal's description; the value is the number that was queued.
    let value = unsafe { (*info).si_value().sival_ptr.addr().cast_signed() as i32 };
    let place = ARRIVED.fetch_add(1, Ordering::Relaxed);
    if let Some(slot) = VALUES.get(place) {
        slot.store(value, Ordering::Relaxed);
    }
}

/// Real-time signals are queued with their values, up to a bound; the lower number comes first.
fn queued() -> Outcome {
    let (first, second) = (libc::SIGRTMIN(), libc::SIGRTMIN() + 1);
    // SAFETY: an empty `sigaction` and an empty set are valid, and the handler uses atomics only.
    let set = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = collect as Handler as usize;
        action.sa_flags = libc::SA_SIGINFO;
        let mut set: libc::sigset_t = std::mem::zeroed();
        for signal in [first, second] {
            libc::sigaction(signal, &raw const action, ptr::null_mut());
            libc::sigaddset(&raw mut set, signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
        set
    };
    let send = |signal: c_int, value: usize| {
        let value = libc::sigval { sival_ptr: ptr::without_provenance_mut(value) };
        // SAFETY: the value is a number, whatever its type says.
        Errno::result(unsafe { libc::sigqueue(libc::getpid(), signal, value) })
    };
    for (signal, value) in [(second, 30), (first, 10), (first, 20)] {
        send(signal, value)?;
    }
    // SAFETY: the set is the one that was blocked.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut()) };
    let values = VALUES.each_ref().map(|value| value.load(Ordering::Relaxed));
    // Each handler is interrupted by the next one before it begins, so the last that is delivered runs first.
    let mut sorted = values;
    sorted.sort_unstable();
    require!(sorted == [10, 20, 30], "the values that arrived are {values:?}");
    // SAFETY: as above.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
    let refused = (0..1_000_000).find_map(|_| send(first, 1).err());
    require!(refused == Some(Errno::EAGAIN), "a full queue gave {refused:?}, not EAGAIN");
    Ok(())
}

static BAD_VALUE: AtomicUsize = AtomicUsize::new(0);

fn bad_value() -> i64 {
    (BAD_VALUE.load(Ordering::Relaxed) as u64).cast_signed()
}

extern "C" fn return_nowhere(_: c_int, _: *mut siginfo_t, frame: *mut c_void) {
    context(frame).uc_mcontext.gregs[libc::REG_RIP as usize] = bad_value();
}

extern "C" fn return_without_stack(_: c_int, _: *mut siginfo_t, frame: *mut c_void) {
    context(frame).uc_mcontext.gregs[libc::REG_RSP as usize] = bad_value();
}

/// How a process ends that gets back from `handler`, with `value` for it to use.
fn end_with(handler: Handler, value: i64) -> nix::Result<End> {
    BAD_VALUE.store(value.cast_unsigned() as usize, Ordering::Relaxed);
    end_of(|| {
        if handle(Signal::SIGUSR1, handler).is_err() {
            return 1;
        }
        let _ = raise(Signal::SIGUSR1);
        5
    })
}

fn bad_address() -> Outcome {
    for address in NO_PROGRAMS {
        let end = end_with(return_nowhere, address)?;
        require!(end == End::Killed(Signal::SIGSEGV), "returning to {address:#x} gave {end}");
        let end = end_with(return_without_stack, address)?;
        let killed = matches!(end, End::Killed(Signal::SIGSEGV | Signal::SIGBUS));
        require!(killed, "returning with the stack at {address:#x} gave {end}");
        require_killed(Signal::SIGSEGV, "a handler where no program is", || {
            // SAFETY: an empty `sigaction` is valid; the process is there to be ended for the address.
            let set = unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = address.cast_unsigned() as usize;
                libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut())
            };
            i32::from(set != 0 || raise(Signal::SIGUSR1).is_err())
        })?;
    }
    Ok(())
}

/// Every flag but trap, and the kernel's selectors.
extern "C" fn return_privileged(_: c_int, _: *mut siginfo_t, frame: *mut c_void) {
    const TRAP_AND_ALIGNMENT: i64 = 0x4_0100;
    let registers = &mut context(frame).uc_mcontext.gregs;
    registers[libc::REG_EFL as usize] = !TRAP_AND_ALIGNMENT;
}

fn bad_registers() -> Outcome {
    require_success("flags that only the kernel may change", || {
        handle(Signal::SIGUSR1, return_privileged)?;
        raise(Signal::SIGUSR1)?;
        let flags: u64;
        // SAFETY: the flags are pushed and popped again; the direction is put back to what compiled code expects.
        unsafe { asm!("pushfq", "pop {}", "cld", out(reg) flags) };
        // I/O privilege, virtual interrupts, nested task.
        require!(flags & 0x001f_7000 == 0, "the flags are {flags:#x}");
        require!(flags & 0x200 != 0, "interrupts are off");
        Ok(())
    })
}

extern "C" fn return_bad_image(_: c_int, _: *mut siginfo_t, frame: *mut c_void) {
    let image = context(frame).uc_mcontext.fpregs.cast::<u8>();
    for place in (0..LEGACY_BYTES + 64).filter(|place| !NOTE.contains(place)) {
        // SAFETY: the image is at least that long on every processor with `xsave`; elsewhere the rest is the stack's,
        // which the program, that ends afterwards, does not need.
        unsafe { image.add(place).write(0xff) };
    }
}

extern "C" fn return_no_image(_: c_int, _: *mut siginfo_t, frame: *mut c_void) {
    context(frame).uc_mcontext.fpregs = ptr::without_provenance_mut(BAD_VALUE.load(Ordering::Relaxed));
}

fn bad_image() -> Outcome {
    // What no processor would load may be refused, or left out.
    let end = end_with(return_bad_image, 0)?;
    let expected = matches!(end, End::Exited(5) | End::Killed(Signal::SIGSEGV));
    require!(expected, "an image of ones gave {end}");
    for address in [0x18, NO_PROGRAMS[0], NO_PROGRAMS[1], -64] {
        let end = end_with(return_no_image, address)?;
        require!(end == End::Killed(Signal::SIGSEGV), "an image at {address:#x} gave {end}");
    }
    let end = end_with(return_no_image, 0)?;
    require!(end == End::Exited(5), "no image at all gave {end}");
    Ok(())
}

/// A stack that cannot hold a frame, and a return from no handler.
fn bad_stack() -> Outcome {
    require_killed(Signal::SIGSEGV, "a signal without a stack", || {
        if handle(Signal::SIGUSR1, add_one).is_err() {
            return 1;
        }
        // SAFETY: none: the process is there to be ended for it, in the system call that sends the signal.
        unsafe {
            asm!("mov rsp, 0x18", "syscall", "ud2", in("rax") 62, in("rdi") libc::getpid(),
                in("rsi") Signal::SIGUSR1 as i64, options(noreturn))
        }
    })?;
    for stack in [0x18, NO_PROGRAMS[0], NO_PROGRAMS[1], -8] {
        require_killed(Signal::SIGSEGV, "rt_sigreturn without a frame", || {
            // SAFETY: none: the process is there to be ended for it.
            unsafe { asm!("mov rsp, {}", "mov eax, 15", "syscall", "ud2", in(reg) stack, options(noreturn)) }
        })?;
    }
    Ok(())
}
