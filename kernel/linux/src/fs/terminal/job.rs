//! Whose terminal it is: job control (`tty_ioctl(4)`, POSIX "Terminal Access Control").
//!
//! The terminal belongs to at most one session; of its process groups one is in the foreground. The others are stopped by
//! a signal when they read, and when they write or change something if it is so set, unless they ignore or block the
//! signal.

use quire_machine::sync::{Rank, SpinLock};

use crate::errno::Errno;
use crate::process::control_block::{Process, this};
use crate::process::signal::{Info, Signal};
use crate::process::table;

/// Whose the terminal is.
#[derive(Clone, Copy)]
struct TerminalOwner {
    /// The session.
    session: u32,
    /// Its process group in the foreground.
    foreground: u32,
}

static OWNER: SpinLock<Option<TerminalOwner>> = SpinLock::new(Rank::TerminalOwner, None);

fn owner() -> Option<TerminalOwner> {
    *OWNER.lock()
}

/// The process group in the foreground.
pub fn foreground() -> Option<u32> {
    owner().map(|owner| owner.foreground)
}

/// Whether the terminal is that of `process`.
pub fn is_terminal_of(process: &Process) -> bool {
    owner().is_some_and(|owner| owner.session == process.session())
}

/// The session whose terminal it is, if it is the caller's.
///
/// # Errors
/// `ENOTTY`.
pub(super) fn own_session() -> Result<u32, Errno> {
    let session = this().session();
    owner().filter(|owner| owner.session == session).map(|_| session).ok_or(Errno::ENOTTY)
}

/// Gives the terminal to the session that the caller leads; with `steal` the superuser takes it from another one.
///
/// # Errors
/// `EPERM`: the caller leads no session, or the terminal is taken.
pub(super) fn acquire(steal: bool) -> Result<(), Errno> {
    let process = this();
    let (session, foreground) = (process.session(), process.group());
    if session != process.pid() {
        return Err(Errno::EPERM);
    }
    let may_steal = steal && process.identity().is_superuser();
    let mut owner = OWNER.lock();
    match *owner {
        Some(TerminalOwner { session: taken, .. }) if taken == session => Ok(()),
        Some(_) if !may_steal => Err(Errno::EPERM),
        _ => {
            *owner = Some(TerminalOwner { session, foreground });
            Ok(())
        }
    }
}

/// The leader of a session gives up the terminal, or has ended: the foreground is told, and the terminal belongs to no session.
pub fn release(session: u32) {
    if owner().is_none_or(|owner| owner.session != session) {
        return;
    }
    for signal in [Signal::SIGHUP, Signal::SIGCONT] {
        send_to_foreground(signal);
    }
    OWNER.lock().take_if(|owner| owner.session == session);
}

/// Brings a group of the caller's session to the foreground.
///
/// # Errors
/// `ENOTTY`; `ESRCH`, `EPERM` for a group that does not exist or is of another session; the caller may be stopped before.
pub(super) fn set_foreground(group: u32) -> Result<(), Errno> {
    let session = own_session()?;
    check_background(Signal::SIGTTOU)?;
    if !table::exists(|process| process.group() == group) {
        return Err(Errno::ESRCH);
    }
    if !table::exists(|process| process.group() == group && process.session() == session) {
        return Err(Errno::EPERM);
    }
    match &mut *OWNER.lock() {
        Some(owner) if owner.session == session => owner.foreground = group,
        _ => return Err(Errno::ENOTTY),
    }
    Ok(())
}

/// Stops the caller's group by `signal` if it is in the background: `SIGTTIN` before reading, `SIGTTOU` before changing
/// something or, where that is set, writing.
///
/// # Errors
/// `RESTART` when the group is stopped; `EIO` when no process could continue it, or for a reader that ignores the signal.
pub(super) fn check_background(signal: Signal) -> Result<(), Errno> {
    let process = this();
    let group = process.group();
    if owner().is_none_or(|owner| owner.session != process.session() || owner.foreground == group) {
        return Ok(());
    }
    let is_deaf = process.with_signals(|signals| signals.mask().contains(signal) || signals.action(signal).is_ignore());
    match (is_deaf, signal) {
        (true, Signal::SIGTTIN) => return Err(Errno::EIO),
        (true, _) => return Ok(()),
        (false, _) if table::is_orphaned(group) => return Err(Errno::EIO),
        (false, _) => {}
    }
    table::send_to_group(group, signal, Info::Kernel);
    Err(Errno::RESTART)
}

/// Sends `signal` to the group in the foreground, if there is one.
pub(super) fn send_to_foreground(signal: Signal) {
    if let Some(group) = foreground() {
        table::send_to_group(group, signal, Info::Kernel);
    }
}
