//! A zspage: a few frames that hold objects of one class, side by side.
//!
//! A free object's header is the next free one's number, so finding one costs the same however full the zspage is.
//! Everything but the frames changes only under the class's lock. The frames stay as long as the zspage holds any object,
//! so a task that keeps an object from being freed or moved may read them without a lock.

use core::array;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use quire_swap::header::PAGE_SIZE;

use super::geometry::{GEOMETRIES, Geometry, HEADER, ZSPAGE_FRAMES};
use crate::machine::PoolMachine;

/// No zspage, no object.
pub(crate) const NONE: u32 = u32::MAX;

/// A free list whose links cannot be believed: the zspage takes no more objects and is never freed.
const DAMAGED: u32 = u32::MAX - 1;

/// Set in the lower half of the header of an object in use, beside its handle; the upper half is its sum.
const IN_USE: u32 = 1 << 31;

/// A zspage's description. All values are only ever written under the lock of its class.
pub(crate) struct Zspage {
    frames: [AtomicU64; ZSPAGE_FRAMES],
    /// What would be the header of an object that fills its frame.
    huge_header: AtomicU64,
    class: AtomicU32,
    used: AtomicU32,
    first_free: AtomicU32,
    /// Objects from here on were never used and have no header yet.
    untouched: AtomicU32,
    /// Neighbours on the list of zspages that are about as full.
    pub(super) next: AtomicU32,
    pub(super) previous: AtomicU32,
}

impl Default for Zspage {
    fn default() -> Self {
        Self {
            frames: array::from_fn(|_| AtomicU64::new(0)),
            huge_header: AtomicU64::new(0),
            class: AtomicU32::new(0),
            used: AtomicU32::new(0),
            first_free: AtomicU32::new(NONE),
            untouched: AtomicU32::new(0),
            next: AtomicU32::new(NONE),
            previous: AtomicU32::new(NONE),
        }
    }
}

/// Whose an object is, and the sum of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) handle: u32,
    pub(crate) sum: u32,
}

impl Zspage {
    /// Makes it a zspage of `class`, empty.
    pub(crate) fn start(&self, class: usize, frames: &[u64]) {
        for (cell, frame) in self.frames.iter().zip(frames) {
            cell.store(*frame, Ordering::Relaxed);
        }
        self.class.store(class as u32, Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
        self.first_free.store(NONE, Ordering::Relaxed);
        self.untouched.store(0, Ordering::Relaxed);
    }

    pub(crate) fn frames(&self) -> impl Iterator<Item = u64> {
        self.frames[..self.geometry().frames].iter().map(|frame| frame.load(Ordering::Relaxed))
    }

    pub(crate) fn class(&self) -> usize {
        self.class.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn geometry(&self) -> Geometry {
        GEOMETRIES[self.class()]
    }

    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.first_free.load(Ordering::Relaxed) == DAMAGED
    }

    /// A free object, for `handle` from here on; `None`, and the zspage is damaged, if there should be one but is not.
    pub(crate) fn take<M: PoolMachine>(&self, handle: u32) -> Option<u32> {
        let untouched = self.untouched.load(Ordering::Relaxed);
        let object = match self.first_free.load(Ordering::Relaxed) {
            NONE if untouched < self.geometry().objects => {
                self.untouched.store(untouched + 1, Ordering::Relaxed);
                untouched
            }
            object if object < untouched => {
                let next = self.header_word::<M>(object) as u32;
                if next != NONE && next >= untouched {
                    self.first_free.store(DAMAGED, Ordering::Relaxed);
                    return None;
                }
                self.first_free.store(next, Ordering::Relaxed);
                object
            }
            _ => {
                self.first_free.store(DAMAGED, Ordering::Relaxed);
                return None;
            }
        };
        self.used.store(self.used() + 1, Ordering::Relaxed);
        self.set_header::<M>(object, Header { handle, sum: 0 });
        Some(object)
    }

    /// The object is not in use any more.
    pub(crate) fn put<M: PoolMachine>(&self, object: u32) {
        self.used.store(self.used() - 1, Ordering::Relaxed);
        if !self.is_damaged() {
            self.set_header_word::<M>(object, self.first_free.load(Ordering::Relaxed).into());
            self.first_free.store(object, Ordering::Relaxed);
        }
    }

    /// Objects that have a header.
    pub(crate) fn touched(&self) -> Range<u32> {
        0..self.untouched.load(Ordering::Relaxed)
    }

    /// The object's header, if it is in use.
    pub(crate) fn header<M: PoolMachine>(&self, object: u32) -> Option<Header> {
        let word = self.header_word::<M>(object);
        let (handle, sum) = (word as u32, (word >> 32) as u32);
        (handle != NONE && handle & IN_USE != 0).then_some(Header { handle: handle & !IN_USE, sum })
    }

    pub(crate) fn set_header<M: PoolMachine>(&self, object: u32, header: Header) {
        self.set_header_word::<M>(object, u64::from(header.sum) << 32 | u64::from(header.handle | IN_USE));
    }

    fn header_word<M: PoolMachine>(&self, object: u32) -> u64 {
        if self.geometry().is_huge() {
            return self.huge_header.load(Ordering::Relaxed);
        }
        let (frame, bytes) = self.piece(object, 0, HEADER);
        let mut word = [0; HEADER];
        M::with_frame(frame, bytes, |bytes| word.copy_from_slice(bytes));
        u64::from_le_bytes(word)
    }

    fn set_header_word<M: PoolMachine>(&self, object: u32, word: u64) {
        if self.geometry().is_huge() {
            return self.huge_header.store(word, Ordering::Relaxed);
        }
        let (frame, bytes) = self.piece(object, 0, HEADER);
        M::with_frame_mut(frame, bytes, |bytes| bytes.copy_from_slice(&word.to_le_bytes()));
    }

    /// Where the object's bytes from `offset` on are: as many of `length` as its frame holds.
    fn piece(&self, object: u32, offset: usize, length: usize) -> (u64, Range<usize>) {
        let start = object as usize * self.geometry().size + offset;
        let frame = self.frames[start / PAGE_SIZE % ZSPAGE_FRAMES].load(Ordering::Relaxed);
        let first = start % PAGE_SIZE;
        (frame, first..(first + length).min(PAGE_SIZE))
    }

    /// Where the object's contents are: one piece, or two when they cross into the next frame.
    pub(crate) fn contents(&self, object: u32, length: usize) -> (Piece, Option<Piece>) {
        let header = if self.geometry().is_huge() { 0 } else { HEADER };
        let first = self.piece(object, header, length);
        let rest = length - first.1.len();
        let second = (rest > 0).then(|| self.piece(object, header + first.1.len(), rest));
        (first, second)
    }

    /// Copies the whole of an object, header included, into an object of another zspage of the class.
    pub(crate) fn copy_to<M: PoolMachine>(&self, object: u32, other: &Self, other_object: u32) {
        let size = self.geometry().size;
        let mut done = 0;
        while done < size {
            let (from, from_bytes) = self.piece(object, done, size - done);
            let (to, to_bytes) = other.piece(other_object, done, size - done);
            let length = from_bytes.len().min(to_bytes.len());
            M::with_frame(from, from_bytes.start..from_bytes.start + length, |source| {
                M::with_frame_mut(to, to_bytes.start..to_bytes.start + length, |target| target.copy_from_slice(source));
            });
            done += length;
        }
    }
}

/// A frame, and which of its bytes.
pub(crate) type Piece = (u64, Range<usize>);
