//! What a machine can have.

use quire_swap::header::PAGE_SIZE;

use crate::size::Size;

/// The least memory that the kernel works with.
pub const MEMORY_MIN: Size = Size::mebibytes(8);

/// The smallest swap disk: ten pages, as for `mkswap`.
pub const SWAP_MIN: Size = Size::bytes(10 * PAGE_SIZE as u64);

/// The largest swap disk: the header counts pages in 32 bits.
pub const SWAP_MAX: Size = Size::bytes((1 << 32) * PAGE_SIZE as u64);
