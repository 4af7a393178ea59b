//! The kernel's log, for `dmesg`.

use alloc::string::String;
use core::sync::atomic::{AtomicI32, Ordering};

use linux_raw_sys::general as linux;
use quire_machine::fallible::{Lossy, TryText};
use quire_machine::log::{self, Setting};
use quire_machine::log_ring::{BYTES, Kept, TEXT_MAX};

use super::arguments::{Arguments, Calls, Outcome, require_superuser};
use crate::errno::Errno;

pub(super) const CALLS: Calls = &[(linux::__NR_syslog, syslog)];

/// What `syslog(2)` can be asked for.
const READ_ALL: u32 = 3;
const READ_CLEAR: u32 = 4;
const CONSOLE_OFF: u32 = 6;
const CONSOLE_ON: u32 = 7;
const CONSOLE_LEVEL: u32 = 8;
const SIZE_UNREAD: u32 = 9;
const SIZE_BUFFER: u32 = 10;

/// What can be asked for as the console's level.
const LEVELS: core::ops::RangeInclusive<i32> = 1..=8;

/// The level before the console was turned off; [`NONE`] while it is not (Linux: `saved_console_loglevel`).
static SAVED: AtomicI32 = AtomicI32::new(NONE);
const NONE: i32 = -1;

fn syslog(arguments: &Arguments<'_>) -> Outcome {
    let [action, address, length, ..] = arguments.words();
    let (action, length) = (action.low(), length.int());
    if action != READ_ALL && action != SIZE_BUFFER {
        require_superuser()?;
    }
    match action {
        // Nothing is ever cleared: the oldest lines go by themselves.
        READ_ALL | READ_CLEAR if address.is_zero() || length < 0 => Err(Errno::EINVAL),
        READ_ALL | READ_CLEAR => {
            let lines = kept_lines()?;
            let newest = &lines.as_bytes()[lines.len().saturating_sub(length.unsigned_abs() as usize)..];
            address.pointer().write_bytes(newest)?;
            Ok(newest.len() as u64)
        }
        SIZE_UNREAD => Ok(kept_lines()?.len() as u64),
        SIZE_BUFFER => Ok(BYTES as u64),
        CONSOLE_OFF => {
            let before = Setting::Console.set(Setting::Minimum.get());
            // Once it is off, what is to come back is known already.
            let _ = SAVED.compare_exchange(NONE, before, Ordering::Relaxed, Ordering::Relaxed);
            Ok(0)
        }
        CONSOLE_ON => {
            let saved = SAVED.swap(NONE, Ordering::Relaxed);
            if saved != NONE {
                Setting::Console.set(saved);
            }
            Ok(0)
        }
        CONSOLE_LEVEL => {
            if !LEVELS.contains(&length) {
                return Err(Errno::EINVAL);
            }
            Setting::Console.set(length.max(Setting::Minimum.get()));
            SAVED.store(NONE, Ordering::Relaxed);
            Ok(0)
        }
        // Opening, closing, clearing: nothing to do.
        0 | 1 | 5 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// The lines as Linux prints them, with priority and time.
fn kept_lines() -> Result<String, Errno> {
    let mut lines = String::new();
    let mut text = [0; TEXT_MAX];
    let mut next = 0;
    while let Some(Kept { number, time, level, length }) = log::kept_line(next, &mut text) {
        let (seconds, micros) = (time.as_secs(), time.subsec_micros());
        lines.try_format(format_args!("<{level}>[{seconds:5}.{micros:06}] {}\n", Lossy(&text[..length])))?;
        next = number + 1;
    }
    Ok(lines)
}
