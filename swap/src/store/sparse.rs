//! Arrays whose parts appear when they are first needed, and are found without a lock.
//!
//! Two levels of directories above leaves of 256 values. What has appeared stays until the array goes.

use alloc::boxed::Box;

use spin::Once;

use crate::heap::{self, NoMemory};
use crate::machine::Machine;
use crate::sync::{Lock, Rank};

const LEAF: usize = 256;
const DIRECTORY: usize = 512;

type Leaf<T> = Box<[T; LEAF]>;
type Directory<T> = Box<[Once<Leaf<T>>; DIRECTORY]>;

/// An array of a fixed length that costs nothing where it is not used.
pub(crate) struct Sparse<T, M: Machine> {
    root: Box<[Once<Directory<T>>]>,
    length: u32,
    /// Whoever makes a part appear holds it: nobody ever waits for a [`Once`] whose maker cannot run.
    growing: Lock<(), M, { Rank::Tables as u8 }>,
}

impl<T: Default, M: Machine> Sparse<T, M> {
    pub(crate) fn new(length: u32) -> Result<Self, NoMemory> {
        let root = heap::slice::<M, _>((length as usize).div_ceil(LEAF * DIRECTORY), |_| Once::new())?;
        Ok(Self { root, length, growing: Lock::new(()) })
    }

    /// The value, if its part has appeared.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let index = index as usize;
        let directory = self.root.get(index / (LEAF * DIRECTORY))?.get()?;
        Some(&directory[index / LEAF % DIRECTORY].get()?[index % LEAF])
    }

    /// The value, whose part appears with default values if it has not. `None` beyond the end.
    pub(crate) fn grow(&self, index: u32) -> Result<Option<&T>, NoMemory> {
        if let Some(value) = self.get(index) {
            return Ok(Some(value));
        }
        if index >= self.length {
            return Ok(None);
        }
        let _growing = self.growing.lock();
        let index = index as usize;
        let directory =
            self.root[index / (LEAF * DIRECTORY)].try_call_once(|| heap::array::<M, _, _>(|_| Once::new()))?;
        let leaf = directory[index / LEAF % DIRECTORY].try_call_once(|| heap::array::<M, _, _>(|_| T::default()))?;
        Ok(Some(&leaf[index % LEAF]))
    }

    /// The indexes whose parts have appeared, leaf by leaf.
    pub(crate) fn present(&self) -> impl Iterator<Item = u32> {
        let leaves = self.length.div_ceil(LEAF as u32);
        let mut leaf = 0;
        let first = core::iter::from_fn(move || {
            while leaf < leaves {
                let first = leaf * LEAF as u32;
                if self.root[first as usize / (LEAF * DIRECTORY)].get().is_none() {
                    leaf = (leaf / DIRECTORY as u32 + 1) * DIRECTORY as u32;
                    continue;
                }
                leaf += 1;
                if self.get(first).is_some() {
                    return Some(first);
                }
            }
            None
        });
        first.flat_map(|first| first..(first + LEAF as u32).min(self.length))
    }
}
