//! What a program keeps in registers that the kernel does not use: x87, SSE and AVX, and the bases of FS and GS.
//!
//! The kernel is compiled without floating point, and `vector` puts back what it uses, so these registers hold the state of the thread that ran in ring 3
//! last; a context switch saves them for a thread that has a [`UserState`] and restores them for the next one.

use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};

use super::image::{HEADER, MXCSR};
pub use super::image::{IMAGE_BYTES, Image, LEGACY_BYTES};
use super::{bases, xsave};
use crate::fallible;
use crate::no_memory::NoMemory;

impl Image {
    /// An image of `bytes` that came from a program: whatever they hold, loading it does not fault.
    pub fn from_program(bytes: &[u8; IMAGE_BYTES]) -> Self {
        let mut image = Self(*bytes);
        let allowed = xsave::mxcsr_mask();
        let mxcsr = u32::from_le_bytes([bytes[MXCSR], bytes[MXCSR + 1], bytes[MXCSR + 2], bytes[MXCSR + 3]]) & allowed;
        image.0[MXCSR..MXCSR + 4].copy_from_slice(&mxcsr.to_le_bytes());
        let mut present = [0; 8];
        present.copy_from_slice(&bytes[HEADER..HEADER + 8]);
        let present = u64::from_le_bytes(present) & xsave::components();
        image.0[HEADER..HEADER + 8].copy_from_slice(&present.to_le_bytes());
        // The compaction word and what is reserved.
        image.0[HEADER + 8..HEADER + 64].fill(0);
        image
    }

    /// An image of the legacy part of `bytes` alone: what else there is becomes as it is at a program's start.
    pub fn from_legacy(bytes: &[u8; IMAGE_BYTES]) -> Self {
        let mut image = *bytes;
        image[HEADER..].fill(0);
        image[HEADER] = 0b11;
        Self::from_program(&image)
    }
}

/// The parts of an image that hold something, as in XCR0, and the image's bytes.
pub fn format() -> (u64, usize) {
    let bytes = if xsave::has_header() { IMAGE_BYTES } else { LEGACY_BYTES };
    (xsave::components(), bytes)
}

/// The registers of a thread that runs in ring 3, while it does not run.
pub struct UserState {
    image: UnsafeCell<Box<Image>>,
    fs_base: AtomicU64,
    gs_base: AtomicU64,
}

// SAFETY: the image is touched only by the thread that it belongs to, by a context switch that stops or continues that
// thread, or before that thread first runs.
unsafe impl Sync for UserState {}

impl UserState {
    /// The state of a program that starts.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub fn starting() -> Result<Self, NoMemory> {
        let image = UnsafeCell::new(fallible::boxed(Image::new())?);
        Ok(Self { image, fs_base: AtomicU64::new(0), gs_base: AtomicU64::new(0) })
    }

    /// A copy of what is in the registers now, which belong to the calling thread.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub fn of_current() -> Result<Self, NoMemory> {
        let state = Self::starting()?;
        // SAFETY: nothing else has the new state yet.
        unsafe { state.save() };
        Ok(state)
    }

    /// Replaces the FS base of a thread that has not run yet.
    pub fn set_fs_base(&mut self, base: u64) {
        *self.fs_base.get_mut() = base;
    }

    /// Saves the registers here.
    ///
    /// # Safety
    /// The registers are those of this state's thread, which is the caller's or is being switched from on this processor.
    pub unsafe fn save(&self) {
        // SAFETY: the caller promises that nothing else touches the image.
        let image = unsafe { &mut *self.image.get() };
        xsave::save(image);
        self.fs_base.store(bases::fs(), Ordering::Relaxed);
        self.gs_base.store(bases::gs(), Ordering::Relaxed);
    }

    /// Puts what is saved here into the registers.
    ///
    /// # Safety
    /// This state's thread is the caller's or is being switched to on this processor.
    pub unsafe fn restore(&self) {
        // SAFETY: the caller promises that nothing else touches the image.
        xsave::load(unsafe { &*self.image.get() });
        bases::set_fs(self.fs_base.load(Ordering::Relaxed));
        bases::set_gs(self.gs_base.load(Ordering::Relaxed));
    }
}

/// The bytes of an image of the calling thread's registers as they are now, for a signal's frame.
pub fn current_image() -> [u8; IMAGE_BYTES] {
    let mut image = Image::new();
    xsave::save(&mut image);
    image.0
}

/// Gives the calling thread the registers of `image`.
pub fn set_current_image(image: &Image) {
    xsave::load(image);
}

/// Gives the calling thread the floating-point registers that a program starts with.
pub fn reset_current_registers() {
    xsave::load(&Image::new());
}

/// Gives the calling thread the state that a program starts with.
pub fn reset_current() {
    reset_current_registers();
    bases::set_fs(0);
    bases::set_gs(0);
}
