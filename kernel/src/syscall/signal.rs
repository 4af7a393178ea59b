//! Signals: what they do, what is blocked, sending, waiting, returning from handlers.
//!
//! After Linux's `kernel/signal.c`. A process is one thread, so `tgkill` and `kill` reach the same.

use core::time::Duration;

use linux_raw_sys::general as linux;

use super::time::read_duration;
use super::{Arguments, Calls, Outcome, read_bytes, read_words, write_words};
use crate::arch::user;
use crate::errno::Errno;
use crate::process::credentials::Identity;
use crate::process::signal::frame::FRAME_BYTES;
use crate::process::signal::{Action, AlternateStack, AlternateStackError, Info, QueueFull, Set, Signal, Signals};
use crate::process::{self, INIT, Process};
use crate::task::{WaitQueue, time};

pub(super) const CALLS: Calls = &[
    (linux::__NR_rt_sigaction, rt_sigaction),
    (linux::__NR_rt_sigprocmask, rt_sigprocmask),
    (linux::__NR_rt_sigpending, rt_sigpending),
    (linux::__NR_rt_sigsuspend, rt_sigsuspend),
    (linux::__NR_rt_sigtimedwait, rt_sigtimedwait),
    (linux::__NR_rt_sigqueueinfo, rt_sigqueueinfo),
    (linux::__NR_rt_tgsigqueueinfo, rt_tgsigqueueinfo),
    (linux::__NR_rt_sigreturn, rt_sigreturn),
    (linux::__NR_sigaltstack, sigaltstack),
    (linux::__NR_kill, kill),
    (linux::__NR_tkill, tkill),
    (linux::__NR_tgkill, tgkill),
    (linux::__NR_pause, pause),
];

/// The size of a set that every call is told.
const SET_BYTES: u64 = 8;

fn check_set_size(bytes: u64) -> Result<(), Errno> {
    if bytes == SET_BYTES { Ok(()) } else { Err(Errno::EINVAL) }
}

fn read_set(address: u64) -> Result<Set, Errno> {
    let [bits] = read_words(address)?;
    Ok(Set::from_bits(bits))
}

fn rt_sigaction(arguments: &Arguments) -> Outcome {
    let [number, new, old, set_bytes, ..] = arguments.a;
    check_set_size(set_bytes)?;
    let signal = Signal::new(number).ok_or(Errno::EINVAL)?;
    let action = if new == 0 { None } else { Some(Action::from_bytes(&read_bytes(new)?)) };
    if action.is_some() && Set::UNSTOPPABLE.contains(signal) {
        return Err(Errno::EINVAL);
    }
    let before = process::this().with_signals(|signals| {
        let before = signals.action(signal);
        if let Some(action) = action {
            signals.set_action(signal, action);
        }
        before
    });
    if old != 0 {
        user::write(old, &before.to_bytes())?;
    }
    Ok(0)
}

