//! Signals: what they do, what is blocked, sending, waiting, returning from handlers.
//!
//! After Linux's `kernel/signal.c`. A process is one thread, so `tgkill` and `kill` reach the same.

use core::time::Duration;

use linux_raw_sys::general as linux;
use quire_machine::clock;
use quire_machine::task::WaitQueue;
use quire_machine::user::{Fault, UserPtr, Word};

use super::arguments::{Arguments, Calls, Outcome};
use super::duration::read_duration;
use crate::errno::Errno;
use crate::process::control_block::{INIT, Process, this};
use crate::process::credentials::Identity;
use crate::process::handler;
use crate::process::limits::Resource;
use crate::process::signal::frame::FRAME_BYTES;
use crate::process::signal::{Action, AlternateStack, AlternateStackError, Info, QueueFull, Set, Signal, Signals};
use crate::process::table;

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
const SET_BYTES: usize = 8;

fn check_set_size(bytes: Word) -> Result<(), Errno> {
    if bytes.bits() == SET_BYTES as u64 { Ok(()) } else { Err(Errno::EINVAL) }
}

fn read_set(address: Word) -> Result<Set, Errno> {
    Ok(Set::from_bits(address.pointer().read()?))
}

fn rt_sigaction(arguments: &Arguments<'_>) -> Outcome {
    let [number, new, old, set_bytes, ..] = arguments.words();
    check_set_size(set_bytes)?;
    let signal = Signal::new(number.low().into()).ok_or(Errno::EINVAL)?;
    let action = new.optional().map(UserPtr::read).transpose()?.map(|bytes| Action::from_bytes(&bytes));
    if action.is_some() && Set::UNSTOPPABLE.contains(signal) {
        return Err(Errno::EINVAL);
    }
    let before = this().with_signals(|signals| {
        let before = signals.action(signal);
        if let Some(action) = action {
            signals.set_action(signal, action);
        }
        before
    });
    if let Some(old) = old.optional() {
        old.write(before.to_bytes())?;
    }
    Ok(0)
}

