//! The log: lines on the serial console with time and subsystem, from the kernel's first instructions on.
//!
//! `log!("mm", "{} frames", n)` prints `[    0.012345] mm: 48128 frames`. Whole lines are written under one lock, so
//! lines of several threads do not mix. A panic takes the console by force: it never waits. The last lines are kept in a
//! [`Ring`], for `/dev/kmsg`.

#![expect(clippy::disallowed_methods, reason = "the console and the ring take no memory")]

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicI32, Ordering};

pub use quire_swap::RateLimit;

use crate::arch::console::{self, Console as Port};
use crate::clock;
use crate::log_ring::{Kept, Ring};
use crate::sync::{Rank, SpinLock};

static CONSOLE: SpinLock<Console> = SpinLock::new(Rank::Console, Console { port: None, ring: Ring::new() });

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Level {
    /// Something was lost, or the machine cannot do what it was asked (Linux: `KERN_ERR`).
    Error = 3,
    /// Something will be lost if it goes on (Linux: `KERN_WARNING`).
    Warning = 4,
    /// All else (Linux: `KERN_INFO`).
    Info = 6,
}

/// What decides which lines are shown (Linux: `console_printk`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Lines whose level is lower are shown on the console; all are kept.
    Console,
    /// The level of lines that name none. The kernel's all do.
    Message,
    /// What the console's is lowered to, at most, when it is turned off.
    Minimum,
    /// What the console's is in the beginning.
    Default,
}

impl Setting {
    /// All, in the order of `/proc/sys/kernel/printk`.
    pub const ALL: [Self; 4] = [Self::Console, Self::Message, Self::Minimum, Self::Default];

    /// What it is. Linux takes any number, and so do they.
    pub fn get(self) -> i32 {
        SETTINGS[self as usize].load(Ordering::Relaxed)
    }

    /// Sets it, and returns what it was.
    pub fn set(self, level: i32) -> i32 {
        SETTINGS[self as usize].swap(level, Ordering::Relaxed)
    }
}

/// Linux's defaults.
static SETTINGS: [AtomicI32; Setting::ALL.len()] =
    [AtomicI32::new(7), AtomicI32::new(4), AtomicI32::new(1), AtomicI32::new(7)];

struct Console {
    port: Option<Port>,
    ring: Ring,
}

/// Where the text of a line goes.
struct Line<'a>(&'a mut Console, Level);

impl Console {
    /// The port, if lines of that level are shown there.
    fn shown(&mut self, level: Level) -> Option<&mut Port> {
        self.port.as_mut().filter(|_| i32::from(level as u8) < Setting::Console.get())
    }
}

impl Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.ring.push(text.as_bytes());
        self.0.shown(self.1).map_or(Ok(()), |port| port.write_str(text))
    }
}

/// Prints a line: the subsystem, then what `format!` would make of the rest.
#[macro_export]
macro_rules! log {
    ($subsystem:expr, $($argument:tt)*) => {
        $crate::log::line($crate::log::Level::Info, $subsystem, format_args!($($argument)*))
    };
}

/// As [`log!`], for what `quiet` does not hide.
#[macro_export]
macro_rules! log_error {
    ($subsystem:expr, $($argument:tt)*) => {
        $crate::log::line($crate::log::Level::Error, $subsystem, format_args!($($argument)*))
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

/// Prints one line with time and `subsystem`.
pub fn line(level: Level, subsystem: &str, arguments: fmt::Arguments<'_>) {
    let now = clock::since_boot();
    let mut console = CONSOLE.lock();
    if let Some(port) = console.shown(level) {
        let _ = write!(port, "[{:5}.{:06}] ", now.as_secs(), now.subsec_micros());
    }
    console.ring.begin(now, level as u8);
    let _ = write!(Line(&mut console, level), "{subsystem}: {arguments}");
    console.ring.end();
    if let Some(port) = console.shown(level) {
        let _ = port.write_str("\n");
    }
}

/// Prints one line unless there were too many of its kind lately; the next that is printed is told how many were not.
pub fn line_if_few(limit: &RateLimit, subsystem: &str, arguments: fmt::Arguments<'_>) {
    let quire_swap::Line::Written { suppressed } = limit.line(clock::since_boot()) else { return };
    if suppressed > 0 {
        line(Level::Info, subsystem, format_args!("{suppressed} lines suppressed"));
    }
    line(Level::Info, subsystem, arguments);
}

/// Copies the first line that is still kept of those with number `from` or more.
pub fn kept_line(from: u64, text: &mut [u8]) -> Option<Kept> {
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
#[cfg(target_os = "none")]
pub(crate) fn report(arguments: fmt::Arguments<'_>) {
    if let Some(mut console) = console::open() {
        let _ = writeln!(console, "{arguments}");
    }
}