fn rt_sigprocmask(arguments: &Arguments) -> Outcome {
    let [how, new, old, set_bytes, ..] = arguments.a;
    check_set_size(set_bytes)?;
    let process = process::this();
    let before = process.with_signals(|signals| signals.mask());
    if new != 0 {
        let set = read_set(new)?;
        let mask = match how as u32 {
            linux::SIG_BLOCK => before | set,
            linux::SIG_UNBLOCK => before & !set,
            linux::SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        process.with_signals(|signals| signals.set_mask(mask));
    }
    if old != 0 {
        write_words(old, &[before.bits()])?;
    }
    Ok(0)
}

fn rt_sigpending(arguments: &Arguments) -> Outcome {
    let [address, set_bytes, ..] = arguments.a;
    if set_bytes > SET_BYTES {
        return Err(Errno::EINVAL);
    }
    let pending = process::this().with_signals(|signals| signals.blocked_pending());
    user::write(address, &pending.bits().to_le_bytes()[..set_bytes as usize])?;
    Ok(0)
}

/// Sleeps until a signal is to be delivered.
fn wait_for_signal() {
    let nothing_else = WaitQueue::new();
    let _ = nothing_else.wait_until_interrupted(|| false);
}

fn rt_sigsuspend(arguments: &Arguments) -> Outcome {
    let [address, set_bytes, ..] = arguments.a;
    check_set_size(set_bytes)?;
    let mask = read_set(address)?;
    process::this().with_signals(|signals| signals.set_temporary_mask(mask));
    wait_for_signal();
    Err(Errno::RESTART_WITHOUT_HANDLER)
}

fn pause(_: &Arguments) -> Outcome {
    wait_for_signal();
    Err(Errno::RESTART_WITHOUT_HANDLER)
}

fn rt_sigtimedwait(arguments: &Arguments) -> Outcome {
    let [set, info_address, timeout, set_bytes, ..] = arguments.a;
    check_set_size(set_bytes)?;
    let wanted = read_set(set)?;
    let deadline = match timeout {
        0 => Duration::MAX,
        address => time::since_boot().saturating_add(read_duration(address)?),
    };
    let process = process::this();
    let taken = process.with_signals(|signals| {
        let taken = signals.take(wanted);
        if taken.is_none() {
            signals.await_signals(wanted);
        }
        taken
    });
    let taken = taken.or_else(|| {
        WaitQueue::new().wait_until_or_interrupted(deadline, || false);
        process.with_signals(|signals| {
            signals.stop_awaiting();
            signals.take(wanted)
        })
    });
    let Some((signal, info)) = taken else {
        let interrupted = process.standing().is_interrupted();
        return Err(if interrupted { Errno::EINTR } else { Errno::EAGAIN });
    };
    if info_address != 0 {
        user::write(info_address, &info.to_bytes(signal))?;
    }
    Ok(signal.number().into())
}

/// A signal's number, or 0 for only looking whether it could be sent.
fn read_signal(number: u64) -> Result<Option<Signal>, Errno> {
    match u64::from(number as u32) {
        0 => Ok(None),
        number => Signal::new(number).map(Some).ok_or(Errno::EINVAL),
    }
}

fn send(process: &Process, signal: Option<Signal>, info: Info) -> Result<(), Errno> {
    signal.map_or(Ok(()), |signal| process::send_to(process, signal, info)).map_err(|QueueFull| Errno::EAGAIN)
}

/// Whether `caller` may send `signal` to `process`: within a session anybody continues anybody.
fn may_send(caller: &Process, who: &Identity, process: &Process, signal: Option<Signal>) -> bool {
    signal == Some(Signal::SIGCONT) && caller.session() == process.session() || who.may_signal(&process.identity())
}

fn kill(arguments: &Arguments) -> Outcome {
    let [pid, number, ..] = arguments.a;
    let (pid, signal) = (pid as i32, read_signal(number)?);
    let caller = process::this();
    let who = caller.identity();
    let info = Info::User { pid: caller.pid(), user: who.user.real };
    let may_send = |process: &Process| may_send(&caller, &who, process, signal);
    if let Ok(pid @ 1..) = u32::try_from(pid) {
        let process = process::find(pid).ok_or(Errno::ESRCH)?;
        if !may_send(&process) {
            return Err(Errno::EPERM);
        }
        // Of real-time signals that find no room one is pending in any case.
        let _ = send(&process, signal, info);
        return Ok(0);
    }
    let is_meant = |process: &Process| match pid {
        0 => process.group() == caller.group(),
        -1 => process.pid() != INIT && process.pid() != caller.pid(),
        group => process.group() == group.unsigned_abs(),
    };
    let is_reached = |process: &Process| is_meant(process) && may_send(process);
    let reached = match signal {
        Some(signal) => process::send_where(signal, info, is_reached) > 0,
        None => process::exists(is_reached),
    };
    match pid {
        _ if reached => Ok(0),
        _ if !process::exists(is_meant) => Err(Errno::ESRCH),
        // As on Linux: of all that there are, those that may not be reached are not meant.
        -1 => Ok(0),
        _ => Err(Errno::EPERM),
    }
}

fn send_to_thread(thread: u64, number: u64, info: impl FnOnce(u32, u32) -> Info) -> Outcome {
    let signal = read_signal(number)?;
    let thread = u32::try_from(thread as i32).ok().filter(|&thread| thread != 0).ok_or(Errno::EINVAL)?;
    let process = process::find(thread).ok_or(Errno::ESRCH)?;
    let caller = process::this();
    let who = caller.identity();
    if process.pid() != caller.pid() && !may_send(&caller, &who, &process, signal) {
        return Err(Errno::EPERM);
    }
    send(&process, signal, info(caller.pid(), who.user.real))?;
    Ok(0)
}

fn tkill(arguments: &Arguments) -> Outcome {
    let [thread, number, ..] = arguments.a;
    send_to_thread(thread, number, |pid, user| Info::Thread { pid, user })
}

fn tgkill(arguments: &Arguments) -> Outcome {
    let [process, thread, number, ..] = arguments.a;
    check_thread_of(process, thread)?;
    send_to_thread(thread, number, |pid, user| Info::Thread { pid, user })
}

/// A process's one thread has its number.
fn check_thread_of(process: u64, thread: u64) -> Result<(), Errno> {
    match (process as i32, thread as i32) {
        (process, thread) if process <= 0 || thread <= 0 => Err(Errno::EINVAL),
        (process, thread) if process != thread => Err(Errno::ESRCH),
        _ => Ok(()),
    }
}

/// What a program says of a signal that it queues: what only the kernel and `kill` say it may tell itself alone.
fn read_queued_info(address: u64, to: u64) -> Result<Info, Errno> {
    let info = Info::queued(&read_bytes(address)?);
    let Info::Queued { code, .. } = info else { return Err(Errno::EINVAL) };
    let is_foreign = code >= 0 || code == linux::SI_TKILL;
    if is_foreign && to != u64::from(process::this().pid()) { Err(Errno::EPERM) } else { Ok(info) }
}

fn rt_sigqueueinfo(arguments: &Arguments) -> Outcome {
    let [pid, number, info, ..] = arguments.a;
    let info = read_queued_info(info, pid)?;
    send_to_thread(pid, number, |_, _| info)
}

fn rt_tgsigqueueinfo(arguments: &Arguments) -> Outcome {
    let [process, thread, number, info, ..] = arguments.a;
    check_thread_of(process, thread)?;
    let info = read_queued_info(info, process)?;
    send_to_thread(thread, number, |_, _| info)
}

fn rt_sigreturn(_: &Arguments) -> Outcome {
    process::return_from_handler().or_else(|user::Fault| {
        let force = |signals: &mut Signals| signals.force(Signal::SIGSEGV, Info::Kernel, signals.fault_registers());
        process::this().with_signals(force);
        Ok(0)
    })
}

fn sigaltstack(arguments: &Arguments) -> Outcome {
    let [new, old, ..] = arguments.a;
    let stack_pointer = process::stack_pointer();
    let new = if new == 0 { None } else { Some(AlternateStack::from_bytes(&read_bytes(new)?)) };
    let before = process::this().with_signals(|signals| {
        let stack = signals.alternate_stack();
        let before = stack.seen_from(stack_pointer);
        new.map_or(Ok(()), |new| stack.replace(new, stack_pointer, FRAME_BYTES as u64)).map(|()| before)
    });
    let before = before.map_err(|error| match error {
        AlternateStackError::InUse => Errno::EPERM,
        AlternateStackError::Flags => Errno::EINVAL,
        AlternateStackError::TooSmall => Errno::ENOMEM,
    })?;
    if old != 0 {
        user::write(old, &before.to_bytes())?;
    }
    Ok(0)
}
