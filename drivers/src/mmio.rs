//! One register in memory-mapped I/O space.

use core::ptr::NonNull;

/// A register as wide as `T`, accessed as one volatile access of that width.
///
/// Invariant: the pointer is aligned and mapped as device memory for as long as the register is used.
#[derive(Debug)]
pub(crate) struct Register<T>(NonNull<T>);

// SAFETY: the mapping is the kernel's, the same on every processor, and each access is a single instruction.
unsafe impl<T: Send> Send for Register<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Register<T> {}

impl<T: Copy> Register<T> {
    /// The register `offset` bytes after `base`.
    ///
    /// # Safety
    ///
    /// `base + offset` is aligned for `T`, lies within one mapping of device registers together with `base` and stays
    /// mapped while the result is used; reading and writing it affects memory safety only as the caller has foreseen.
    pub(crate) const unsafe fn new(base: NonNull<u8>, offset: usize) -> Self {
        // SAFETY: the caller says that the mapping reaches that far.
        Self(unsafe { base.add(offset) }.cast())
    }

    pub(crate) fn read(&self) -> T {
        // SAFETY: the invariant of the type.
        unsafe { self.0.read_volatile() }
    }

    pub(crate) fn write(&self, value: T) {
        // SAFETY: the invariant of the type.
        unsafe { self.0.write_volatile(value) }
    }
}
