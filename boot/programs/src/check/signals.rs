//! Signals: handlers, masks, what children say, what interrupts a wait, and stopping.

use std::{
    sync::atomic::{AtomicI32, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    libc::{self, c_int, c_void, siginfo_t},
    sys::{
        mman::MmapAdvise,
        signal::{
            SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, kill, killpg, raise, sigaction, sigprocmask,
        },
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{self, Pid, getpid, pause, pipe, setpgid},
};

use super::outcome::{Check, Outcome, alarm_every, require, require_killed, require_success, wait_until};
use crate::{
    memory::{Memory, Shared},
    process::{Child, End, end_of, exit},
};

pub(super) const CHECKS: &[Check] = &[
    ("signals-default", default_action),
    ("signals-handler", handler),
    ("signals-masked", masked),
    ("signals-of-children", of_children),
    ("signals-of-orphans", of_orphans),
    ("signals-interrupt", interrupt),
    ("signals-restart", restart),
    ("signals-stop", stop),
    ("signals-of-a-group", of_a_group),
    ("signals-other-stack", other_stack),
    ("signals-kept-by-exec", kept_by_exec),
    ("signals-never-handled", never_handled),
];

static COUNT: AtomicU32 = AtomicU32::new(0);
static SENDER: AtomicI32 = AtomicI32::new(0);

extern "C" fn count(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    // SAFETY: a handler with SA_SIGINFO gets the signal's description.
    SENDER.store(unsafe { (*info).si_pid() }, Ordering::Relaxed);
}

/// Counts `signal` from here on.
fn handle(signal: Signal, flags: SaFlags) -> nix::Result<()> {
    COUNT.store(0, Ordering::Relaxed);
    let action = SigAction::new(SigHandler::SigAction(count), flags | SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: the handler only uses atomics.
    unsafe { sigaction(signal, &action) }.map(drop)
}

fn counted() -> u32 {
    COUNT.load(Ordering::Relaxed)
}

fn only(signal: Signal) -> SigSet {
    let mut set = SigSet::empty();
    set.add(signal);
    set
}

fn default_action() -> Outcome {
    for signal in [Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGALRM, Signal::SIGKILL, Signal::SIGABRT, Signal::SIGHUP]
    {
        require_killed(signal, &format!("{signal}"), || {
            // What started this may have some ignored (`nohup`).
            // SAFETY: the default action runs no code.
            let _ = unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) };
            let _ = raise(signal);
            0
        })?;
    }
    // The first signal that ends it is the one; a later one changes nothing.
    let child = Child::start(|| {
        loop {
            unistd::pause();
        }
    })?;
    child.signal(Signal::SIGTERM)?;
    child.signal(Signal::SIGKILL)?;
    let end = child.wait()?;
    require!(end == End::Killed(Signal::SIGTERM), "SIGKILL behind SIGTERM gave {end}");
    for signal in [Signal::SIGCHLD, Signal::SIGURG, Signal::SIGWINCH, Signal::SIGCONT] {
        require_success(&format!("{signal}"), || Ok(raise(signal)?))?;
    }
    require_killed(Signal::SIGPIPE, "writing to a pipe that nobody reads", || {
        let Ok((reader, writer)) = pipe() else { return 1 };
        drop(reader);
        i32::from(unistd::write(&writer, b"x").is_err())
    })?;
    require_success("the same with SIGPIPE ignored", || {
        // SAFETY: ignoring runs no code.
        unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigIgn) }?;
        let (reader, writer) = pipe()?;
        drop(reader);
        let outcome = unistd::write(&writer, b"x");
        require!(outcome == Err(Errno::EPIPE), "it gave {outcome:?}, not EPIPE");
        Ok(())
    })
}

fn handler() -> Outcome {
    handle(Signal::SIGUSR1, SaFlags::empty())?;
    for number in 1..=100 {
        raise(Signal::SIGUSR1)?;
        require!(counted() == number, "{number} signals were counted as {}", counted());
    }
    let parent = getpid();
    let child = Child::start(|| i32::from(kill(parent, Signal::SIGUSR1).is_err()))?;
    require!(child.wait()? == End::Exited(0), "a child could not send a signal");
    require!(counted() == 101, "the child's signal was not counted");
    let sender = SENDER.load(Ordering::Relaxed);
    require!(sender == child.0.as_raw(), "the signal is from {sender}, not {}", child.0);
    let nobody = kill(Pid::from_raw(999_999), None);
    require!(nobody == Err(Errno::ESRCH), "a signal to nobody gave {nobody:?}, not ESRCH");
    Ok(())
}

