//! QEMU's `isa-debug-exit`: how the verdict leaves.

use quire_protocol::{DEBUG_EXIT_PORT, Verdict};
use x86_64::instructions::{hlt, interrupts, port::Port};

/// Makes QEMU exit with the verdict's status.
///
/// The exit is asynchronous under TCG, so this processor halts until it happens. Without the device it halts forever.
pub fn leave(verdict: Verdict) -> ! {
    interrupts::disable();
    // SAFETY: the port belongs to isa-debug-exit and nothing else; a write ends the machine and touches no memory.
    unsafe { Port::new(DEBUG_EXIT_PORT).write(verdict.port_value()) };
    loop {
        hlt();
    }
}
