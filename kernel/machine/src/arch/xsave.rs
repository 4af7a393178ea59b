//! The instructions that save and load the registers that the kernel does not use: `xsave` where there is one, else `fxsave`. Of what
//! `xsave` can hold, AVX is the most that programs are given.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};

use super::image::Image;

const MXCSR_MASK: usize = 28;

static HAS_XSAVE: AtomicBool = AtomicBool::new(false);
/// What `xsave` saves, as in XCR0; the two legacy parts without `xsave`.
static COMPONENTS: AtomicU64 = AtomicU64::new(0b11);

/// Lets programs use the registers.
pub fn start() {
    let features = core::arch::x86_64::__cpuid(1).ecx;
    let has_xsave = features & 1 << 26 != 0;
    // SAFETY: the kernel itself uses none of these registers but to put them back.
    unsafe {
        Cr0::update(|flags| {
            flags.remove(Cr0Flags::EMULATE_COPROCESSOR | Cr0Flags::TASK_SWITCHED);
            flags.insert(Cr0Flags::MONITOR_COPROCESSOR | Cr0Flags::NUMERIC_ERROR);
        });
        Cr4::update(|flags| {
            flags.insert(Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE);
            flags.set(Cr4Flags::OSXSAVE, has_xsave);
        });
        if has_xsave {
            let has_avx = features & 1 << 28 != 0;
            let mut components = XCr0Flags::X87 | XCr0Flags::SSE;
            components.set(XCr0Flags::AVX, has_avx);
            XCr0::write(components);
            COMPONENTS.store(components.bits(), Ordering::Relaxed);
        }
    }
    HAS_XSAVE.store(has_xsave, Ordering::Relaxed);
}

/// What is saved and loaded, as in XCR0.
pub(crate) fn components() -> u64 {
    COMPONENTS.load(Ordering::Relaxed)
}

/// Whether an image has a header that says what it holds.
pub(crate) fn has_header() -> bool {
    HAS_XSAVE.load(Ordering::Relaxed)
}

/// The bits of MXCSR that may be set; loading others faults.
pub(crate) fn mxcsr_mask() -> u32 {
    let mut image = Image::new();
    // SAFETY: the image is writable and aligned, and has room for the legacy part.
    unsafe { asm!("fxsave64 [{}]", in(reg) image.0.as_mut_ptr(), options(nostack)) };
    match u32::from_le_bytes([
        image.0[MXCSR_MASK],
        image.0[MXCSR_MASK + 1],
        image.0[MXCSR_MASK + 2],
        image.0[MXCSR_MASK + 3],
    ]) {
        // Processors that do not say have the bits of the first SSE.
        0 => 0xffbf,
        mask => mask,
    }
}

/// Saves the registers.
pub(crate) fn save(image: &mut Image) {
    let place = image.0.as_mut_ptr();
    if HAS_XSAVE.load(Ordering::Relaxed) {
        // SAFETY: the image is aligned to 64 bytes and has room for every component that XCR0 has.
        unsafe { asm!("xsave64 [{}]", in(reg) place, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack)) };
    } else {
        // SAFETY: the image is aligned to 16 bytes and has room for the legacy part.
        unsafe { asm!("fxsave64 [{}]", in(reg) place, options(nostack)) };
    }
}

/// Loads the registers.
pub(crate) fn load(image: &Image) {
    let place = image.0.as_ptr();
    if HAS_XSAVE.load(Ordering::Relaxed) {
        // SAFETY: the image was saved by `xsave64`, or made so that loading it does not fault.
        unsafe { asm!("xrstor64 [{}]", in(reg) place, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack)) };
    } else {
        // SAFETY: the image was saved by `fxsave64`, or made so that loading it does not fault.
        unsafe { asm!("fxrstor64 [{}]", in(reg) place, options(nostack)) };
    }
}
