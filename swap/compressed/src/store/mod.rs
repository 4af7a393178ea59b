//! The store: pages kept in fewer bytes of memory than they have.
//!
//! A page that repeats one 8-byte word is that word. Any other is an LZ4 block, readable by every LZ4 decoder, or, if it
//! comes out no shorter than [`HUGE`], the page itself. Both are objects in a pool of size classes, which says how much
//! memory they really take; `pool` and `geometry` describe it. A caller that has time may load a page, deflate it and insert
//! that instead.
//!
//! # Memory
//!
//! Each processor has a workspace, made with the store. Storing a page takes nothing but frames for the pool
//! ([`PoolMachine::allocate_frame`], where a machine keeps its reserve) and, where the pool grows, its tables from the heap
//! ([`Machine::may_allocate`](quire_swap::Machine::may_allocate)); want of either is an error at once.
//!
//! # Pages of a few words
//!
//! They have no form of their own, though LZ4 decodes a word and zeros slowly, byte by byte: of 79,015 pages of python with a JSON
//! document, sqlite, gcc and busybox 0.11 % had up to 8 words that are not zero, and 0.19 % up to 32.
//!
//! # Trust
//!
//! An object's bytes have a sum that is checked before they are looked at, and the decoder checks every length: an object
//! that was changed in memory gives an error and no byte of another page.

mod codec;
mod error;
mod geometry;
pub(crate) mod packed;
mod pool;
mod sum;
mod zspage;

use alloc::boxed::Box;
use core::ops::Range;
use core::sync::atomic::AtomicU64;

pub(crate) use codec::Deflater;
pub use codec::{Decoder, Encoding, Workspace};
pub use error::StoreError;
use geometry::Geometry;
pub use geometry::HUGE;

pub(crate) use sum::sum;

use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::heap;
use quire_swap::sync::{Guard, Lock};

use crate::machine::PoolMachine;
use crate::ranks;
use pool::Pool;

/// Compressed pages in memory.
pub struct Store<M: PoolMachine> {
    pool: Pool<M>,
    workspaces: Box<[Lock<Workspace, M, { ranks::WORKSPACE as u8 }>]>,
}

/// What a page became. It owns nothing: the caller gives it to [`Store::free`] once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// These 8 bytes, repeated (Linux: a same-filled page).
    Same(u64),
    /// An object in the pool.
    Object(Object),
}

/// An object in the pool: 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    handle: u32,
    length: u16,
    encoding: Encoding,
}

/// How much is stored, in what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of objects.
    pub bytes: u64,
    /// Frames of the pool.
    pub frames: u64,
    /// The most that there ever were.
    pub most_frames: u64,
    /// Frames that compaction freed, ever.
    pub compacted: u64,
}

impl Stored {
    /// How many bytes are stored.
    #[inline]
    pub fn length(self) -> usize {
        match self {
            Self::Same(_) => 0,
            Self::Object(object) => object.length(),
        }
    }
}

impl Object {
    /// How many bytes are stored.
    #[inline]
    pub fn length(self) -> usize {
        self.length.into()
    }

    /// What they are.
    pub fn encoding(self) -> Encoding {
        self.encoding
    }

    /// Its size class: two objects of one class take the same memory.
    pub(crate) fn class(self) -> Option<usize> {
        Geometry::class_for(self.length())
    }

    /// The object as a word.
    pub fn to_word(self) -> u64 {
        u64::from(self.handle) | u64::from(self.length) << 32 | (self.encoding as u64) << 48
    }

    /// The object that [`Object::to_word`] made a word of; of any other word, one that does not exist.
    pub fn from_word(word: u64) -> Self {
        Self {
            handle: word as u32,
            length: (word >> 32) as u16,
            encoding: Encoding::ALL[(word >> 48) as usize % Encoding::ALL.len()],
        }
    }
}

impl<M: PoolMachine> Store<M> {
    /// A store for at most so many pages.
    ///
    /// # Errors
    /// [`StoreError::NoMemory`].
    pub fn new(pages: u32) -> Result<Self, StoreError> {
        Self::with_encodings(pages, false)
    }

    /// A store for at most so many pages, which may be inserted as deflate streams if `with_deflate`.
    pub(crate) fn with_encodings(pages: u32, with_deflate: bool) -> Result<Self, StoreError> {
        let workspace = |_| Workspace::new::<M>(with_deflate).map(Lock::new);
        let workspaces = heap::try_slice::<M, _, StoreError>(M::cpus(), workspace)?;
        // While a page is stored again its old object still exists, for each processor.
        let objects = pages.saturating_add(2 * M::cpus() as u32);
        Ok(Self { pool: Pool::new(objects)?, workspaces })
    }

    /// Stores a page.
    ///
    /// # Errors
    /// See [`StoreError`]; nothing is stored then.
    pub fn store(&self, page: &Page) -> Result<Stored, StoreError> {
        match self.store_within(page, HUGE - 1)? {
            Some(stored) => Ok(stored),
            None => self.insert(page, Encoding::Raw).map(Stored::Object),
        }
    }

