//! What programs ask of the terminal by `ioctl(2)` (`tty_ioctl(4)`).

use linux_raw_sys::ioctl as requests;
use quire_machine::user::Word;

use super::job::{self, send_to_foreground};
use super::settings::Settings;
use super::state::TERMINAL;
use crate::errno::Errno;
use crate::process::control_block::this;
use crate::process::signal::Signal;

/// Does what `request` asks.
///
/// # Errors
/// `ENOTTY` for what there is not, and for what is only for those whose terminal it is; `EFAULT`, `EINVAL`, `EPERM`.
pub(super) fn control(request: u32, argument: Word) -> Result<u64, Errno> {
    match request {
        requests::TCGETS => {
            let settings = *TERMINAL.state.lock().discipline.settings();
            argument.pointer().write(settings.to_bytes())?;
        }
        requests::TCSETS | requests::TCSETSW | requests::TCSETSF => {
            job::check_background(Signal::SIGTTOU)?;
            let bytes = argument.pointer::<[u8; Settings::BYTES]>().read()?;
            let mut state = TERMINAL.state.lock();
            if request == requests::TCSETSF {
                state.discipline.forget_input();
            }
            state.discipline.set_settings(Settings::from_bytes(&bytes));
            drop(state);
            TERMINAL.changes.notify();
        }
        requests::TCFLSH => flush(argument)?,
        requests::TCXONC => stop_or_start(argument)?,
        // What is written is on its way at once, and a virtual line knows no break.
        requests::TCSBRK | requests::TCSBRKP => job::check_background(Signal::SIGTTOU)?,
        requests::TIOCGWINSZ => {
            let window = TERMINAL.state.lock().window;
            argument.pointer().write(window)?;
        }
        requests::TIOCSWINSZ => {
            let window = argument.pointer().read()?;
            let before = core::mem::replace(&mut TERMINAL.state.lock().window, window);
            if before != window {
                send_to_foreground(Signal::SIGWINCH);
            }
        }
        requests::TIOCGPGRP => {
            job::own_session()?;
            argument.pointer().write(job::foreground().unwrap_or(0))?;
        }
        requests::TIOCSPGRP => {
            let group: i32 = argument.pointer().read()?;
            job::set_foreground(u32::try_from(group).map_err(|_| Errno::EINVAL)?)?;
        }
        requests::TIOCGSID => argument.pointer().write(job::own_session()?)?,
        requests::TIOCSCTTY => job::acquire(argument.int() == 1)?,
        requests::TIOCNOTTY => {
            let session = job::own_session()?;
            if session == this().pid() {
                job::release(session);
            }
        }
        requests::FIONREAD => {
            let bytes = TERMINAL.state.lock().discipline.readable_bytes();
            argument.pointer().write(bytes as u32)?;
        }
        requests::TIOCOUTQ => argument.pointer().write(0_u32)?,
        requests::TIOCGSERIAL => argument.pointer().write(serial_port())?,
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

/// `TCFLSH`: 0 forgets what was typed, 1 what was written, of which nothing waits, 2 both.
fn flush(which: Word) -> Result<(), Errno> {
    job::check_background(Signal::SIGTTOU)?;
    match which.bits() {
        0 | 2 => TERMINAL.state.lock().discipline.forget_input(),
        1 => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// `TCXONC`: 0 stops output, 1 starts it; 2 and 3 would send stop and start, which the other side does not obey.
fn stop_or_start(which: Word) -> Result<(), Errno> {
    job::check_background(Signal::SIGTTOU)?;
    match which.bits() {
        stop @ (0 | 1) => TERMINAL.state.lock().discipline.set_stopped(stop == 0),
        2 | 3 => {}
        _ => return Err(Errno::EINVAL),
    }
    TERMINAL.changes.notify();
    Ok(())
}

/// `struct serial_struct` of the first serial port, by which programs tell a serial console from others.
fn serial_port() -> [u8; 72] {
    // Type (`PORT_16550A`), line, port, interrupt; of the rest, `xmit_fifo_size` and `baud_base`.
    let words: [(usize, u32); 6] = [(0, 4), (4, 0), (8, 0x3f8), (12, 4), (20, 16), (28, 115_200)];
    let mut bytes = [0; 72];
    for (place, word) in words {
        bytes[place..place + 4].copy_from_slice(&word.to_le_bytes());
    }
    bytes
}
