//! What programs ask of the terminal by `ioctl(2)` (`tty_ioctl(4)`).

use linux_raw_sys::ioctl as requests;

use super::input::send_to_foreground;
use super::settings::Settings;
use super::{TERMINAL, job};
use crate::arch::user;
use crate::errno::Errno;
use crate::process;
use crate::process::signal::Signal;

/// Does what `request` asks.
///
/// # Errors
/// `ENOTTY` for what there is not, and for what is only for those whose terminal it is; `EFAULT`, `EINVAL`, `EPERM`.
pub(super) fn control(request: u32, argument: u64) -> Result<u64, Errno> {
    match request {
        requests::TCGETS => {
            let settings = *TERMINAL.state.lock().discipline.settings();
            user::write(argument, &settings.to_bytes())?;
        }
        requests::TCSETS | requests::TCSETSW | requests::TCSETSF => {
            job::check_background(Signal::SIGTTOU)?;
            let mut bytes = [0; Settings::BYTES];
            user::read(argument, &mut bytes)?;
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
            user::write(argument, window.map(u16::to_le_bytes).as_flattened())?;
        }
        requests::TIOCSWINSZ => {
            let mut bytes = [0; 8];
            user::read(argument, &mut bytes)?;
            let (words, _) = bytes.as_chunks::<2>();
            let window = core::array::from_fn(|index| u16::from_le_bytes(words[index]));
            let before = core::mem::replace(&mut TERMINAL.state.lock().window, window);
            if before != window {
                send_to_foreground(Signal::SIGWINCH);
            }
        }
        requests::TIOCGPGRP => {
            job::own_session()?;
            write_number(argument, job::foreground().unwrap_or(0))?;
        }
        requests::TIOCSPGRP => {
            let mut bytes = [0; 4];
            user::read(argument, &mut bytes)?;
            job::set_foreground(u32::try_from(i32::from_le_bytes(bytes)).map_err(|_| Errno::EINVAL)?)?;
        }
        requests::TIOCGSID => write_number(argument, job::own_session()?)?,
        requests::TIOCSCTTY => job::acquire(argument == 1)?,
        requests::TIOCNOTTY => {
            let session = job::own_session()?;
            if session == process::this().pid() {
                job::release(session);
            }
        }
        requests::FIONREAD => {
            let bytes = TERMINAL.state.lock().discipline.readable_bytes();
            write_number(argument, bytes as u32)?;
        }
        requests::TIOCOUTQ => write_number(argument, 0)?,
        requests::TIOCGSERIAL => user::write(argument, &serial_port())?,
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

fn write_number(address: u64, number: u32) -> Result<(), Errno> {
    Ok(user::write(address, &number.to_le_bytes())?)
}

/// `TCFLSH`: 0 forgets what was typed, 1 what was written, of which nothing waits, 2 both.
fn flush(which: u64) -> Result<(), Errno> {
    job::check_background(Signal::SIGTTOU)?;
    match which {
        0 | 2 => TERMINAL.state.lock().discipline.forget_input(),
        1 => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// `TCXONC`: 0 stops output, 1 starts it; 2 and 3 would send stop and start, which nobody on the other side obeys.
fn stop_or_start(which: u64) -> Result<(), Errno> {
    job::check_background(Signal::SIGTTOU)?;
    match which {
        0 | 1 => TERMINAL.state.lock().discipline.set_stopped(which == 0),
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
