//! Pointers into the user half, and runs of bytes that lie in it.

use core::fmt;
use core::marker::PhantomData;

use quire_swap::header::PAGE_SIZE;

use crate::address_map::USER_END;

/// A user access that could not be served: the address is not mapped, memory ran out, or swap could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a user address could not be accessed")
    }
}

/// A pointer that a program gave. It may point anywhere, as C's may; what it points to is read and written by checked
/// accesses only, and moving it ends at the top of the address space, where nothing can be accessed, instead of wrapping.
pub struct UserPtr<T> {
    address: u64,
    to: PhantomData<fn() -> T>,
}

impl<T> Clone for UserPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for UserPtr<T> {}

impl<T> PartialEq for UserPtr<T> {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<T> Eq for UserPtr<T> {}

impl<T> fmt::Debug for UserPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.address)
    }
}

impl<T> Default for UserPtr<T> {
    fn default() -> Self {
        Self::NULL
    }
}

impl<T> UserPtr<T> {
    /// The null pointer.
    pub const NULL: Self = Self::new(0);

    /// A pointer to `address`.
    #[inline]
    pub const fn new(address: u64) -> Self {
        Self { address, to: PhantomData }
    }

    /// Where it points.
    pub const fn address(self) -> u64 {
        self.address
    }

    /// Whether it points nowhere.
    pub const fn is_null(self) -> bool {
        self.address == 0
    }

    /// The pointer, unless it is null.
    pub fn unless_null(self) -> Option<Self> {
        Some(self).filter(|pointer| !pointer.is_null())
    }

    /// To the same address, taken for another type.
    pub const fn cast<U>(self) -> UserPtr<U> {
        UserPtr::new(self.address)
    }

    /// To what lies `bytes` further up, such as a part of a structure.
    pub const fn byte_add<U>(self, bytes: usize) -> UserPtr<U> {
        UserPtr::new(self.address.saturating_add(bytes as u64))
    }

    /// To element `index` of the array that begins here.
    #[must_use]
    pub const fn element(self, index: usize) -> Self {
        self.byte_add(index.saturating_mul(size_of::<T>()))
    }

    /// The `length` bytes from here on.
    ///
    /// # Errors
    /// [`Fault`], unless all of them are in the user half (Linux: `access_ok`).
    pub fn range(self, length: u64) -> Result<UserRange, Fault> {
        UserRange::new(self.address, length)
    }
}

/// A run of bytes in the user half: its end is no further than [`USER_END`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRange {
    start: u64,
    length: u64,
}

impl UserRange {
    /// `length` bytes from `start` on.
    ///
    /// # Errors
    /// [`Fault`], unless all of them are in the user half.
    #[inline]
    pub fn new(start: u64, length: u64) -> Result<Self, Fault> {
        let is_in_user_half = start.checked_add(length).is_some_and(|end| end <= USER_END);
        if is_in_user_half { Ok(Self { start, length }) } else { Err(Fault) }
    }

    /// The first byte.
    pub const fn start(self) -> UserPtr<u8> {
        UserPtr::new(self.start)
    }

    /// How many bytes there are.
    pub const fn len(self) -> usize {
        self.length as usize
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.length == 0
    }

    /// The first `bytes` of them, or all if there are fewer.
    #[must_use]
    pub fn first(self, bytes: usize) -> Self {
        Self { length: self.length.min(bytes as u64), ..self }
    }

    /// How many of them are in the first page.
    #[must_use]
    pub const fn in_first_page(self) -> usize {
        let in_page = PAGE_SIZE.saturating_sub(self.start as usize % PAGE_SIZE);
        if in_page < self.len() { in_page } else { self.len() }
    }

    /// What comes behind the first `bytes`: nothing if there are fewer.
    #[must_use]
    pub fn behind(self, bytes: usize) -> Self {
        let bytes = self.length.min(bytes as u64);
        Self { start: self.start.saturating_add(bytes), length: self.length.saturating_sub(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Fault, USER_END, UserPtr, UserRange};

    /// Addresses and lengths about everything that is an edge.
    fn edges() -> impl Strategy<Value = u64> {
        let edge = prop::sample::select(vec![0, 0x1000, USER_END, 1 << 47, 1 << 63, u64::MAX]);
        prop_oneof![any::<u64>(), (edge, -9_i64..9).prop_map(|(edge, by)| edge.saturating_add_signed(by))]
    }

    proptest! {
        #[test]
        fn a_range_never_leaves_the_user_half(start in edges(), length in edges(), bytes in edges()) {
            let end = i128::from(start) + i128::from(length);
            let range = UserPtr::<u8>::new(start).range(length);
            prop_assert_eq!(range.is_ok(), end <= i128::from(USER_END));
            let Ok(range) = range else { return Ok(()) };
            let (first, rest) = (range.first(bytes as usize), range.behind(bytes as usize));
            prop_assert_eq!(first.len() as u64, length.min(bytes));
            prop_assert_eq!(first.start(), range.start());
            prop_assert_eq!(i128::from(rest.start().address()), i128::from(start) + i128::from(length.min(bytes)));
            prop_assert_eq!(i128::from(rest.start().address()) + rest.len() as i128, end);
        }

        #[test]
        fn a_pointer_moves_up_or_to_where_nothing_is(start in edges(), index in edges()) {
            let element = UserPtr::<[u64; 2]>::new(start).element(index as usize);
            let exact = i128::from(start) + 16 * i128::from(index);
            prop_assert_eq!(i128::from(element.address()), exact.min(i128::from(u64::MAX)));
            if exact > i128::from(USER_END) - 16 {
                prop_assert_eq!(element.range(16), Err(Fault));
            }
        }
    }

    #[test]
    fn an_empty_range_may_end_the_user_half() {
        assert!(UserRange::new(USER_END, 0).is_ok_and(UserRange::is_empty));
        assert_eq!(UserRange::new(USER_END, 1), Err(Fault));
        assert_eq!(UserRange::new(u64::MAX, 0), Err(Fault));
    }
}
