//! Memory as programs ask the kernel for it.

use std::{
    io,
    marker::PhantomData,
    num::NonZeroUsize,
    ops::{Deref, Range},
    ptr::NonNull,
    slice,
};

use nix::{
    errno::Errno,
    libc::{self, c_void},
    sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, mprotect, munmap},
};
use quire_protocol::contents::Page;

use crate::files;

/// Bytes in a page.
pub(crate) const PAGE: usize = size_of::<Page>();

/// Anonymous pages, unmapped with this value. What is in them changes only through it.
#[derive(Debug)]
pub(crate) struct Memory {
    start: NonNull<c_void>,
    pages: usize,
}

impl Memory {
    /// Pages of this process alone, readable and writable.
    pub(crate) fn private(pages: usize) -> nix::Result<Self> {
        Self::map(pages, MapFlags::MAP_PRIVATE)
    }

    /// Pages that are shared with the children to come.
    pub(crate) fn shared(pages: usize) -> nix::Result<Self> {
        Self::map(pages, MapFlags::MAP_SHARED)
    }

    /// Readable and writable pages with these flags.
    pub(crate) fn map(pages: usize, flags: MapFlags) -> nix::Result<Self> {
        let length = NonZeroUsize::new(pages * PAGE).ok_or(Errno::EINVAL)?;
        // SAFETY: the kernel chooses a place where nothing is.
        let start = unsafe { mmap_anonymous(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags) }?;
        Ok(Self { start, pages })
    }

    /// The pages, when all can be read and written.
    pub(crate) fn pages(&mut self) -> &mut [Page] {
        // SAFETY: the pages are mapped as long as this value lives, any bytes are a `Page`, and the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.pages) }
    }

    /// The address of page `index`.
    pub(crate) fn address(&self, index: usize) -> *mut u8 {
        self.start.as_ptr().cast::<u8>().wrapping_add(index * PAGE)
    }

    /// One byte of page `index`, written without regard to what the compiler knows of the page.
    pub(crate) fn touch(&mut self, index: usize) {
        assert!(index < self.pages);
        // SAFETY: the page is mapped.
        unsafe { self.address(index).write_volatile(1) };
    }

    /// The first word of page `index`.
    pub(crate) fn word(&self, index: usize) -> u64 {
        // SAFETY: the page is mapped, and any bytes are a number.
        unsafe { self.word_at(index).read_volatile() }
    }

    /// Sets it.
    pub(crate) fn set_word(&mut self, index: usize, word: u64) {
        // SAFETY: the page is mapped.
        unsafe { self.word_at(index).write_volatile(word) };
    }

    fn word_at(&self, index: usize) -> *mut u64 {
        assert!(index < self.pages);
        self.start.as_ptr().cast::<u64>().wrapping_add(index * PAGE / size_of::<u64>())
    }

    /// Tells the kernel what to do with a range of pages, none of which may be borrowed.
    pub(crate) fn advise(&mut self, pages: Range<usize>, advice: MmapAdvise) -> nix::Result<()> {
        assert!(pages.end <= self.pages);
        let start = NonNull::new(self.address(pages.start).cast()).ok_or(Errno::EFAULT)?;
        // SAFETY: the range is this value's, and zeros in the place of its contents are contents too.
        unsafe { madvise(start, pages.len() * PAGE, advice) }
    }

    /// Asks the kernel to page everything out.
    pub(crate) fn page_out(&mut self) -> nix::Result<()> {
        self.advise(0..self.pages, MmapAdvise::MADV_PAGEOUT)
    }

    /// Changes what may be done with a range of pages.
    pub(crate) fn protect(&mut self, pages: Range<usize>, protection: ProtFlags) -> nix::Result<()> {
        assert!(pages.end <= self.pages);
        let start = NonNull::new(self.address(pages.start).cast()).ok_or(Errno::EFAULT)?;
        // SAFETY: the range is this value's; who uses it against its protection asks for the signal.
        unsafe { mprotect(start, pages.len() * PAGE, protection) }
    }

    /// Changes how many pages there are; they may move.
    pub(crate) fn resize(&mut self, pages: usize) -> nix::Result<()> {
        let flags = libc::MREMAP_MAYMOVE;
        // SAFETY: the old range is this value's, which from here on stands for the new one.
        let start = unsafe { libc::mremap(self.start.as_ptr(), self.pages * PAGE, pages * PAGE, flags) };
        if start == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        self.start = NonNull::new(start).ok_or(Errno::EFAULT)?;
        self.pages = pages;
        Ok(())
    }

    /// Keeps the pages in memory.
    pub(crate) fn lock(&self) -> nix::Result<()> {
        // SAFETY: locking changes no contents.
        Errno::result(unsafe { libc::mlock(self.start.as_ptr(), self.pages * PAGE) }).map(drop)
    }

    /// For each page whether it is in memory.
    pub(crate) fn in_core(&self) -> nix::Result<Vec<bool>> {
        let mut states = vec![0_u8; self.pages];
        // SAFETY: there is a byte for each page of the range.
        Errno::result(unsafe { libc::mincore(self.start.as_ptr(), self.pages * PAGE, states.as_mut_ptr()) })?;
        Ok(states.iter().map(|state| state & 1 != 0).collect())
    }
}

/// A value that this process and the children to come all see.
pub(crate) struct Shared<T> {
    memory: Memory,
    value: PhantomData<T>,
}

impl<T: Sync> Shared<T> {
    /// Puts `value` into memory of its own.
    pub(crate) fn new(value: T) -> nix::Result<Self> {
        const { assert!(align_of::<T>() <= PAGE) };
        let memory = Memory::shared(size_of::<T>().div_ceil(PAGE))?;
        // SAFETY: the pages are large enough and aligned for a `T`, and nobody else knows them yet.
        unsafe { memory.address(0).cast::<T>().write(value) };
        Ok(Self { memory, value: PhantomData })
    }
}

impl<T: Sync> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the value was written by `new`, the pages stay as long as `self`, and what other processes do to it they
        // do through shared references as well.
        unsafe { &*self.memory.address(0).cast::<T>() }
    }
}

/// Keeps every page of this process in memory, from when it is there; its children start without this.
pub(crate) fn lock_all() -> nix::Result<()> {
    // SAFETY: locking changes no contents.
    Errno::result(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) }).map(drop)
}

/// Makes memory so short for a moment that what was paged out has to leave the swap cache too.
pub(crate) fn squeeze() -> io::Result<()> {
    let [available, free_swap] = ["MemAvailable", "SwapFree"].map(|name| files::number("/proc/meminfo", name));
    // More than there is in memory, by as much as there is room for elsewhere.
    let pages = (available? + free_swap?.min(16 << 10) / 2) as usize / 4;
    let mut memory = Memory::private(pages)?;
    (0..pages).for_each(|page| memory.touch(page));
    Ok(())
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the range is this value's and goes with it. The kernel knows the range, so there is no error to see.
        let _ = unsafe { munmap(self.start, self.pages * PAGE) };
    }
}
