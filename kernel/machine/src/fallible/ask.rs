//! The questions whether there is memory, before it is taken by a way that cannot fail.

#[cfg(target_os = "none")]
use crate::heap;
use crate::no_memory::NoMemory;

/// Asks for `bytes` of the heap, for a program: what is kept back is not touched.
///
/// # Errors
/// [`NoMemory`]
pub fn ask(bytes: usize) -> Result<(), NoMemory> {
    #[cfg(target_os = "none")]
    if !heap::may_allocate(bytes) {
        return Err(NoMemory);
    }
    let _ = bytes;
    Ok(())
}

/// Does `work`, which takes small pieces of the heap by ways that cannot fail: they find them, because the caller has asked
/// for them and the heap keeps more than them back.
pub fn certain<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_os = "none")]
    let _certain = heap::fail_nth::Suspended::begin();
    work()
}
