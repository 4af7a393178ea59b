//! The end of the machine's work.

use quire_drivers::debug_exit;
use quire_protocol::Verdict;

/// Switches the machine off, with a verdict for the launcher.
pub fn off(verdict: Verdict) -> ! {
    debug_exit::leave(verdict)
}
