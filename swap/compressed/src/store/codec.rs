//! How a page's bytes are written shorter, and read again.
//!
//! # Without vector registers
//!
//! The kernel is built without them, and LZ4 with it. Built with SSE2, for the same target and the same 64 pages of text (callgrind,
//! `lz4_flex` 0.14.0), it takes as many instructions to compress a page, 67,552 instead of 67,589, and a tenth less to decompress one,
//! 22,055 instead of 24,376. Of the 2,321 that a page saves on its way in, keeping sixteen registers of a program and putting
//! them back takes at least 32 each time; on its way out nothing is saved. So at best a fault on text, 28,900, costs a twelfth less, for
//! a crate with another ABI than the rest of the kernel, which the compiler warns that it will refuse. It is not done.

use alloc::boxed::Box;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use miniz_oxide::DataFormat;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, TDEFLStatus};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, inflate_flags};
use quire_swap::Machine;
use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::heap::{self, NoMemory};

use super::error::StoreError;
use super::geometry::HUGE;

/// What an object's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// The page.
    Raw,
    /// The page as one LZ4 block.
    Lz4,
    /// The page as a raw deflate stream (RFC 1951).
    Deflate,
}

impl Encoding {
    /// Every encoding.
    pub const ALL: [Self; 3] = [Self::Raw, Self::Lz4, Self::Deflate];
}

/// Room for the longest block that a page can become, and for putting an object together.
const BUFFER: usize = get_maximum_output_size(PAGE_SIZE);

/// What a processor needs to compress a page on its way out, and to decompress any.
pub struct Workspace {
    /// Where four bytes were seen last.
    table: Box<CompressTable>,
    buffer: Box<[u8; BUFFER]>,
    decoder: Decoder,
}

/// What decompressing needs: nothing for LZ4, and some 11 KiB of tables for deflate, if that occurs.
#[derive(Default)]
pub struct Decoder {
    inflater: Option<Box<DecompressorOxide>>,
}

/// What compressing by deflate needs: more than 300 KiB, so there is one for a store, not one for each processor.
pub(crate) struct Deflater {
    compressor: Box<CompressorOxide>,
    buffer: Box<Page>,
}

impl Workspace {
    /// A workspace, on the heap; one that can read deflate if `with_deflate`.
    ///
    /// # Errors
    /// [`StoreError::NoMemory`].
    pub fn new<M: Machine>(with_deflate: bool) -> Result<Self, StoreError> {
        let decoder = if with_deflate { Decoder::with_deflate::<M>()? } else { Decoder::default() };
        Ok(Self { table: new_table::<M>()?, buffer: heap::array::<M, _, _>(|_| 0)?, decoder })
    }

    /// The page as an LZ4 block.
    pub fn compress(&mut self, page: &Page) -> Option<&[u8]> {
        let length = compress_into_with_table(page, &mut self.buffer[..], &mut self.table).ok()?;
        self.buffer.get(..length)
    }

    /// Room for an object, and the decoder beside it.
    pub(super) fn parts(&mut self) -> (&mut [u8], &mut Decoder) {
        (&mut self.buffer[..], &mut self.decoder)
    }
}

impl Decoder {
    /// A decoder that can read deflate, too.
    ///
    /// # Errors
    /// [`StoreError::NoMemory`].
    pub fn with_deflate<M: Machine>() -> Result<Self, StoreError> {
        Ok(Self { inflater: Some(new_inflater::<M>()?) })
    }

    /// Writes the page that `contents` are in `encoding`; `None` if they are not a whole page in it.
    pub fn decompress(&mut self, encoding: Encoding, contents: &[u8], page: &mut Page) -> Option<()> {
        match encoding {
            Encoding::Raw => *page = *contents.first_chunk().filter(|_| contents.len() == PAGE_SIZE)?,
            Encoding::Lz4 => _ = decompress_into(contents, page).ok().filter(|length| *length == PAGE_SIZE)?,
            Encoding::Deflate => {
                let inflater = self.inflater.as_mut()?;
                inflater.init();
                let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
                let ended = miniz_oxide::inflate::core::decompress(inflater, contents, page, 0, flags);
                return (ended == (TINFLStatus::Done, contents.len(), PAGE_SIZE)).then_some(());
            }
        }
        Some(())
    }
}

impl Deflater {
    pub(crate) fn new<M: Machine>() -> Result<Self, NoMemory> {
        Ok(Self { compressor: new_compressor::<M>()?, buffer: heap::array::<M, _, _>(|_| 0)? })
    }

    /// The page as a deflate stream; `None` if that is no shorter than [`HUGE`].
    pub(crate) fn compress(&mut self, page: &Page, level: u8) -> Option<&[u8]> {
        self.compressor.reset();
        self.compressor.set_format_and_level(DataFormat::Raw, level);
        let output = &mut self.buffer[..HUGE - 1];
        let ended = miniz_oxide::deflate::core::compress(&mut self.compressor, page, output, TDEFLFlush::Finish);
        let (TDEFLStatus::Done, PAGE_SIZE, length) = ended else { return None };
        self.buffer.get(..length)
    }
}

/// The table is on the stack before it is on the heap: on its own, because kernel stacks are small.
#[inline(never)]
#[expect(clippy::disallowed_methods, reason = "it is allowed")]
fn new_table<M: Machine>() -> Result<Box<CompressTable>, NoMemory> {
    heap::allowed::<M, _>(size_of::<CompressTable>(), || Box::new(CompressTable::small()))
}

/// On its own for the same reason.
#[inline(never)]
fn new_inflater<M: Machine>() -> Result<Box<DecompressorOxide>, NoMemory> {
    heap::allowed::<M, _>(size_of::<DecompressorOxide>(), Box::default)
}

/// What the compressor has on the heap beside itself: 32 KiB of window, two tables of as many 16-bit numbers, output.
const COMPRESSOR_BESIDE: usize = (32 << 10) + 2 * (64 << 10) + (84 << 10) + (8 << 10);

/// Optimised, it is made where it is to be; a stack would be too small for it.
#[inline(never)]
fn new_compressor<M: Machine>() -> Result<Box<CompressorOxide>, NoMemory> {
    heap::allowed::<M, _>(size_of::<CompressorOxide>() + COMPRESSOR_BESIDE, Box::default)
}
