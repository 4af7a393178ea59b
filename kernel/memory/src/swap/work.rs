//! The thread that does what the swap core puts off.

use quire_machine::AllocationError;
use quire_machine::task;

use super::core::SWAP;
use super::machine;
use super::swapoff::AddressSpaces;

/// Starts the thread that does what swap puts off because a task that causes it cannot sleep.
///
/// # Errors
/// [`AllocationError`] when there is no memory for the thread.
pub(crate) fn start() -> Result<(), AllocationError> {
    let work = || {
        machine::WORK.whenever(|| {
            SWAP.do_pending_work();
            SWAP.return_refused(&mut AddressSpaces::default());
        });
    };
    task::spawn("swap-work", work).map(drop)
}
