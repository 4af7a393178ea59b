//! A processor's registers that the kernel does not use: an image for each, without the parts that came after SSE.

use std::sync::Mutex;

use super::cpu::{self, MOST_PROCESSORS};
use super::lock::locked;
use crate::arch::image::Image;

static REGISTERS: [Mutex<Image>; MOST_PROCESSORS] = [const { Mutex::new(Image::new()) }; MOST_PROCESSORS];

/// What is saved and loaded, as in XCR0: x87 and SSE.
pub(crate) const fn components() -> u64 {
    0b11
}

/// Whether an image has a header that says what it holds.
pub(crate) const fn has_header() -> bool {
    true
}

/// The bits of MXCSR that may be set.
pub(crate) const fn mxcsr_mask() -> u32 {
    0xffff
}

/// Saves the registers.
pub(crate) fn save(image: &mut Image) {
    image.clone_from(&locked(&REGISTERS[cpu::this().number()]));
}

/// Loads the registers.
pub(crate) fn load(image: &Image) {
    locked(&REGISTERS[cpu::this().number()]).clone_from(image);
}
