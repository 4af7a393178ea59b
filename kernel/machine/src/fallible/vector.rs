//! Vectors that grow while there is memory.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::ask::ask;
use crate::no_memory::NoMemory;

/// What [`Vec`] does when it grows, each of which may fail and changes nothing then.
#[expect(clippy::missing_errors_doc, reason = "each fails with NoMemory, as the trait says")]
pub trait TryVec<T> {
    /// Makes room for `more` values, and for more than them, so that this is seldom asked.
    fn reserve_more(&mut self, more: usize) -> Result<(), NoMemory>;

    /// Adds `value` at the end.
    fn try_push(&mut self, value: T) -> Result<(), NoMemory>;

    /// Adds `values` at the end.
    fn try_extend<I: IntoIterator<Item = T>>(&mut self, values: I) -> Result<(), NoMemory>;
}

/// How many bytes growing by `more` values may take: it doubles, with both copies there for a moment.
fn growth<T>(capacity: usize, more: usize) -> Result<usize, NoMemory> {
    capacity.checked_add(more).and_then(|values| values.checked_mul(2 * size_of::<T>())).ok_or(NoMemory)
}

/// Implements [`TryVec`] for a vector of the library's, which grows at its end by `$push`.
macro_rules! grows {
    ($vector:ident, $push:ident) => {
        #[expect(clippy::disallowed_methods, reason = "the room has been made")]
        impl<T> TryVec<T> for $vector<T> {
            fn reserve_more(&mut self, more: usize) -> Result<(), NoMemory> {
                if self.capacity() - self.len() >= more {
                    return Ok(());
                }
                ask(growth::<T>(self.capacity(), more)?)?;
                self.try_reserve(more).map_err(|_| NoMemory)
            }

            fn try_push(&mut self, value: T) -> Result<(), NoMemory> {
                self.reserve_more(1)?;
                self.$push(value);
                Ok(())
            }

            fn try_extend<I: IntoIterator<Item = T>>(&mut self, values: I) -> Result<(), NoMemory> {
                let before = self.len();
                let values = values.into_iter();
                self.reserve_more(values.size_hint().0)?;
                for value in values {
                    if let Err(error) = self.try_push(value) {
                        self.truncate(before);
                        return Err(error);
                    }
                }
                Ok(())
            }
        }
    };
}

grows!(Vec, push);
grows!(VecDeque, push_back);

/// An empty vector with room for `capacity` values.
///
/// # Errors
/// [`NoMemory`]
pub fn with_capacity<T>(capacity: usize) -> Result<Vec<T>, NoMemory> {
    ask(capacity.checked_mul(size_of::<T>()).ok_or(NoMemory)?)?;
    let mut vector = Vec::new();
    vector.try_reserve_exact(capacity).map_err(|_| NoMemory)?;
    Ok(vector)
}

/// A copy of `values`.
///
/// # Errors
/// [`NoMemory`]
#[expect(clippy::disallowed_methods, reason = "the room has been made")]
pub fn copy<T: Clone>(values: &[T]) -> Result<Vec<T>, NoMemory> {
    let mut vector = with_capacity(values.len())?;
    vector.extend_from_slice(values);
    Ok(vector)
}

/// `length` times `value`.
///
/// # Errors
/// [`NoMemory`]
#[expect(clippy::disallowed_methods, reason = "the room has been made")]
pub fn filled<T: Clone>(value: T, length: usize) -> Result<Vec<T>, NoMemory> {
    let mut vector = with_capacity(length)?;
    vector.resize(length, value);
    Ok(vector)
}

/// Everything that `values` yields.
///
/// # Errors
/// [`NoMemory`]
pub fn collect<T>(values: impl IntoIterator<Item = T>) -> Result<Vec<T>, NoMemory> {
    let mut vector = Vec::new();
    vector.try_extend(values)?;
    Ok(vector)
}

#[cfg(test)]
mod tests {
    use super::{TryVec, collect, copy, filled};

    #[test]
    fn vectors_hold_what_they_were_given() {
        let mut vector = copy(&[1, 2]).unwrap();
        vector.try_push(3).unwrap();
        vector.try_extend(4..6).unwrap();
        assert_eq!(vector, [1, 2, 3, 4, 5]);
        assert_eq!(filled(7, 2).unwrap(), [7, 7]);
        assert_eq!(collect([1, 2].map(Some)).unwrap(), [Some(1), Some(2)]);
        let mut queue = std::collections::VecDeque::new();
        queue.try_extend(0..3).unwrap();
        assert_eq!(queue, [0, 1, 2]);
    }

    #[test]
    fn more_than_there_can_be_is_refused() {
        assert!(filled(0_u64, usize::MAX / 4).is_err());
        assert!(Vec::<u64>::new().reserve_more(usize::MAX).is_err());
    }
}
