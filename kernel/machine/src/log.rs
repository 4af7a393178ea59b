//! The log: lines on the serial console with time and subsystem, from the kernel's first instructions on.
//!
//! `log!("mm", "{} frames", n)` prints `[    0.012345] mm: 48128 frames`. Whole lines are written under one lock, so
//! lines of several threads do not mix. A panic takes the console by force: it never waits. The last lines are kept in a
//! [`Ring`], for `/dev/kmsg`.

#![expect(clippy::disallowed_methods, reason = "the console and the ring take no memory")]

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;

pub use quire_swap::RateLimit;

use crate::arch::console::{self, Console as Port};
use crate::clock;
use crate::log_ring::Ring;
use crate::sync::{Rank, SpinLock};

static CONSOLE: SpinLock<Console> = SpinLock::new(Rank::Console, Console { port: None, ring: Ring::new() });

/// The level of every line: information (Linux: `KERN_INFO`).
pub const LEVEL: u8 = 6;

/// Lines whose level is lower are shown (Linux: `console_loglevel`, and its default).
static CONSOLE_LEVEL: AtomicU8 = AtomicU8::new(7);

struct Console {
    port: Option<Port>,
    ring: Ring,
}

/// Where the text of a line goes.
struct Line<'a>(&'a mut Console);

impl Console {
    /// The port, if lines are shown there.
    fn shown(&mut self) -> Option<&mut Port> {
        self.port.as_mut().filter(|_| LEVEL < console_level())
    }
}

impl Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.ring.push(text.as_bytes());
        self.0.shown().map_or(Ok(()), |port| port.write_str(text))
    }
}

/// Prints a line: the subsystem, then what `format!` would make of the rest.
#[macro_export]
macro_rules! log {
    ($subsystem:expr, $($argument:tt)*) => {
        $crate::log::line($subsystem, format_args!($($argument)*))
    };
}

/// As [`log!`], for what a program can cause again and again: ten lines in five seconds for each place in the code, then none
/// until these have passed (Linux: `printk_ratelimited`).
#[macro_export]
macro_rules! log_limited {
    ($subsystem:expr, $($argument:tt)*) => {{
        static LIMIT: $crate::log::RateLimit = $crate::log::RateLimit::new();
        $crate::log::line_if_few(&LIMIT, $subsystem, format_args!($($argument)*));
    }};
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
    CONSOLE.lock().port = console::open();
}

/// Lines whose level is lower than this are shown on the console; all are kept.
pub fn console_level() -> u8 {
    CONSOLE_LEVEL.load(Ordering::Relaxed)
}

/// Sets it, and returns what it was.
pub fn set_console_level(level: u8) -> u8 {
    CONSOLE_LEVEL.swap(level, Ordering::Relaxed)
}

/// Prints one line with time and `subsystem`.
pub fn line(subsystem: &str, arguments: fmt::Arguments<'_>) {
    let now = clock::since_boot();
    let mut console = CONSOLE.lock();
    if let Some(port) = console.shown() {
        let _ = write!(port, "[{:5}.{:06}] ", now.as_secs(), now.subsec_micros());
    }
    console.ring.begin(now);
    let _ = write!(Line(&mut console), "{subsystem}: {arguments}");
    console.ring.end();
    if let Some(port) = console.shown() {
        let _ = port.write_str("\n");
    }
}

/// Prints one line unless there were too many of its kind lately; the next that is printed is told how many were not.
pub fn line_if_few(limit: &RateLimit, subsystem: &str, arguments: fmt::Arguments<'_>) {
    let quire_swap::Line::Written { suppressed } = limit.line(clock::since_boot()) else { return };
    if suppressed > 0 {
        line(subsystem, format_args!("{suppressed} lines suppressed"));
    }
    line(subsystem, arguments);
}

/// Copies the first line that is still kept of those with number `from` or more; returns its number, its time and its
/// length.
pub fn kept_line(from: u64, text: &mut [u8]) -> Option<(u64, Duration, usize)> {
    CONSOLE.lock().ring.line(from, text)
}

/// Prints text as it is.
pub fn text(arguments: fmt::Arguments<'_>) {
    if let Some(port) = &mut CONSOLE.lock().port {
        let _ = port.write_fmt(arguments);
    }
}

/// Sends bytes as they are.
pub fn write_bytes(bytes: &[u8]) {
    if let Some(port) = &mut CONSOLE.lock().port {
        port.send(bytes);
    }
}

/// Calls `take` with at most `room` bytes that have arrived.
pub fn received(room: usize, mut take: impl FnMut(u8)) {
    if let Some(port) = &mut CONSOLE.lock().port {
        core::iter::from_fn(|| port.receive()).take(room).for_each(&mut take);
    }
}

/// Prints a report without waiting for the console's lock, for a panic.
pub fn report(arguments: fmt::Arguments<'_>) {
    if let Some(mut console) = console::open() {
        let _ = writeln!(console, "{arguments}");
    }
}
