//! Heap allocation that may fail: the machine is asked first, and the allocator may still refuse.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use crate::machine::Machine;

/// Neither the machine nor the heap had memory for what was needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// An empty vector with a capacity of exactly `capacity` values.
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
pub fn slice<M: Machine, T>(length: usize, mut make: impl FnMut(usize) -> T) -> Result<Box<[T]>, NoMemory> {
    try_slice::<M, T, NoMemory>(length, |index| Ok(make(index)))
}

/// As [`slice()`], of values that may take memory of their own.
///
/// # Errors
/// [`NoMemory`], and what `make` returns.
#[expect(clippy::disallowed_methods, reason = "the vector is as long as its capacity")]
pub fn try_slice<M: Machine, T, E: From<NoMemory>>(
    length: usize,
    make: impl FnMut(usize) -> Result<T, E>,
) -> Result<Box<[T]>, E> {
    let mut values = vector::<M, T>(length)?;
    (0..length).map(make).try_for_each(|value| value.map(|value| push(&mut values, value)))?;
    Ok(values.into_boxed_slice())
}

/// Appends to a vector that has the capacity for it.
#[expect(clippy::disallowed_methods, reason = "there is capacity")]
pub fn push<T>(vector: &mut Vec<T>, value: T) {
    debug_assert!(vector.len() < vector.capacity(), "a vector is appended to beyond its capacity");
    vector.push(value);
}

/// A copy of some values.
///
/// # Errors
/// [`NoMemory`].
#[expect(clippy::disallowed_methods, reason = "there is capacity")]
pub fn copy<M: Machine, T: Clone>(values: &[T]) -> Result<Vec<T>, NoMemory> {
    let mut copy = vector::<M, T>(values.len())?;
    copy.extend_from_slice(values);
    Ok(copy)
}

/// A copy of a text.
///
/// # Errors
/// [`NoMemory`].
#[expect(clippy::disallowed_methods, reason = "the vector is as long as its capacity")]
pub fn text<M: Machine>(text: &str) -> Result<Box<str>, NoMemory> {
    String::from_utf8(copy::<M, u8>(text.as_bytes())?).map(String::into_boxed_str).map_err(|_| NoMemory)
}

/// A text that grows while there is memory.
pub struct Text<M>(String, PhantomData<M>);

impl<M> Default for Text<M> {
    fn default() -> Self {
        Self(String::new(), PhantomData)
    }
}

impl<M: Machine> Text<M> {
    /// Appends formatted text; some of it may be there after a failure.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn print(&mut self, text: fmt::Arguments<'_>) -> Result<(), NoMemory> {
        fmt::write(self, text).map_err(|fmt::Error| NoMemory)
    }

    /// What was written.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl<M: Machine> fmt::Write for Text<M> {
    #[expect(clippy::disallowed_methods, reason = "the capacity has been reserved")]
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let Self(text, _) = self;
        if text.capacity() - text.len() < more.len() {
            // It may double, with both copies there for a moment.
            if !M::may_allocate(2 * text.capacity() + more.len()) {
                return Err(fmt::Error);
            }
            text.try_reserve(more.len()).map_err(|_| fmt::Error)?;
        }
        text.push_str(more);
        Ok(())
    }
}

/// Formatted text.
///
/// # Errors
/// [`NoMemory`].
pub fn format<M: Machine>(text: fmt::Arguments<'_>) -> Result<String, NoMemory> {
    let mut out = Text::<M>::default();
    out.print(text)?;
    Ok(out.into_string())
}

/// An array of values made by `make` from their indexes.
///
/// # Errors
/// [`NoMemory`].
pub fn array<M: Machine, T, const N: usize>(make: impl FnMut(usize) -> T) -> Result<Box<[T; N]>, NoMemory> {
    slice::<M, T>(N, make)?.try_into().map_err(|_| NoMemory)
}

/// What `make` makes of at most `bytes` by ways that cannot be refused.
///
/// # Errors
/// [`NoMemory`].
pub fn allowed<M: Machine, T>(bytes: usize, make: impl FnOnce() -> T) -> Result<T, NoMemory> {
    if M::may_allocate(bytes) { Ok(M::allocate_allowed(make)) } else { Err(NoMemory) }
}

/// A shared value.
///
/// # Errors
/// [`NoMemory`].
#[expect(clippy::disallowed_methods, reason = "it is allowed")]
pub fn arc<M: Machine, T>(value: T) -> Result<Arc<T>, NoMemory> {
    allowed::<M, _>(size_of::<T>(), || Arc::new(value))
}