fn masked() -> Outcome {
    handle(Signal::SIGUSR1, SaFlags::empty())?;
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&only(Signal::SIGUSR1)), Some(&mut before))?;
    raise(Signal::SIGUSR1)?;
    raise(Signal::SIGUSR1)?;
    require!(counted() == 0, "a masked signal was delivered");
    let taken = only(Signal::SIGUSR1).wait()?;
    require!(taken == Signal::SIGUSR1 && counted() == 0, "sigwait gave {taken}");
    raise(Signal::SIGUSR1)?;
    let mut without = before;
    without.remove(Signal::SIGUSR1);
    without.suspend()?;
    require!(counted() == 1, "sigsuspend did not let the signal through");
    raise(Signal::SIGUSR1)?;
    require!(counted() == 1, "sigsuspend did not put the mask back");
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    require!(counted() == 2, "unmasking did not deliver the signal");
    Ok(())
}

fn faults_for_ever() -> i32 {
    const PAGES: usize = 64;
    let Ok(mut memory) = Memory::private(PAGES) else { return 1 };
    loop {
        (0..PAGES).for_each(|page| memory.touch(page));
        if memory.advise(0..PAGES, MmapAdvise::MADV_DONTNEED).is_err() {
            return 2;
        }
    }
}

fn of_children() -> Outcome {
    handle(Signal::SIGCHLD, SaFlags::empty())?;
    let child = Child::start(|| 5)?;
    let end = child.wait()?;
    require!(end == End::Exited(5), "a child that exits with 5 gave {end}");
    require!(counted() == 1 && SENDER.load(Ordering::Relaxed) == child.0.as_raw(), "SIGCHLD did not come");
    let again = waitpid(child.0, None);
    require!(again == Err(Errno::ECHILD), "waiting twice gave {again:?}, not ECHILD");
    let running = Child::start(|| {
        pause();
        0
    })?;
    let status = waitpid(running.0, Some(WaitPidFlag::WNOHANG))?;
    require!(status == WaitStatus::StillAlive, "a child that waits is {status:?}");
    running.signal(Signal::SIGTERM)?;
    require!(running.wait()? == End::Killed(Signal::SIGTERM), "SIGTERM did not end a child");
    // Nor is what a page fault comes to meanwhile how it ends.
    for _ in 0..20 {
        let faulting = Child::start(faults_for_ever)?;
        thread::sleep(Duration::from_millis(10));
        faulting.signal(Signal::SIGTERM)?;
        let end = faulting.wait()?;
        require!(end == End::Killed(Signal::SIGTERM), "SIGTERM during page faults gave {end}");
    }
    // Who ignores the signal has no zombies to wait for.
    // SAFETY: ignoring runs no code.
    unsafe { nix::sys::signal::signal(Signal::SIGCHLD, SigHandler::SigIgn) }?;
    let forgotten = Child::start(|| 5)?;
    let waited = waitpid(forgotten.0, None);
    require!(waited == Err(Errno::ECHILD), "waiting for a child that leaves no zombie gave {waited:?}");
    Ok(())
}

/// Process 1 waits for an orphan that any signal has ended, also one without a name, and goes on.
fn of_orphans() -> Outcome {
    let number = Shared::new(AtomicI32::new(0))?;
    let end = end_of(|| {
        let orphan = Child::start(|| {
            // SAFETY: the signal's default action ends the process.
            unsafe { libc::raise(libc::SIGRTMIN() + 3) };
            1
        });
        orphan.map_or(1, |Child(orphan)| {
            number.store(orphan.as_raw(), Ordering::Relaxed);
            0
        })
    })?;
    require!(end == End::Exited(0), "who leaves an orphan ended with {end}");
    let orphan = Pid::from_raw(number.load(Ordering::Relaxed));
    wait_until("the orphan to be waited for", || Ok(kill(orphan, None) == Err(Errno::ESRCH)))
}

fn interrupt() -> Outcome {
    handle(Signal::SIGALRM, SaFlags::empty())?;
    let (reader, _writer) = pipe()?;
    alarm_every(std::time::Duration::from_millis(100))?;
    let outcome = unistd::read(&reader, &mut [0; 8]);
    require!(outcome == Err(Errno::EINTR) && counted() >= 1, "a read that an alarm interrupts gave {outcome:?}");
    Ok(())
}

fn restart() -> Outcome {
    handle(Signal::SIGUSR1, SaFlags::SA_RESTART)?;
    let (reader, writer) = pipe()?;
    let parent = getpid();
    let child = Child::start(|| {
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(50));
            let _ = kill(parent, Signal::SIGUSR1);
        }
        i32::from(unistd::write(&writer, b"x").is_err())
    })?;
    let mut byte = [0];
    let outcome = unistd::read(&reader, &mut byte);
    require!(outcome == Ok(1) && byte == *b"x", "a read that goes on after signals gave {outcome:?}");
    require!(counted() >= 1, "no signal came");
    child.wait()?;
    Ok(())
}

