//! Heap allocation that may fail: the machine is asked first, and the allocator may still refuse.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::machine::Machine;

/// Neither the machine nor the heap had memory for what was needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// An empty vector with room for exactly `capacity` values.
///
/// # Errors
/// [`NoMemory`].
pub fn vector<M: Machine, T>(capacity: usize) -> Result<Vec<T>, NoMemory> {
    let bytes = capacity.checked_mul(size_of::<T>()).ok_or(NoMemory)?;
    if !M::may_allocate(bytes) {
        return Err(NoMemory);
    }
    let mut vector = Vec::new();
    vector.try_reserve_exact(capacity).map_err(|_| NoMemory)?;
    Ok(vector)
}

/// A slice of `length` values made by `make` from their indexes.
///
/// # Errors
/// [`NoMemory`].
pub fn slice<M: Machine, T>(length: usize, make: impl FnMut(usize) -> T) -> Result<Box<[T]>, NoMemory> {
    let mut values = vector::<M, T>(length)?;
    values.extend((0..length).map(make));
    Ok(values.into_boxed_slice())
}

/// A copy of a text.
///
/// # Errors
/// [`NoMemory`].
pub fn text<M: Machine>(text: &str) -> Result<Box<str>, NoMemory> {
    let mut copy = vector::<M, u8>(text.len())?;
    copy.extend_from_slice(text.as_bytes());
    String::from_utf8(copy).map(String::into_boxed_str).map_err(|_| NoMemory)
}

/// Makes room in a text for so many bytes more.
///
/// # Errors
/// [`NoMemory`].
pub fn make_room<M: Machine>(text: &mut String, bytes: usize) -> Result<(), NoMemory> {
    if text.capacity() - text.len() >= bytes {
        return Ok(());
    }
    // It doubles, so that this is seldom asked.
    if !M::may_allocate(2 * text.capacity() + bytes) {
        return Err(NoMemory);
    }
    text.try_reserve(bytes).map_err(|_| NoMemory)
}

/// An array of values made by `make` from their indexes.
///
/// # Errors
/// [`NoMemory`].
pub fn array<M: Machine, T, const N: usize>(make: impl FnMut(usize) -> T) -> Result<Box<[T; N]>, NoMemory> {
    slice::<M, T>(N, make)?.try_into().map_err(|_| NoMemory)
}

/// A shared value. Only the machine's word keeps it from failing, so it is for `swapon`, not for the way out.
///
/// # Errors
/// [`NoMemory`].
pub fn arc<M: Machine, T>(value: T) -> Result<Arc<T>, NoMemory> {
    if M::may_allocate(size_of::<T>()) { Ok(Arc::new(value)) } else { Err(NoMemory) }
}
