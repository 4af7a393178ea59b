//! The registers that the kernel does not use, as they lie in memory.

/// The bytes of an `fxsave` image, the first part of every image.
pub const LEGACY_BYTES: usize = 512;
/// The bytes of an image with the `xsave` header and AVX (Intel SDM volume 1, 13.4).
pub const IMAGE_BYTES: usize = LEGACY_BYTES + 64 + 256;

const CONTROL: usize = 0;
pub(super) const MXCSR: usize = 24;
pub(super) const HEADER: usize = LEGACY_BYTES;

/// An image of the registers, as `xsave` or `fxsave` writes it. Loading it does not fault, so no room above changes its bytes.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct Image(pub(crate) [u8; IMAGE_BYTES]);

impl Image {
    /// The registers as a program finds them when it starts.
    pub(crate) const fn new() -> Self {
        let mut image = [0; IMAGE_BYTES];
        // Every exception masked, 64-bit precision; and every SSE exception masked.
        [image[CONTROL], image[CONTROL + 1]] = 0x037f_u16.to_le_bytes();
        [image[MXCSR], image[MXCSR + 1], _, _] = 0x1f80_u32.to_le_bytes();
        Self(image)
    }
}
