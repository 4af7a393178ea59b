//! The end of a kernel that has met a bug: a report on the console, then a verdict.

use core::fmt::{self, Display as _};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use quire_drivers::debug_exit;
use quire_protocol::Verdict;

use crate::arch::interrupts;
use crate::log;
use crate::stop;
use crate::task;

static REPORTING: AtomicBool = AtomicBool::new(false);

/// Reports the panic and leaves.
pub fn report(info: &PanicInfo<'_>) -> ! {
    interrupts::disable();
    // A panic inside the report must not report itself for ever.
    if !REPORTING.swap(true, Ordering::Relaxed) {
        stop::note_panic(fmt::from_fn(|f| match info.location() {
            Some(location) => write!(f, "{}\n  at {location}", info.message()),
            None => info.message().fmt(f),
        }));
        log::report(format_args!("\nkernel panic: {}", info.message()));
        if let Some(location) = info.location() {
            log::report(format_args!("  at {location}"));
        }
        if let Some(thread) = task::scheduler::try_current() {
            log::report(format_args!("  in thread {thread}"));
        }
    }
    debug_exit::leave(Verdict::Panic)
}
