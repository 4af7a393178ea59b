//! Where programs enter and leave the kernel by themselves: what they did wrong becomes a signal, and before they go on,
//! signals are delivered and other threads get their turn.

use core::sync::atomic::Ordering;

use linux_raw_sys::general as linux;
use quire_machine::address_map::USER_END;
use quire_machine::arch::interrupts;
use quire_machine::arch::registers::{SYSTEM_CALL, TrapFrame};
use quire_machine::log_limited;
use quire_machine::task::{preempt, scheduler};
use quire_memory::fault::FaultService;
use quire_memory::tasks::Fatal;

use super::alarms;
use super::control_block::{Process, this};
use super::signal::frame::FaultRegisters;
use super::signal::{ChildChange, Delivery, Info, Signal, Signals};
use super::table;
use super::usage::TICKS;
use super::{exit, handler};
use crate::errno::Errno;

/// The last thing before a program goes on with the registers of `frame`. Leaves interrupts off, and returns only if there is
/// nothing to do for the program.
#[inline]
pub fn before_user(frame: &mut TrapFrame) {
    loop {
        interrupts::disable();
        preempt();
        let needs_attention = |process: &Process| process.standing().needs_attention();
        let is_wanted = scheduler::with_current(|thread| thread.owner_as().is_some_and(needs_attention));
        if is_wanted != Some(true) && !is_to_restart(frame) {
            return;
        }
        interrupts::enable();
        attend(frame);
    }
}

#[inline(never)]
fn attend(frame: &mut TrapFrame) {
    // The reference to the process is dropped before it ends: nothing after that would do it.
    let end = deliver(&this(), frame);
    if let Some(end) = end {
        exit::end_current(end);
    }
}

/// Does what the next signal asks for; says how the process ends, if it does.
fn deliver(process: &Process, frame: &mut TrapFrame) -> Option<ChildChange> {
    match process.with_signals(Signals::take_next) {
        Some(Delivery::End(signal)) => return Some(ChildChange::Killed(signal)),
        Some(Delivery::Stop(signal)) => {
            if is_stopped_by(process, signal) && table::stop(process, signal) {
                while process.standing().is_stopped() {
                    scheduler::park();
                }
            }
        }
        Some(Delivery::Handler { signal, info, action }) => {
            restart(frame, Some(action.has(linux::SA_RESTART)));
            if handler::call(process, frame, signal, info, action).is_err() {
                process.with_signals(|signals| match signal {
                    Signal::SIGSEGV => signals.kill(signal),
                    _ => signals.force(Signal::SIGSEGV, Info::Kernel, signals.fault_registers()),
                });
            }
        }
        None => {
            restart(frame, None);
            process.with_signals(Signals::restore_mask);
        }
    }
    None
}

/// A stop that comes from the terminal means nothing to a process that no other could continue.
fn is_stopped_by(process: &Process, signal: Signal) -> bool {
    signal == Signal::SIGSTOP || !table::is_orphaned(process.group())
}

/// Whether a system call was interrupted, perhaps by a signal that another has cancelled meanwhile.
fn is_to_restart(frame: &TrapFrame) -> bool {
    frame.vector == SYSTEM_CALL && Errno::from_register(frame.rax).is_some_and(Errno::is_internal)
}

/// Has an interrupted system call done again, or fail with `EINTR`. `restarts` is what the signal's handler says; `None` when
/// there is no handler.
fn restart(frame: &mut TrapFrame, restarts: Option<bool>) {
    /// The bytes of `syscall`.
    const INSTRUCTION: u64 = 2;
    if frame.vector != SYSTEM_CALL {
        return;
    }
    let again = match Errno::from_register(frame.rax) {
        Some(Errno::RESTART_ALWAYS) => true,
        Some(Errno::RESTART) => restarts != Some(false),
        Some(Errno::RESTART_WITHOUT_HANDLER) => restarts.is_none(),
        Some(Errno::RESTART_LATER) => {
            // The number to call again with; the arguments are in the process.
            frame.error = u64::from(linux::__NR_restart_syscall);
            restarts.is_none()
        }
        _ => return,
    };
    if again {
        frame.rax = frame.error;
        frame.set_rip(frame.rip().saturating_sub(INSTRUCTION));
    } else {
        frame.rax = Errno::EINTR.to_register();
    }
    // Once is enough: what a later signal finds is not a call's result.
    frame.vector = 0;
}