    /// Stores a page if it takes no more than `most` bytes.
    ///
    /// # Errors
    /// See [`StoreError`]; nothing is stored then.
    pub(crate) fn store_within(&self, page: &Page, most: usize) -> Result<Option<Stored>, StoreError> {
        if let Some(word) = M::repeated_word(page) {
            return Ok(Some(Stored::Same(word)));
        }
        let mut workspace = self.workspace();
        let Some(contents) = workspace.compress(page).filter(|contents| contents.len() <= most.min(HUGE - 1)) else {
            return Ok(None);
        };
        self.insert(contents, Encoding::Lz4).map(|object| Some(Stored::Object(object)))
    }

    /// Loads a page.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]; the page has some bytes of its own or old ones then.
    pub fn load(&self, stored: Stored, page: &mut Page) -> Result<(), StoreError> {
        match stored {
            Stored::Same(word) => M::fill(page, word),
            Stored::Object(object) => {
                let mut workspace = self.workspace();
                let (scratch, decoder) = workspace.parts();
                let read = |contents: &[u8]| decoder.decompress(object.encoding, contents, page);
                let result = self.pool.with(object.handle, object.length(), scratch, read)?;
                result.ok_or(StoreError::Corrupt { handle: object.handle })?;
            }
        }
        Ok(())
    }

    /// Looks at an object's bytes as they are stored.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn with_object<R>(&self, object: Object, read: impl FnOnce(&[u8]) -> R) -> Result<R, StoreError> {
        self.pool.with(object.handle, object.length(), self.workspace().parts().0, read)
    }

    /// Turns a page that has `bytes` of a page in `encoding` somewhere into that page.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if they are no page.
    pub(crate) fn decode(&self, encoding: Encoding, page: &mut Page, bytes: Range<usize>) -> Result<(), StoreError> {
        let corrupt = StoreError::Corrupt { handle: u32::MAX };
        if encoding == Encoding::Raw {
            return if bytes == (0..PAGE_SIZE) { Ok(()) } else { Err(corrupt) };
        }
        let mut workspace = self.workspace();
        let (scratch, decoder) = workspace.parts();
        let scratch = scratch.get_mut(..bytes.len()).ok_or(corrupt)?;
        scratch.copy_from_slice(page.get(bytes).ok_or(corrupt)?);
        decoder.decompress(encoding, scratch, page).ok_or(corrupt)
    }

    /// Decompresses `bytes`, a page in `encoding`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if they are no page.
    pub(crate) fn decode_from(&self, encoding: Encoding, bytes: &[u8], page: &mut Page) -> Result<(), StoreError> {
        let decompressed = self.workspace().parts().1.decompress(encoding, bytes, page);
        decompressed.ok_or(StoreError::Corrupt { handle: u32::MAX })
    }

    /// Stores bytes that are a page in `encoding` already.
    ///
    /// # Errors
    /// See [`StoreError`]; nothing is stored then.
    pub fn insert(&self, contents: &[u8], encoding: Encoding) -> Result<Object, StoreError> {
        let length = u16::try_from(contents.len()).map_err(|_| StoreError::TooLong(contents.len()))?;
        Ok(Object { handle: self.pool.insert(contents)?, length, encoding })
    }

    /// Forgets what was stored.
    pub fn free(&self, stored: Stored) {
        if let Stored::Object(object) = stored {
            self.pool.remove(object.handle, object.length());
        }
    }

    /// Moves objects together. Returns how many frames that freed.
    pub fn compact(&self) -> u64 {
        self.pool.compact()
    }

    /// Sets the most frames that the pool may have; 0 for no limit. What is there already stays.
    pub fn set_limit(&self, frames: u64) {
        self.pool.set_limit(frames);
    }

    /// The most frames so far is what there is now.
    pub fn forget_most_frames(&self) {
        self.pool.forget_most_frames();
    }

    /// The size class that an object of so many bytes would have.
    pub(crate) fn class_for(length: usize) -> Option<usize> {
        Geometry::class_for(length)
    }

    /// How much is stored.
    pub fn usage(&self) -> Usage {
        Usage {
            bytes: self.pool.bytes.get(),
            frames: self.pool.frames.get(),
            most_frames: self.pool.most_frames(),
            compacted: self.pool.compacted(),
        }
    }

    /// Where the number of the objects' bytes is.
    pub(crate) fn bytes(&self) -> &AtomicU64 {
        self.pool.bytes.word()
    }

    /// Where the number of the pool's frames is.
    pub(crate) fn frames(&self) -> &AtomicU64 {
        self.pool.frames.word()
    }

    /// The workspace of this processor, or of another that needs its own just now less.
    fn workspace(&self) -> Guard<'_, Workspace, M, { ranks::WORKSPACE as u8 }> {
        let own = M::cpu() % self.workspaces.len();
        let (before, after) = self.workspaces.split_at(own);
        let free = after.iter().chain(before).find_map(Lock::try_lock);
        free.unwrap_or_else(|| self.workspaces[own].lock())
    }
}
