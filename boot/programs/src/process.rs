//! Children: a function in a process of its own, and how it ended.

use std::{
    fmt, io,
    io::Write,
    panic::{self, AssertUnwindSafe},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        signal::{SigHandler, Signal, kill, signal},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Killed(Signal),
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(formatter, "exit status {status}"),
            Self::Killed(signal) => write!(formatter, "{signal}"),
        }
    }
}

/// A child that has not been waited for. It is not ended with this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Child(pub(crate) Pid);

impl Child {
    /// Starts a process that does `work` and exits with what it returns.
    pub(crate) fn start(work: impl FnOnce() -> i32) -> nix::Result<Self> {
        // What is buffered would be written twice. Nobody reads it if this fails.
        let _ = io::stdout().flush();
        // SAFETY: the program has one thread, so the child's copy of memory is in no thread's hands.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self(child)),
            ForkResult::Child => {
                // A panic must not run on into what the parent was doing.
                let status = panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(101);
                let _ = io::stdout().flush();
                exit(status)
            }
        }
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> nix::Result<End> {
        loop {
            if let Some(end) = self.look(WaitPidFlag::empty())? {
                return Ok(end);
            }
        }
    }

    /// How it ended, if it has.
    pub(crate) fn has_ended(self) -> nix::Result<Option<End>> {
        self.look(WaitPidFlag::WNOHANG)
    }

    fn look(self, flags: WaitPidFlag) -> nix::Result<Option<End>> {
        match waitpid(self.0, Some(flags)) {
            Ok(WaitStatus::Exited(_, status)) => Ok(Some(End::Exited(status))),
            Ok(WaitStatus::Signaled(_, signal, _)) => Ok(Some(End::Killed(signal))),
            Ok(_) | Err(Errno::EINTR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(self, signal: Signal) -> nix::Result<()> {
        kill(self.0, signal)
    }
}

/// Waits for the end of any child, or with `WNOHANG` looks for one that has ended: its number, and its exit status or, as a
/// shell does, 128 and the number of the signal that ended it. Real-time signals, which any process may send, have no name in
/// [`End`].
pub(crate) fn wait_for_any(flags: WaitPidFlag) -> nix::Result<Option<(Pid, i32)>> {
    let mut status = 0;
    // SAFETY: the status is an integer.
    let pid = Errno::result(unsafe { libc::waitpid(-1, &raw mut status, flags.bits()) })?;
    let status = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
    Ok((pid != 0).then_some((Pid::from_raw(pid), status)))
}

/// Runs `work` in a process of its own, in which no signal is handled, and returns how that ended.
pub(crate) fn end_of(work: impl FnOnce() -> i32) -> nix::Result<End> {
    let own = || {
        for handled in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGPIPE] {
            // SAFETY: the default action runs no code of this program.
            if unsafe { signal(handled, SigHandler::SigDfl) }.is_err() {
                return 102;
            }
        }
        work()
    };
    Child::start(own)?.wait()
}

/// Ends this process if `parent` is not its parent any more: that was ended, and could not call it to its end.
pub(crate) fn end_without(parent: Pid) {
    if Pid::parent() != parent {
        exit(1)
    }
}

/// Ends this process at once, without what the parent left to be done at its end.
pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(status) }
}
