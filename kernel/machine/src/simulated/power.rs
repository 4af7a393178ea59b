//! The end of the machine's work.

use quire_protocol::Verdict;

/// Ends the test: the machine was switched off.
///
/// # Panics
/// Always.
pub fn off(verdict: Verdict) -> ! {
    panic!("the machine was switched off: {verdict:?}")
}
