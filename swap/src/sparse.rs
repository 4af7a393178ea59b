//! Arrays whose leaves appear when they are first needed, and are found without a lock.
//!
//! Two levels of directories above leaves of about 4 KiB. What has appeared stays until the array goes.

use alloc::boxed::Box;
use core::ops::Range;

use spin::Once;

use crate::heap::{self, NoMemory};
use crate::machine::Machine;
use crate::rank::Rank;
use crate::sync::Lock;

const LEAF_BYTES: usize = 4096;
/// Leaves of a directory.
const DIRECTORY: usize = 128;

type Leaf<T> = Box<[T]>;
type Directory<T> = Box<[Once<Leaf<T>>]>;

/// An array of a fixed length that costs nothing where it is not used.
pub struct Sparse<T, M: Machine> {
    root: Box<[Once<Directory<T>>]>,
    length: u32,
    /// Held while a leaf is made: so no task ever waits for a [`Once`] whose maker cannot run.
    growing: Lock<(), M, { Rank::Sparse as u8 }>,
}

impl<T: Default, M: Machine> Sparse<T, M> {
    /// Values of a leaf.
    const LEAF: usize = LEAF_BYTES / size_of::<T>();

    /// An array of `length` values, none of which has appeared.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn new(length: u32) -> Result<Self, NoMemory> {
        let root = heap::slice::<M, _>((length as usize).div_ceil(Self::LEAF * DIRECTORY), |_| Once::new())?;
        Ok(Self { root, length, growing: Lock::new(()) })
    }

    /// The value, if its leaf has appeared.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        let index = index as usize;
        let directory = self.root.get(index / (Self::LEAF * DIRECTORY))?.get()?;
        directory[index / Self::LEAF % DIRECTORY].get()?.get(index % Self::LEAF)
    }

    /// The value, whose leaf appears with default values if it has not. `None` beyond the end.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn grow(&self, index: u32) -> Result<Option<&T>, NoMemory> {
        if index >= self.length {
            return Ok(None);
        }
        if let Some(value) = self.get(index) {
            return Ok(Some(value));
        }
        let _growing = self.growing.lock();
        let index = index as usize;
        let directory = self.root[index / (Self::LEAF * DIRECTORY)]
            .try_call_once(|| heap::slice::<M, _>(DIRECTORY, |_| Once::new()))?;
        let leaf = directory[index / Self::LEAF % DIRECTORY]
            .try_call_once(|| heap::slice::<M, _>(Self::LEAF, |_| T::default()))?;
        Ok(leaf.get(index % Self::LEAF))
    }

    /// The values of `range` whose leaves have appeared, with their indexes.
    pub fn present(&self, range: Range<u64>) -> impl Iterator<Item = (u32, &T)> {
        let mut index = range.start;
        let end = range.end.min(self.length.into());
        core::iter::from_fn(move || {
            while index < end {
                let (leaf, directory) = (Self::LEAF as u64, (Self::LEAF * DIRECTORY) as u64);
                if let Some(value) = self.get(index as u32) {
                    index += 1;
                    return Some(((index - 1) as u32, value));
                }
                let part = if self.root[(index / directory) as usize].is_completed() { leaf } else { directory };
                index = (index / part + 1) * part;
            }
            None
        })
    }
}
