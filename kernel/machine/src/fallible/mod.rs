//! Allocation that may fail: how code that serves programs takes memory from the kernel heap.
//!
//! The library's own ways end the kernel when there is no memory; `clippy.toml` keeps them out of reach. Here each has a
//! counterpart that returns [`NoMemory`]: [`boxed`], [`shared`] and their slices, the methods of [`TryVec`], [`TryText`] and
//! [`TryMap`], [`collect`] and [`text()`]. What can be certain needs no permission: memory of a fixed size that is taken once, as the
//! kernel starts.
//!
//! # What is kept back
//!
//! [`ask()`] refuses while the heap still has its reserve, so what is taken without asking, or inside [`certain`], finds memory also
//! if another task was faster. `/proc/self/fail-nth`, in builds with debug assertions, makes the n-th of a task's allocations
//! fail: what was taken without asking is found so.

mod ask;
mod text;
mod vector;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::alloc::Layout;

pub use ask::{ask, certain};
pub use text::{Lossy, TryText, text};
pub use vector::{TryVec, collect, copy, filled, with_capacity};

pub use crate::no_memory::NoMemory;

use crate::heap;

/// Makes `make`'s value in a block of the heap that was taken before: nothing fails between.
fn in_block<R>(layout: Layout, make: impl FnOnce() -> R) -> Result<R, NoMemory> {
    heap::with_block(layout, make).ok_or(NoMemory)
}

/// `value` on the heap.
///
/// # Errors
/// [`NoMemory`]
pub fn boxed<T>(value: T) -> Result<Box<T>, NoMemory> {
    ask(size_of::<T>())?;
    boxed_in_need(value)
}

/// As [`boxed`], also of what is kept back: for what frees memory in the end, a request to a disk.
///
/// # Errors
/// [`NoMemory`]
#[expect(clippy::disallowed_methods, reason = "in a block that is there")]
pub fn boxed_in_need<T>(value: T) -> Result<Box<T>, NoMemory> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 { Ok(Box::new(value)) } else { in_block(layout, || Box::new(value)) }
}

/// The layout of what an [`Arc`] points to: two counts and the value. One that the library changes is asked for in vain, and
/// the checks of `heap::with_block` say so.
fn counted(value: Layout) -> Result<Layout, NoMemory> {
    let (layout, _) = Layout::new::<[usize; 2]>().extend(value).map_err(|_| NoMemory)?;
    Ok(layout.pad_to_align())
}

/// `value` on the heap, counted.
///
/// # Errors
/// [`NoMemory`]
pub fn shared<T>(value: T) -> Result<Arc<T>, NoMemory> {
    ask(size_of::<T>())?;
    shared_in_need(value)
}

/// As [`shared`], also of what is kept back, as [`boxed_in_need`].
///
/// # Errors
/// [`NoMemory`]
#[expect(clippy::disallowed_methods, reason = "in a block that is there")]
pub fn shared_in_need<T>(value: T) -> Result<Arc<T>, NoMemory> {
    in_block(counted(Layout::new::<T>())?, || Arc::new(value))
}

/// A counted copy of `values`.
///
/// # Errors
/// [`NoMemory`]
pub fn shared_slice<T: Copy>(values: &[T]) -> Result<Arc<[T]>, NoMemory> {
    ask(size_of_val(values))?;
    in_block(counted(Layout::for_value(values))?, || Arc::from(values))
}

/// A counted copy of `text`.
///
/// # Errors
/// [`NoMemory`]
pub fn shared_text(text: &str) -> Result<Arc<str>, NoMemory> {
    ask(text.len())?;
    in_block(counted(Layout::for_value(text))?, || Arc::from(text))
}

/// A copy of `values` that does not grow.
///
/// # Errors
/// [`NoMemory`]
#[expect(clippy::disallowed_methods, reason = "the vector is as long as its room")]
pub fn boxed_slice<T: Copy>(values: &[T]) -> Result<Box<[T]>, NoMemory> {
    copy(values).map(alloc::vec::Vec::into_boxed_slice)
}

/// Maps, of which an insertion may fail.
pub trait TryMap<K, V> {
    /// Puts `value` at `key`; returns what was there.
    ///
    /// # Errors
    /// [`NoMemory`], and nothing has changed.
    fn insert_if_memory(&mut self, key: K, value: V) -> Result<Option<V>, NoMemory>;

    /// Asks for what `more` insertions take, by [`Self::insert_asked`], which follow at once.
    ///
    /// # Errors
    /// [`NoMemory`]
    fn ask_for(&self, more: usize) -> Result<(), NoMemory>;

    /// As [`Self::insert_if_memory`], after [`Self::ask_for`].
    fn insert_asked(&mut self, key: K, value: V);
}

impl<K: Ord, V> TryMap<K, V> for BTreeMap<K, V> {
    #[expect(clippy::disallowed_methods, reason = "its nodes were asked for")]
    fn insert_if_memory(&mut self, key: K, value: V) -> Result<Option<V>, NoMemory> {
        self.ask_for(1)?;
        Ok(certain(|| self.insert(key, value)))
    }

    fn ask_for(&self, more: usize) -> Result<(), NoMemory> {
        // A node has room for 11 entries and 12 edges, and an insertion splits one a level, and adds one above them.
        let node = 11 * (size_of::<K>() + size_of::<V>()) + 12 * size_of::<usize>() + 32;
        let levels = self.len().max(1).ilog2() as usize / 2 + 2;
        ask(more * levels * node)
    }

    #[expect(clippy::disallowed_methods, reason = "its nodes were asked for")]
    fn insert_asked(&mut self, key: K, value: V) {
        certain(|| self.insert(key, value));
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    use super::{boxed, counted, shared, shared_slice, shared_text};

    thread_local!(static LAST: Cell<Option<Layout>> = const { Cell::new(None) });

    struct Noting;

    #[global_allocator]
    static NOTING: Noting = Noting;

    // SAFETY: the system's allocator does the work.
    unsafe impl GlobalAlloc for Noting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let _ = LAST.try_with(|last| last.set(Some(layout)));
            // SAFETY: as the caller promises.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: as the caller promises.
            unsafe { System.dealloc(block, layout) }
        }
    }

    /// The block that is taken before has to be the one that the library asks for.
    #[test]
    fn the_library_asks_for_the_layouts_that_are_taken_before() {
        fn last() -> Option<Layout> {
            LAST.with(Cell::take)
        }
        let kept = (boxed([0_u64; 5]), last());
        assert_eq!(kept.1, Some(Layout::new::<[u64; 5]>()));
        let kept = (shared((1_u8, 2_u16)), last());
        assert_eq!(kept.1, counted(Layout::new::<(u8, u16)>()).ok());
        let kept = (shared_slice(&[1_u32, 2, 3]), last());
        assert_eq!(kept.1, counted(Layout::new::<[u32; 3]>()).ok());
        let kept = (shared_text("seven b"), last());
        assert_eq!(kept.1, counted(Layout::new::<[u8; 7]>()).ok());
    }
}