fn rt_sigprocmask(arguments: &Arguments<'_>) -> Outcome {
    let [how, new, old, set_bytes, ..] = arguments.words();
    check_set_size(set_bytes)?;
    let process = this();
    let before = process.with_signals(|signals| signals.mask());
    if !new.is_zero() {
        let set = read_set(new)?;
        let mask = match how.low() {
            linux::SIG_BLOCK => before | set,
            linux::SIG_UNBLOCK => before & !set,
            linux::SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        process.with_signals(|signals| signals.set_mask(mask));
    }
    if let Some(old) = old.optional() {
        old.write(before.bits())?;
    }
    Ok(0)
}

fn rt_sigpending(arguments: &Arguments<'_>) -> Outcome {
    let [address, set_bytes, ..] = arguments.words();
    let set_bytes = set_bytes.count(SET_BYTES).ok_or(Errno::EINVAL)?;
    let pending = this().with_signals(|signals| signals.blocked_pending());
    address.pointer().write_bytes(&pending.bits().to_le_bytes()[..set_bytes])?;
    Ok(0)
}

/// Sleeps until a signal is to be delivered.
fn wait_for_signal() {
    let nothing_else = WaitQueue::new();
    let _ = nothing_else.wait_until_interrupted(|| false);
}

fn rt_sigsuspend(arguments: &Arguments<'_>) -> Outcome {
    let [address, set_bytes, ..] = arguments.words();
    check_set_size(set_bytes)?;
    let mask = read_set(address)?;
    this().with_signals(|signals| signals.set_temporary_mask(mask));
    wait_for_signal();
    Err(Errno::RESTART_WITHOUT_HANDLER)
}

fn pause(_: &Arguments<'_>) -> Outcome {
    wait_for_signal();
    Err(Errno::RESTART_WITHOUT_HANDLER)
}

fn rt_sigtimedwait(arguments: &Arguments<'_>) -> Outcome {
    let [set, info_address, timeout, set_bytes, ..] = arguments.words();
    check_set_size(set_bytes)?;
    let wanted = read_set(set)?;
    let deadline = match timeout.optional() {
        None => Duration::MAX,
        Some(timeout) => clock::since_boot().saturating_add(read_duration(timeout)?),
    };
    let process = this();
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
    if let Some(place) = info_address.optional() {
        place.write(info.to_bytes(signal))?;
    }
    Ok(signal.number().into())
}

/// A signal's number, or 0 for only looking whether it could be sent.
fn read_signal(number: Word) -> Result<Option<Signal>, Errno> {
    match u64::from(number.low()) {
        0 => Ok(None),
        number => Signal::new(number).map(Some).ok_or(Errno::EINVAL),
    }
}

fn send(process: &Process, signal: Option<Signal>, info: Info) -> Result<(), Errno> {
    signal.map_or(Ok(()), |signal| table::send_to(process, signal, info)).map_err(|QueueFull| Errno::EAGAIN)
}

/// Whether `caller` may send `signal` to `process`: within a session any process may continue any other.
fn may_send(caller: &Process, who: &Identity, process: &Process, signal: Option<Signal>) -> bool {
    signal == Some(Signal::SIGCONT) && caller.session() == process.session() || who.may_signal(&process.identity())
}

fn kill(arguments: &Arguments<'_>) -> Outcome {
    let [pid, number, ..] = arguments.words();
    let (pid, signal) = (pid.int(), read_signal(number));
    let caller = this();
    let who = caller.identity();
    let info = Info::User { pid: caller.pid(), user: who.user.real };
    let named = u32::try_from(pid).ok().filter(|pid| *pid > 0).map(|pid| table::find(pid).ok_or(Errno::ESRCH));
    let (named, signal) = (named.transpose()?, signal?);
    let may_send = |process: &Process| may_send(&caller, &who, process, signal);
    if let Some(process) = named {
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
        Some(signal) => table::send_where(signal, info, is_reached) > 0,
        None => table::exists(is_reached),
    };
    match pid {
        _ if reached => Ok(0),
        _ if !table::exists(is_meant) => Err(Errno::ESRCH),
        // As on Linux: of all that there are, those that may not be reached are not meant.
        -1 => Ok(0),
        _ => Err(Errno::EPERM),
    }
}

fn send_to_thread(thread: Word, number: Word, info: impl FnOnce(u32, u32) -> Info) -> Outcome {
    let signal = read_signal(number)?;
    let thread = u32::try_from(thread.int()).ok().filter(|&thread| thread != 0).ok_or(Errno::EINVAL)?;
    let process = table::find(thread).ok_or(Errno::ESRCH)?;
    let caller = this();
    let who = caller.identity();
    if process.pid() != caller.pid() && !may_send(&caller, &who, &process, signal) {
        return Err(Errno::EPERM);
    }
    let info = info(caller.pid(), who.user.real);
    if matches!(info, Info::Queued { .. }) {
        let user = process.identity().user.real;
        if table::signals_of_user(user) >= process.limit(Resource::SIGNALS).soft {
            return Err(Errno::EAGAIN);
        }
    }
    send(&process, signal, info)?;
    Ok(0)
}

fn tkill(arguments: &Arguments<'_>) -> Outcome {
    let [thread, number, ..] = arguments.words();
    send_to_thread(thread, number, |pid, user| Info::Thread { pid, user })
}

fn tgkill(arguments: &Arguments<'_>) -> Outcome {
    let [process, thread, number, ..] = arguments.words();
    check_thread_of(process, thread)?;
    send_to_thread(thread, number, |pid, user| Info::Thread { pid, user })
}

/// A process's one thread has its number.
fn check_thread_of(process: Word, thread: Word) -> Result<(), Errno> {
    match (process.int(), thread.int()) {
        (process, thread) if process <= 0 || thread <= 0 => Err(Errno::EINVAL),
        (process, thread) if process != thread => Err(Errno::ESRCH),
        _ => Ok(()),
    }
}

/// What a program says of a signal that it queues: what only the kernel and `kill` say it may tell itself alone.
fn read_queued_info(address: Word, to: Word) -> Result<Info, Errno> {
    let info = Info::queued(&address.pointer().read()?);
    let Info::Queued { code, .. } = info else { return Err(Errno::EINVAL) };
    let is_foreign = code >= 0 || code == linux::SI_TKILL;
    if is_foreign && to.low() != this().pid() { Err(Errno::EPERM) } else { Ok(info) }
}

fn rt_sigqueueinfo(arguments: &Arguments<'_>) -> Outcome {
    let [pid, number, info, ..] = arguments.words();
    let info = read_queued_info(info, pid)?;
    send_to_thread(pid, number, |_, _| info)
}

fn rt_tgsigqueueinfo(arguments: &Arguments<'_>) -> Outcome {
    let [process, thread, number, info, ..] = arguments.words();
    check_thread_of(process, thread)?;
    let info = read_queued_info(info, process)?;
    send_to_thread(thread, number, |_, _| info)
}

fn rt_sigreturn(arguments: &Arguments<'_>) -> Outcome {
    handler::return_from_handler(arguments.frame()).or_else(|Fault| {
        let force = |signals: &mut Signals| signals.force(Signal::SIGSEGV, Info::Kernel, signals.fault_registers());
        this().with_signals(force);
        Ok(0)
    })
}

fn sigaltstack(arguments: &Arguments<'_>) -> Outcome {
    let [new, old, ..] = arguments.words();
    let stack_pointer = arguments.frame().get().rsp;
    let new = new.optional().map(UserPtr::read).transpose()?.map(|bytes| AlternateStack::from_bytes(&bytes));
    let before = this().with_signals(|signals| {
        let stack = signals.alternate_stack();
        let before = stack.seen_from(stack_pointer);
        new.map_or(Ok(()), |new| stack.replace(new, stack_pointer, FRAME_BYTES as u64)).map(|()| before)
    });
    let before = before.map_err(|error| match error {
        AlternateStackError::InUse => Errno::EPERM,
        AlternateStackError::Flags => Errno::EINVAL,
        AlternateStackError::TooSmall => Errno::ENOMEM,
    })?;
    if let Some(old) = old.optional() {
        old.write(before.to_bytes())?;
    }
    Ok(0)
}
