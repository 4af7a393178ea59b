//! Programs that do what no program should: each gets the signal or the error that Linux gives, and all others go on.

use std::{arch::asm, fs::File, hint::black_box, os::fd::AsRawFd, ptr, thread::Builder};

use nix::{
    errno::Errno,
    libc,
    sys::{
        mman::{MapFlags, ProtFlags},
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{self, alarm, dup2_stderr, dup2_stdin, dup2_stdout},
};
use quire_protocol::contents::Xorshift;

use super::outcome::{Check, Outcome, require, require_killed, require_success};
use crate::{
    files,
    memory::{Memory, PAGE},
    process::{Child, End, end_of},
};

pub(super) const CHECKS: &[Check] = &[
    ("bad-jump-to-0", jump_to_0),
    ("bad-write-to-code", write_to_code),
    ("bad-execute-stack", execute_stack),
    ("bad-kernel-address", kernel_address),
    ("bad-instruction", instruction),
    ("bad-system-call-pointer", system_call_pointer),
    ("bad-system-call-number", system_call_number),
    ("bad-thread", thread),
    ("bad-random-system-calls", random_system_calls),
    ("bad-exhaust-stack", exhaust_stack),
    ("bad-fork-until-memory-ends", fork_until_memory_ends),
    ("bad-touch-1-tib", touch_1_tib),
];

/// The first address of the upper half, which is the kernel's.
const KERNEL: usize = 0xffff_8000_0000_0000;
/// An address that the processor cannot form.
const NOT_CANONICAL: usize = 0x0000_8000_0000_1000;
/// Below every mapping.
const UNMAPPED: usize = 0x10;

fn jump_to_0() -> Outcome {
    require_killed(Signal::SIGSEGV, "jumping to 0", || {
        call(0);
        0
    })
}

fn write_to_code() -> Outcome {
    require_killed(Signal::SIGSEGV, "writing to code", || {
        // SAFETY: the write does not happen, which is what is being checked.
        unsafe { (write_to_code as *const () as *mut u8).write_volatile(0) };
        0
    })
}

fn execute_stack() -> Outcome {
    require_killed(Signal::SIGSEGV, "executing the stack", || {
        let code_return = [0xc3_u8];
        call(black_box(&code_return).as_ptr() as usize);
        0
    })
}

/// Calls the code at `address`.
fn call(address: usize) {
    // SAFETY: none: nothing at the address may be executed, and this process is there to be ended for it. Should there be
    // code, it returns at once.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("C")) };
}

fn kernel_address() -> Outcome {
    for address in [KERNEL, 0xffff_ffff_8000_0000, usize::MAX - 7, NOT_CANONICAL, UNMAPPED] {
        require_killed(Signal::SIGSEGV, &format!("reading {address:#x}"), || {
            // SAFETY: none: the process is there to be ended for it.
            let _ = unsafe { ptr::with_exposed_provenance::<u64>(address & !7).read_volatile() };
            0
        })?;
        require_killed(Signal::SIGSEGV, &format!("writing {address:#x}"), || {
            // SAFETY: as above.
            unsafe { ptr::with_exposed_provenance_mut::<u64>(address & !7).write_volatile(1) };
            0
        })?;
    }
    Ok(())
}

fn instruction() -> Outcome {
    require_killed(Signal::SIGILL, "an undefined instruction", || {
        // SAFETY: the instruction ends the process, which is there for that.
        unsafe { asm!("ud2", "nop") };
        0
    })?;
    require_killed(Signal::SIGSEGV, "stopping the processor", || {
        // SAFETY: as above.
        unsafe { asm!("hlt") };
        0
    })?;
    require_killed(Signal::SIGSEGV, "masking interrupts", || {
        // SAFETY: as above.
        unsafe { asm!("cli") };
        0
    })?;
    require_killed(Signal::SIGSEGV, "writing to a port", || {
        // SAFETY: as above.
        unsafe { asm!("out 0xf4, eax", in("eax") 0x10) };
        0
    })?;
    require_killed(Signal::SIGSEGV, "changing the page tables", || {
        // SAFETY: as above.
        unsafe { asm!("mov cr3, {}", in(reg) 0_usize) };
        0
    })?;
    require_killed(Signal::SIGFPE, "dividing by zero", || {
        // SAFETY: as above.
        unsafe { asm!("div {}", in(reg) 0_u64, inout("rax") 1_u64 => _, inout("rdx") 0_u64 => _) };
        0
    })?;
    require_killed(Signal::SIGTRAP, "a breakpoint", || {
        // SAFETY: as above.
        unsafe { asm!("int3") };
        0
    })
}

/// A call with pointers as they come; what it returns or its error.
fn call_kernel(number: libc::c_long, arguments: [usize; 3]) -> Result<i64, Errno> {
    let [a, b, c] = arguments;
    // SAFETY: the callers pass pointers that the kernel must refuse, or calls that use none.
    Errno::result(unsafe { libc::syscall(number, a, b, c) })
}

fn system_call_pointer() -> Outcome {
    // Neither waits: from one there is always more to read, the other always has room.
    let (reader, (_rest, writer)) = (File::open("/dev/zero")?, unistd::pipe()?);
    let [reading, writing] = [reader.as_raw_fd(), writer.as_raw_fd()].map(|end| end.unsigned_abs() as usize);
    for bad in [KERNEL, NOT_CANONICAL, UNMAPPED, usize::MAX - 7] {
        for (what, number, arguments) in [
            ("write", libc::SYS_write, [writing, bad, 16]),
            ("read", libc::SYS_read, [reading, bad, 16]),
            ("open", libc::SYS_open, [bad, 0, 0]),
            ("uname", libc::SYS_uname, [bad, 0, 0]),
            ("pipe", libc::SYS_pipe, [bad, 0, 0]),
            ("execve", libc::SYS_execve, [bad, 0, 0]),
            ("getrusage", libc::SYS_getrusage, [0, bad, 0]),
        ] {
            let outcome = call_kernel(number, arguments);
            require!(outcome == Err(Errno::EFAULT), "{what} with {bad:#x} gave {outcome:?}, not EFAULT");
        }
    }
    // The part before the bad page is not lost: Linux's pipes take it, or refuse it all.
    let mut memory = Memory::private(2)?;
    memory.protect(1..2, ProtFlags::PROT_NONE)?;
    let across = memory.address(1) as usize - 8;
    let outcome = call_kernel(libc::SYS_write, [writing, across, 16]);
    require!(matches!(outcome, Ok(8) | Err(Errno::EFAULT)), "write across the end of memory gave {outcome:?}");
    let outcome = call_kernel(libc::SYS_madvise, [memory.address(0) as usize + 1, PAGE, 0]);
    require!(outcome == Err(Errno::EINVAL), "madvise of an odd address gave {outcome:?}");
    Ok(())
}

fn system_call_number() -> Outcome {
    for number in [9999, 100_000, -1] {
        let outcome = call_kernel(number, [0; 3]);
        require!(outcome == Err(Errno::ENOSYS), "system call {number} gave {outcome:?}, not ENOSYS");
    }
    Ok(())
}

/// Quire has no threads, and programs that ask for one learn of it.
fn thread() -> Outcome {
    let outcome = Builder::new().spawn(|| {}).map(drop).map_err(|error| error.raw_os_error());
    require!(outcome == Err(Some(libc::EINVAL)), "starting a thread gave {outcome:?}, not EINVAL");
    Ok(())
}

/// What must not be called at random: it would wait, end or multiply the caller, or do the machine harm.
const NOT_AT_RANDOM: [libc::c_long; 29] = [
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_pause,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_reboot,
    libc::SYS_swapoff,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_select,
    libc::SYS_pselect6,
    libc::SYS_setrlimit,
    libc::SYS_prlimit64,
    libc::SYS_alarm,
    libc::SYS_futex,
    libc::SYS_umask,
    libc::SYS_vhangup,
];

/// Calls with numbers and arguments at random: the caller may come to grief, the kernel may not.
fn random_system_calls() -> Outcome {
    // Only on a machine that may be lost: what a random call does to a person's is anybody's guess.
    require!(is_small()?, "this machine is too large to be a guest");
    for round in 0..20 {
        let end = end_of(|| {
            // What it writes nobody wants to see, and what it waits for does not come.
            let Ok(nothing) = File::options().read(true).write(true).open("/dev/null") else { return 1 };
            if dup2_stdin(&nothing).is_err() || dup2_stdout(&nothing).is_err() || dup2_stderr(&nothing).is_err() {
                return 2;
            }
            alarm::set(2);
            let mut random = Xorshift(round * 2 + 0x9E37_79B9_7F4A_7C15);
            for _ in 0..500 {
                let number = (random.draw() % 340).cast_signed();
                if !NOT_AT_RANDOM.contains(&number) {
                    let any = [(); 6].map(|()| any_value(&mut random));
                    // SAFETY: none: the process may be ended by what this does to it, and it has no children.
                    let _ = unsafe { libc::syscall(number, any[0], any[1], any[2], any[3], any[4], any[5]) };
                }
            }
            0
        })?;
        // Whatever became of it, it has ended, and the kernel says how.
        require!(!matches!(end, End::Exited(1 | 2)), "its files could not be replaced: {end}");
    }
    Ok(())
}

/// A value as a program could pass it by mistake.
fn any_value(random: &mut Xorshift) -> usize {
    let any = random.draw() as usize;
    match any % 8 {
        0 => 0,
        1 => any >> 60,
        2 => any >> 48,
        3 => any >> 8 & 0xfff,
        4 => KERNEL | any >> 20,
        5 => usize::MAX - (any >> 56),
        // Somewhere on the stack.
        6 => ((&raw const any) as usize & !7) - (any >> 52),
        _ => any,
    }
}

/// Whether the machine is as small as a guest for tests.
pub(super) fn is_small() -> std::io::Result<bool> {
    Ok(files::number("/proc/meminfo", "MemTotal")? < 1 << 20)
}

fn exhaust_stack() -> Outcome {
    #[expect(unconditional_recursion, reason = "it is ended for that")]
    fn deeper(depth: u64) -> u64 {
        let room = black_box([depth; 64]);
        deeper(depth + 1) + room[0]
    }
    require_killed(Signal::SIGSEGV, "endless recursion", || i32::from(deeper(0) == 1))?;
    // Most of 8 MiB may be used.
    require_success("6 MiB of stack", || {
        fn down(depth: usize) -> usize {
            let mut room = [depth; PAGE / size_of::<usize>()];
            black_box(&mut room);
            if depth == 0 { 0 } else { down(depth - 1) + usize::from(room[1] == depth) }
        }
        require!(down(1500) == 1500, "what was on the stack has changed");
        Ok(())
    })
}

/// Forks until it is refused, or one of them is ended for it; then all of them go and memory is back.
fn fork_until_memory_ends() -> Outcome {
    const A_CHILD_WAS_ENDED: i32 = 200;
    require!(is_small()?, "this machine is too large to fill");
    let free_before = files::number("/proc/meminfo", "MemFree")?;
    let end = end_of(|| {
        // They and nobody else.
        if files::set("/proc/self/oom_score_adj", "1000").is_err() {
            return 1;
        }
        let mut memory = match Memory::private(64) {
            Ok(memory) => memory,
            Err(error) => return error as i32,
        };
        let mut children = Vec::new();
        let outcome = loop {
            let child = Child::start(|| {
                (0..64).for_each(|page| memory.touch(page));
                unistd::pause();
                0
            });
            match child {
                Ok(child) => children.push(child),
                Err(error) => break error as i32,
            }
            if matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::Signaled(..))) {
                break A_CHILD_WAS_ENDED;
            }
        };
        for child in &children {
            let _ = child.signal(Signal::SIGKILL);
        }
        while waitpid(None, None).is_ok() {}
        outcome
    })?;
    let is_right = [Errno::EAGAIN as i32, Errno::ENOMEM as i32, A_CHILD_WAS_ENDED].map(End::Exited).contains(&end)
        || end == End::Killed(Signal::SIGKILL);
    require!(is_right, "it gave {end}, not EAGAIN, ENOMEM or SIGKILL");
    // Those whose parent was ended before them are still there.
    super::limits::end_orphans()?;
    super::limits::memory_is_back(free_before)
}

fn touch_1_tib() -> Outcome {
    const TEBIBYTE_PAGES: usize = (1 << 40) / PAGE;
    require!(is_small()?, "this machine is too large to fill");
    // What cannot be promised is refused, as far as the machine promises at all.
    let promised = Memory::private(TEBIBYTE_PAGES).map(drop);
    require!(promised == Err(Errno::ENOMEM), "mapping 1 TiB gave {promised:?}, not ENOMEM");
    require_killed(Signal::SIGKILL, "touching 1 TiB", || {
        if files::set("/proc/self/oom_score_adj", "1000").is_err() {
            return 1;
        }
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        match Memory::map(TEBIBYTE_PAGES, flags) {
            Ok(mut memory) => (0..TEBIBYTE_PAGES).for_each(|page| memory.touch(page)),
            Err(error) => return error as i32,
        }
        0
    })
}