fn stop() -> Outcome {
    let child = Child::start(|| {
        let _ = raise(Signal::SIGSTOP);
        4
    })?;
    let flags = Some(WaitPidFlag::WUNTRACED | WaitPidFlag::WCONTINUED);
    let status = waitpid(child.0, flags)?;
    require!(status == WaitStatus::Stopped(child.0, Signal::SIGSTOP), "a child that stops is {status:?}");
    child.signal(Signal::SIGCONT)?;
    let status = waitpid(child.0, flags)?;
    // Both are waiting to be told; the kernel tells the end first if it has come.
    let went_on = status == WaitStatus::Continued(child.0);
    require!(went_on || status == WaitStatus::Exited(child.0, 4), "a child that goes on is {status:?}");
    if went_on {
        let end = child.wait()?;
        require!(end == End::Exited(4), "a child that went on gave {end}");
    }
    let stopped = Child::start(|| {
        let _ = raise(Signal::SIGSTOP);
        0
    })?;
    waitpid(stopped.0, flags)?;
    stopped.signal(Signal::SIGKILL)?;
    require!(stopped.wait()? == End::Killed(Signal::SIGKILL), "a stopped child cannot be ended");
    Ok(())
}

fn of_a_group() -> Outcome {
    let start = |group: i32| {
        let child = Child::start(|| {
            loop {
                pause();
            }
        })?;
        setpgid(child.0, Pid::from_raw(group))?;
        Ok::<_, Errno>(child)
    };
    let leader = start(0)?;
    let second = start(leader.0.as_raw())?;
    let outsider = start(0)?;
    killpg(leader.0, Signal::SIGTERM)?;
    for child in [leader, second] {
        let end = child.wait()?;
        require!(end == End::Killed(Signal::SIGTERM), "a member of the group gave {end}");
    }
    let status = waitpid(outsider.0, Some(WaitPidFlag::WNOHANG))?;
    require!(status == WaitStatus::StillAlive, "a process outside of the group is {status:?}");
    outsider.signal(Signal::SIGKILL)?;
    outsider.wait()?;
    Ok(())
}

extern "C" fn leave(_: c_int) {
    exit(6);
}

/// A stack overflow can be handled, on another stack.
fn other_stack() -> Outcome {
    #[expect(unconditional_recursion, reason = "the signal ends it")]
    fn deeper(depth: u64) -> u64 {
        let room = std::hint::black_box([depth; 64]);
        deeper(depth + 1) + room[0]
    }
    const PAGES: usize = 16;
    let memory = Memory::private(PAGES)?;
    let end = crate::process::end_of(|| {
        let stack =
            libc::stack_t { ss_sp: memory.address(0).cast(), ss_flags: 0, ss_size: PAGES * crate::memory::PAGE };
        // SAFETY: the pages stay mapped to the process's end and nothing else uses them.
        if unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) } != 0 {
            return 1;
        }
        let action = SigAction::new(SigHandler::Handler(leave), SaFlags::SA_ONSTACK, SigSet::empty());
        // SAFETY: the handler only leaves.
        if unsafe { sigaction(Signal::SIGSEGV, &action) }.is_err() {
            return 2;
        }
        i32::from(deeper(0) == 1)
    })?;
    require!(end == End::Exited(6), "a stack overflow with a handler gave {end}");
    Ok(())
}

/// After `execve` handlers are gone, and what was ignored is still.
fn kept_by_exec() -> Outcome {
    let program = std::ffi::CString::new("/proc/self/exe")?;
    for (signal, ignored, expected) in
        [(Signal::SIGUSR1, false, End::Killed(Signal::SIGUSR1)), (Signal::SIGUSR2, true, End::Exited(0))]
    {
        let end = crate::process::end_of(|| {
            handle(signal, SaFlags::empty()).is_err().then(|| exit(1));
            if ignored {
                // SAFETY: ignoring runs no code.
                unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) }.is_err().then(|| exit(2));
            }
            let number = std::ffi::CString::new((signal as i32).to_string()).unwrap_or_default();
            let Err(error) = unistd::execv(&program, &[c"check", c"--raise", number.as_c_str()]);
            error as i32
        })?;
        require!(end == expected, "{signal} after execve gave {end}, not {expected}");
    }
    Ok(())
}

/// What the program does that [`kept_by_exec`] starts: sends itself a signal.
pub(super) fn raise_number(number: &str) -> i32 {
    let signal = number.parse().ok().and_then(|number: i32| Signal::try_from(number).ok());
    signal.map_or(3, |signal| i32::from(raise(signal).is_err()))
}

fn never_handled() -> Outcome {
    for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
        let refused = handle(signal, SaFlags::empty());
        require!(refused == Err(Errno::EINVAL), "handling {signal} gave {refused:?}, not EINVAL");
    }
    Ok(())
}
