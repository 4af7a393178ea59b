//! The log: lines on the serial console with time and subsystem, from the kernel's first instructions on.
//!
//! `log!("mm", "{} frames", n)` prints `[    0.012345] mm: 48128 frames`. Whole lines are written under one lock, so
//! lines of several threads do not mix. A panic takes the console by force: it never waits.

use core::fmt::{self, Write};

use quire_drivers::serial::Serial;

use crate::sync::{Rank, SpinLock};
use crate::task::time;

static CONSOLE: SpinLock<Option<Serial>> = SpinLock::new(Rank::Console, None);

/// Prints a line: the subsystem, then what `format!` would make of the rest.
#[macro_export]
macro_rules! log {
    ($subsystem:expr, $($argument:tt)*) => {
        $crate::log::line($subsystem, format_args!($($argument)*))
    };
}

/// Prints text as it is, for tables and the last line.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => {
        $crate::log::text(format_args!($($argument)*))
    };
}

/// Opens the console.
pub fn start() {
    *CONSOLE.lock() = open();
}

fn open() -> Option<Serial> {
    // SAFETY: COM1 is at its standard address on every machine that Quire boots on, and this module alone uses it; a
    // panic opens it a second time, when nobody else will write again.
    unsafe { Serial::open() }
}

/// Prints one line with time and `subsystem`.
pub fn line(subsystem: &str, arguments: fmt::Arguments<'_>) {
    let now = time::since_boot();
    let mut console = CONSOLE.lock();
    if let Some(console) = console.as_mut() {
        let _ = writeln!(console, "[{:5}.{:06}] {subsystem}: {arguments}", now.as_secs(), now.subsec_micros());
    }
}

/// Prints text as it is.
pub fn text(arguments: fmt::Arguments<'_>) {
    if let Some(console) = CONSOLE.lock().as_mut() {
        let _ = console.write_fmt(arguments);
    }
}

/// Prints a report without waiting for the console's lock, for a panic.
pub fn report(arguments: fmt::Arguments<'_>) {
    if let Some(mut console) = open() {
        let _ = writeln!(console, "{arguments}");
    }
}
