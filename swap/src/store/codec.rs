//! How a page's bytes are written shorter, and read again.

use alloc::boxed::Box;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};

use super::StoreError;
use crate::header::{PAGE_SIZE, Page};
use crate::heap::{self, NoMemory};
use crate::machine::Machine;

/// What an object's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// The page.
    Raw,
    /// The page as one LZ4 block.
    Lz4,
}

impl Encoding {
    /// Every encoding.
    pub const ALL: [Self; 2] = [Self::Raw, Self::Lz4];
}

/// Room for the longest block that a page can become, and for putting an object together.
const BUFFER: usize = get_maximum_output_size(PAGE_SIZE);

/// What a processor needs to compress or to decompress a page.
pub struct Workspace {
    /// Where four bytes were seen last.
    table: Box<CompressTable>,
    buffer: Box<[u8; BUFFER]>,
}

impl Workspace {
    /// A workspace, on the heap.
    ///
    /// # Errors
    /// [`StoreError::NoMemory`].
    pub fn new<M: Machine>() -> Result<Self, StoreError> {
        Ok(Self { table: new_table::<M>()?, buffer: heap::array::<M, _, _>(|_| 0)? })
    }

    /// The page as an LZ4 block.
    pub fn compress(&mut self, page: &Page) -> Option<&[u8]> {
        let length = compress_into_with_table(page, &mut self.buffer[..], &mut self.table).ok()?;
        self.buffer.get(..length)
    }

    pub(super) fn scratch(&mut self) -> &mut [u8] {
        &mut self.buffer[..]
    }
}

/// The table is on the stack before it is on the heap: on its own, because kernel stacks are small.
#[inline(never)]
fn new_table<M: Machine>() -> Result<Box<CompressTable>, NoMemory> {
    if M::may_allocate(size_of::<CompressTable>()) { Ok(Box::new(CompressTable::small())) } else { Err(NoMemory) }
}

/// Writes the page that `contents` are in `encoding`; `None` if they are not a whole page in it.
pub fn decompress(encoding: Encoding, contents: &[u8], page: &mut Page) -> Option<()> {
    match encoding {
        Encoding::Raw => *page = *contents.first_chunk().filter(|_| contents.len() == PAGE_SIZE)?,
        Encoding::Lz4 => _ = decompress_into(contents, page).ok().filter(|length| *length == PAGE_SIZE)?,
    }
    Some(())
}
