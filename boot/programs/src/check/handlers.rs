//! What is blocked while a handler runs, and what the mask is after everything that changes it.

use std::{
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    errno::Errno,
    libc::{self, c_int},
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, raise, sigaction, sigprocmask},
};

use super::outcome::{Check, Outcome, require, require_killed};

pub(super) const CHECKS: &[Check] = &[
    ("handlers-nested", nested),
    ("handlers-only-once", only_once),
    ("handlers-masks", masks),
    ("handlers-mask-of-a-wait", mask_of_a_wait),
];

static CALLS: AtomicU32 = AtomicU32::new(0);
static DEPTH: AtomicU32 = AtomicU32::new(0);
static DEEPEST: AtomicU32 = AtomicU32::new(0);
/// What the first handler sends.
static SENT: AtomicU32 = AtomicU32::new(0);

extern "C" fn send_once(_: c_int) {
    let depth = DEPTH.fetch_add(1, Ordering::Relaxed) + 1;
    DEEPEST.fetch_max(depth, Ordering::Relaxed);
    if CALLS.fetch_add(1, Ordering::Relaxed) == 0 {
        // SAFETY: the call has no arguments in memory.
        let _ = unsafe { libc::raise(SENT.load(Ordering::Relaxed).cast_signed()) };
    }
    DEPTH.fetch_sub(1, Ordering::Relaxed);
}

fn set_of(signals: &[Signal]) -> SigSet {
    signals.iter().copied().collect()
}

fn handle(signal: Signal, flags: SaFlags, blocked: &[Signal]) -> nix::Result<()> {
    let action = SigAction::new(SigHandler::Handler(send_once), flags, set_of(blocked));
    // SAFETY: the handler uses atomics, and sends a signal.
    unsafe { sigaction(signal, &action) }.map(drop)
}

/// How deep handlers are nested when that of SIGUSR1 sends `sent`.
fn depth(flags: SaFlags, blocked: &[Signal], sent: Signal) -> nix::Result<(u32, u32)> {
    for counter in [&CALLS, &DEEPEST] {
        counter.store(0, Ordering::Relaxed);
    }
    SENT.store(sent as u32, Ordering::Relaxed);
    handle(Signal::SIGUSR1, flags, blocked)?;
    handle(Signal::SIGUSR2, SaFlags::empty(), &[])?;
    raise(Signal::SIGUSR1)?;
    Ok((CALLS.load(Ordering::Relaxed), DEEPEST.load(Ordering::Relaxed)))
}

fn nested() -> Outcome {
    for (what, flags, blocked, sent, deepest) in [
        ("its own signal", SaFlags::empty(), &[][..], Signal::SIGUSR1, 1),
        ("its own with SA_NODEFER", SaFlags::SA_NODEFER, &[], Signal::SIGUSR1, 2),
        ("another", SaFlags::empty(), &[], Signal::SIGUSR2, 2),
        ("one of its mask", SaFlags::empty(), &[Signal::SIGUSR2], Signal::SIGUSR2, 1),
    ] {
        let found = depth(flags, blocked, sent)?;
        require!(found == (2, deepest), "a handler that sends {what}: calls and depth {found:?}, not (2, {deepest})");
    }
    Ok(())
}

fn only_once() -> Outcome {
    require_killed(Signal::SIGUSR1, "the second signal to a handler with SA_RESETHAND", || {
        if handle(Signal::SIGUSR1, SaFlags::SA_RESETHAND, &[]).is_err() || raise(Signal::SIGUSR1).is_err() {
            return 1;
        }
        if CALLS.load(Ordering::Relaxed) == 0 {
            return 2;
        }
        let _ = raise(Signal::SIGUSR1);
        3
    })
}

fn mask() -> nix::Result<SigSet> {
    let mut mask = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, None, Some(&mut mask))?;
    Ok(mask)
}

fn masks() -> Outcome {
    let (one, two) = (set_of(&[Signal::SIGUSR1]), set_of(&[Signal::SIGUSR2]));
    let both = set_of(&[Signal::SIGUSR1, Signal::SIGUSR2]);
    for (how, set, expected) in [
        (SigmaskHow::SIG_SETMASK, &one, &one),
        (SigmaskHow::SIG_BLOCK, &two, &both),
        (SigmaskHow::SIG_UNBLOCK, &one, &two),
        (SigmaskHow::SIG_SETMASK, &both, &both),
        (SigmaskHow::SIG_UNBLOCK, &both, &SigSet::empty()),
        (SigmaskHow::SIG_SETMASK, &set_of(&[Signal::SIGKILL, Signal::SIGSTOP]), &SigSet::empty()),
    ] {
        sigprocmask(how, Some(set), None)?;
        let found = mask()?;
        require!(found == *expected, "after {how:?} of {set:?} the mask is {found:?}");
    }
    Ok(())
}

/// `ppoll` and `sigsuspend` give the mask back, whether or not a handler was called.
fn mask_of_a_wait() -> Outcome {
    let (one, none) = (set_of(&[Signal::SIGUSR1]), SigSet::empty());
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&one), None)?;
    let poll = |nanoseconds| {
        let timeout = libc::timespec { tv_sec: 0, tv_nsec: nanoseconds };
        // SAFETY: there are no files, and the mask is a set of signals.
        Errno::result(unsafe { libc::ppoll(ptr::null_mut(), 0, &raw const timeout, none.as_ref()) })
    };
    let ended = poll(1_000_000);
    require!(ended == Ok(0) && mask()? == one, "ppoll gave {ended:?}, and the mask is {:?}", mask()?);
    handle(Signal::SIGUSR1, SaFlags::empty(), &[])?;
    // Pending all the time, so that neither call has to wait for it.
    SENT.store(0, Ordering::Relaxed);
    raise(Signal::SIGUSR1)?;
    let ended = poll(900_000_000);
    let calls = CALLS.load(Ordering::Relaxed);
    require!(ended == Err(Errno::EINTR) && calls == 1, "ppoll gave {ended:?} after {calls} calls of the handler");
    require!(mask()? == one, "after ppoll the mask is {:?}", mask()?);
    raise(Signal::SIGUSR1)?;
    none.suspend()?;
    let calls = CALLS.load(Ordering::Relaxed);
    require!(calls == 2 && mask()? == one, "after sigsuspend and {calls} calls the mask is {:?}", mask()?);
    Ok(())
}
