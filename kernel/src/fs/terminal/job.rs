//! Whose terminal it is: job control (`tty_ioctl(4)`, POSIX "Terminal Access Control").
//!
//! The terminal belongs to at most one session; of its process groups one is in the foreground. The others are stopped by
//! a signal when they read, and when they write or change something if it is so set, unless they ignore or block the
//! signal.

use core::sync::atomic::{AtomicU32, Ordering};

use super::input::send_to_foreground;
use crate::errno::Errno;
use crate::process::signal::{Info, Signal};
use crate::process::{self, Process};

/// The session whose terminal it is; 0 for nobody's.
static SESSION: AtomicU32 = AtomicU32::new(0);
/// The process group in the foreground; 0 for none.
static FOREGROUND: AtomicU32 = AtomicU32::new(0);

/// The process group in the foreground.
pub fn foreground() -> Option<u32> {
    Some(FOREGROUND.load(Ordering::Relaxed)).filter(|&group| group != 0)
}

/// Whether the terminal is that of `process`.
pub fn is_terminal_of(process: &Process) -> bool {
    process.session() == SESSION.load(Ordering::Relaxed)
}

/// The session whose terminal it is, if it is the caller's.
///
/// # Errors
/// `ENOTTY`.
pub(super) fn own_session() -> Result<u32, Errno> {
    let process = process::this();
    if is_terminal_of(&process) { Ok(process.session()) } else { Err(Errno::ENOTTY) }
}

/// Gives the terminal to the session that the caller leads; with `steal` also if it is another's.
///
/// # Errors
/// `EPERM`: the caller leads no session, or the terminal is taken.
pub(super) fn acquire(steal: bool) -> Result<(), Errno> {
    let process = process::this();
    if process.session() != process.pid() {
        return Err(Errno::EPERM);
    }
    let owner = SESSION.load(Ordering::Relaxed);
    if owner == process.session() {
        return Ok(());
    }
    let expected = if steal { owner } else { 0 };
    SESSION
        .compare_exchange(expected, process.session(), Ordering::Relaxed, Ordering::Relaxed)
        .map_err(|_| Errno::EPERM)?;
    FOREGROUND.store(process.group(), Ordering::Relaxed);
    Ok(())
}

/// The leader of a session gives up the terminal, or has ended: the foreground is told, and the terminal is nobody's.
pub fn release(session: u32) {
    if SESSION.load(Ordering::Relaxed) != session {
        return;
    }
    for signal in [Signal::SIGHUP, Signal::SIGCONT] {
        send_to_foreground(signal);
    }
    FOREGROUND.store(0, Ordering::Relaxed);
    SESSION.store(0, Ordering::Relaxed);
}

/// Brings a group of the caller's session to the foreground.
///
/// # Errors
/// `ENOTTY`, `EPERM` for a group of another session; the caller may be stopped before.
pub(super) fn set_foreground(group: u32) -> Result<(), Errno> {
    let session = own_session()?;
    check_background(Signal::SIGTTOU)?;
    if !process::exists(|process| process.group() == group) {
        return Err(Errno::ESRCH);
    }
    if !process::exists(|process| process.group() == group && process.session() == session) {
        return Err(Errno::EPERM);
    }
    FOREGROUND.store(group, Ordering::Relaxed);
    Ok(())
}

/// Stops the caller's group by `signal` if it is in the background: `SIGTTIN` before reading, `SIGTTOU` before changing
/// something or, where that is set, writing.
///
/// # Errors
/// `RESTART` when the group is stopped; `EIO` when nobody could continue it, or for a reader that ignores the signal.
pub(super) fn check_background(signal: Signal) -> Result<(), Errno> {
    let process = process::this();
    let Some(foreground) = foreground() else { return Ok(()) };
    let group = process.group();
    if !is_terminal_of(&process) || group == foreground {
        return Ok(());
    }
    let is_deaf = process.with_signals(|signals| signals.mask().contains(signal) || signals.action(signal).is_ignore());
    match (is_deaf, signal) {
        (true, Signal::SIGTTIN) => return Err(Errno::EIO),
        (true, _) => return Ok(()),
        (false, _) if process::is_orphaned(group) => return Err(Errno::EIO),
        (false, _) => {}
    }
    process::send_to_group(group, signal, Info::Kernel);
    Err(Errno::RESTART)
}
