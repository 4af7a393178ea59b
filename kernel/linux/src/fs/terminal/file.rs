//! The terminal as a file: `/dev/console`, `/dev/ttyS0`, and `/dev/tty` for those whose terminal it is.

use alloc::sync::Arc;
use core::any::Any;
use core::time::Duration;

use linux_raw_sys::general as linux;
use quire_machine::clock;
use quire_machine::fallible;
use quire_machine::log;
use quire_machine::user::Word;

use super::state::{State, TERMINAL};
use super::{control, job};
use crate::errno::Errno;
use crate::fs::changes;
use crate::fs::node::{Device, File, Wait};
use crate::fs::poll::Ready;
use crate::fs::position::Position;
use crate::process::control_block::current;
use crate::process::signal::Signal;

/// The terminal of the process that opens it.
const OWN: Device = Device { major: 5, minor: 0 };
/// Where the kernel's messages go, too; it never becomes a session's terminal by being opened.
const CONSOLE: Device = Device { major: 5, minor: 1 };

/// As much is written before others get their turn.
const PIECE: usize = 256;

struct OpenTerminal;

/// Opens the terminal by the number of one of its files; `flags` are `open(2)`'s. It becomes the terminal of a session
/// that has none if the session's leader opens it without `O_NOCTTY`.
///
/// # Errors
/// `ENXIO` for `/dev/tty` when the caller has no terminal.
pub fn open(device: Device, flags: u32) -> Result<Arc<dyn File>, Errno> {
    if let Some(process) = current() {
        if device == OWN && !job::is_terminal_of(&process) {
            return Err(Errno::ENXIO);
        }
        if device != CONSOLE && flags & linux::O_NOCTTY == 0 {
            // A process that leads no session, or finds it taken, opens it all the same.
            let _ = job::acquire(false);
        }
    }
    Ok(fallible::shared(OpenTerminal)?)
}

/// What a read does when there is nothing to read.
enum Nothing {
    /// It returns.
    Return,
    /// It waits until this time since boot, or for ever.
    Wait(Option<Duration>),
}

impl State {
    /// For a read that began at `began` (`termios(3)`, "Canonical and noncanonical mode").
    fn when_nothing(&self, began: Duration) -> Nothing {
        let settings = self.discipline.settings();
        if settings.edits_lines() {
            return Nothing::Wait(None);
        }
        match (settings.least(), settings.patience()) {
            (0, Duration::ZERO) => Nothing::Return,
            (_, Duration::ZERO) => Nothing::Wait(None),
            (0, patience) => Nothing::Wait(Some(began + patience)),
            // The time runs from one byte to the next, and before the first there is none.
            (_, _) if self.discipline.readable_bytes() == 0 => Nothing::Wait(None),
            (_, patience) => Nothing::Wait(Some(self.typed.max(began) + patience)),
        }
    }
}

impl File for OpenTerminal {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, _: Position, buffer: &mut [u8], wait: Wait) -> Result<usize, Errno> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let began = clock::since_boot();
        loop {
            job::check_background(Signal::SIGTTIN)?;
            let seen = changes::seen();
            let mut state = TERMINAL.state.lock();
            if state.discipline.can_read(buffer.len()) {
                return Ok(state.discipline.read(buffer));
            }
            let deadline = match state.when_nothing(began) {
                Nothing::Wait(deadline) if deadline.is_none_or(|deadline| clock::since_boot() < deadline) => deadline,
                Nothing::Wait(_) | Nothing::Return => return Ok(state.discipline.read(buffer)),
            };
            drop(state);
            if wait == Wait::Never {
                return Err(Errno::EAGAIN);
            }
            changes::wait_for_any(seen, deadline).map_err(|_| Errno::RESTART)?;
        }
    }

    fn write(&self, _: Position, bytes: &[u8], wait: Wait) -> Result<usize, Errno> {
        let mut written = 0;
        for piece in bytes.chunks(PIECE) {
            match write_piece(piece, wait) {
                Ok(()) => written += piece.len(),
                Err(_) if written > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn ready(&self) -> Ready {
        let state = TERMINAL.state.lock();
        let mut ready = Ready::default();
        if state.discipline.can_read(usize::MAX) {
            ready |= Ready::IN;
        }
        if !state.discipline.is_stopped() {
            ready |= Ready::OUT;
        }
        ready
    }

    fn control(&self, request: u32, argument: Word) -> Result<u64, Errno> {
        control::control(request, argument)
    }
}

fn write_piece(piece: &[u8], wait: Wait) -> Result<(), Errno> {
    loop {
        let seen = TERMINAL.changes.seen();
        let mut state = TERMINAL.state.lock();
        let stops_background = state.discipline.settings().has_local(linux::TOSTOP);
        if stops_background {
            drop(state);
            job::check_background(Signal::SIGTTOU)?;
            state = TERMINAL.state.lock();
        }
        if !state.discipline.is_stopped() {
            state.discipline.write(piece, &mut log::write_bytes);
            return Ok(());
        }
        drop(state);
        if wait == Wait::Never {
            return Err(Errno::EAGAIN);
        }
        TERMINAL.changes.wait(seen)?;
    }
}
