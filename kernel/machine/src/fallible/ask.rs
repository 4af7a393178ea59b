//! The questions whether there is memory, before it is taken by a way that cannot fail.

use crate::arch::cpu;
use crate::heap;
use crate::no_memory::NoMemory;

/// Asks for `bytes` of the heap, for a program: what is kept back is not touched.
///
/// # Errors
/// [`NoMemory`]
pub fn ask(bytes: usize) -> Result<(), NoMemory> {
    if heap::may_allocate(bytes) { Ok(()) } else { Err(NoMemory) }
}

/// Does `work`, which takes small pieces of the heap by ways that cannot fail: they find them, because the caller has asked
/// for them, or they free memory in the end, as requests to a disk do, and what is kept for reclaim is open to them, too.
pub fn certain<R>(work: impl FnOnce() -> R) -> R {
    let _certain = heap::fail_nth::Suspended::begin();
    let note = |is_reclaiming| cpu::with_running(|running| running.set_reclaiming(is_reclaiming));
    let before = note(true);
    let result = work();
    note(before.unwrap_or(false));
    result
}