/// A program's page fault at `address` that cannot be served.
pub fn fault(frame: &TrapFrame, address: u64, fatal: Fatal) {
    let fault = |code| Info::Fault { code, address };
    let (signal, info) = match fatal {
        Fatal::NotMapped(_) => (Signal::SIGSEGV, fault(linux::SEGV_MAPERR)),
        Fatal::NotAllowed(_) => (Signal::SIGSEGV, fault(linux::SEGV_ACCERR)),
        Fatal::ReadFailed(_) | Fatal::BeyondObject(_) | Fatal::NoSpace(_) => (Signal::SIGBUS, fault(linux::BUS_ADRERR)),
        // One that is killed ends by its own signal; this is for one whose memory went with another's.
        Fatal::Killed | Fatal::OutOfMemory => (Signal::SIGKILL, Info::Kernel),
    };
    force(frame, signal, info, address);
}

/// A program's exception other than a page fault.
pub fn exception(frame: &TrapFrame) {
    let at_instruction = |code| Info::Fault { code, address: frame.rip() };
    let (signal, info) = match frame.vector {
        0 => (Signal::SIGFPE, at_instruction(linux::FPE_INTDIV)),
        1 => (Signal::SIGTRAP, at_instruction(linux::TRAP_TRACE)),
        3 => (Signal::SIGTRAP, Info::Kernel),
        6 => (Signal::SIGILL, at_instruction(linux::ILL_ILLOPN)),
        11 | 12 => (Signal::SIGBUS, Info::Kernel),
        16 | 19 => (Signal::SIGFPE, at_instruction(linux::FPE_FLTINV)),
        17 => (Signal::SIGBUS, Info::Fault { code: linux::BUS_ADRALN, address: 0 }),
        _ => (Signal::SIGSEGV, Info::Kernel),
    };
    force(frame, signal, info, 0);
}

/// The bit of a page fault's error code that says that a page is there.
const PRESENT: u64 = 1;

fn force(frame: &TrapFrame, signal: Signal, info: Info, address: u64) {
    let process = this();
    // It ends by the signal that has killed it, whatever its program does until then.
    if process.standing().is_killed() {
        return;
    }
    // Whether there is a page in the kernel half is not for programs to know (Linux says that there is).
    let error = if address >= USER_END { frame.error | PRESENT } else { frame.error };
    let registers = FaultRegisters { trap: frame.vector, error, address };
    process.with_signals(|signals| signals.force(signal, info, registers));
    if process.standing().is_killed() {
        log_limited!(
            "process",
            "{process}: {signal} at instruction {:#x}, stack {:#x}, address {address:#x}, trap {}, error {error:#x}",
            frame.rip(),
            frame.rsp,
            frame.vector
        );
    }
}

/// Counts a page fault that was served, in a program or on its behalf.
pub fn count_fault(served: FaultService) {
    scheduler::with_current(|thread| {
        if let Some(process) = thread.owner_as::<Process>() {
            let usage = &process.usage;
            let faults = if served.is_major() { &usage.major_faults } else { &usage.minor_faults };
            faults.fetch_add(1, Ordering::Relaxed);
        }
    });
}

/// A timer tick: counts whose time has passed, and sends the alarms that are due. Called with interrupts off.
pub fn tick(in_program: bool) {
    alarms::tick();
    scheduler::with_current(|thread| {
        if let Some(process) = thread.owner_as::<Process>() {
            let ticks = if in_program { &process.usage.user_ticks } else { &process.usage.system_ticks };
            ticks.fetch_add(1, Ordering::Relaxed);
            TICKS[usize::from(!in_program)].fetch_add(1, Ordering::Relaxed);
            process.heed_time_limit();
        }
    });
}
