//! What is in a pipe: pages, each with what one write has put there, or several that fit together (Linux: `pipe_buffer`).
//!
//! A page is there only while it holds something, and its writer's cgroup is charged for it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use quire_machine::fallible::{self, TryVec};
use quire_memory::charge::Charge;
use quire_swap::header::PAGE_SIZE;

use crate::errno::Errno;

/// The bytes in a pipe, in order.
pub(super) struct Contents {
    buffers: VecDeque<Buffer>,
    /// How many buffers there may be.
    most: usize,
}

/// A page with bytes, of which the first `read` have been read.
struct Buffer {
    bytes: Vec<u8>,
    read: usize,
    _charge: Charge,
}

/// There are buffers beyond the number asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InUse;

impl Contents {
    /// Nothing, with room for `most` pages.
    pub(super) const fn new(most: usize) -> Self {
        Self { buffers: VecDeque::new(), most }
    }

    /// For how many pages there is room.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Makes room for `most` pages.
    ///
    /// # Errors
    /// [`InUse`].
    pub(super) fn set_most(&mut self, most: usize) -> Result<(), InUse> {
        if most < self.buffers.len() {
            return Err(InUse);
        }
        self.most = most;
        Ok(())
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.buffers.iter().map(|buffer| buffer.unread().len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// Whether there is no room for another page.
    pub(super) fn is_full(&self) -> bool {
        self.buffers.len() >= self.most
    }

    /// Puts in the first of `bytes`, which are not none; returns how many. None means that there is no room, as for bytes that fill a
    /// page at most and do not fit as a whole (Linux: `anon_pipe_write`).
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        // What fills no page goes to the last that was put in, if it does as a whole.
        let odd = bytes.len() % PAGE_SIZE;
        if let Some(last) = self.buffers.back_mut().filter(|last| odd != 0 && last.bytes.len() + odd <= PAGE_SIZE) {
            last.bytes.try_extend(bytes[..odd].iter().copied())?;
            return Ok(odd);
        }
        if self.is_full() {
            return Ok(0);
        }
        let part = &bytes[..bytes.len().min(PAGE_SIZE)];
        self.buffers.try_push(Buffer::new(part)?)?;
        Ok(part.len())
    }

    /// Takes out what fits into `place`; returns how much.
    pub(super) fn take(&mut self, place: &mut [u8]) -> usize {
        let mut taken = 0;
        while taken < place.len()
            && let Some(first) = self.buffers.front_mut()
        {
            let unread = first.unread();
            let bytes = unread.len().min(place.len() - taken);
            place[taken..taken + bytes].copy_from_slice(&unread[..bytes]);
            taken += bytes;
            first.read += bytes;
            if first.unread().is_empty() {
                self.buffers.pop_front();
            }
        }
        taken
    }
}

impl Buffer {
    /// A page that begins with `bytes`.
    fn new(bytes: &[u8]) -> Result<Self, Errno> {
        let charge = Charge::new(PAGE_SIZE).map_err(|_| Errno::ENOMEM)?;
        let mut page = fallible::with_capacity(PAGE_SIZE)?;
        page.try_extend(bytes.iter().copied())?;
        Ok(Self { bytes: page, read: 0, _charge: charge })
    }

    fn unread(&self) -> &[u8] {
        &self.bytes[self.read..]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_write_that_fits_into_the_last_page_needs_none_and_others_need_one() {
        let mut contents = Contents::new(2);
        assert_eq!(contents.put(&[1; 100]), Ok(100));
        assert_eq!(contents.put(&[1; PAGE_SIZE - 100]), Ok(PAGE_SIZE - 100));
        assert!(!contents.is_full());
        assert_eq!(contents.put(&[1; PAGE_SIZE - 1]), Ok(PAGE_SIZE - 1));
        assert!(contents.is_full());
        assert_eq!((contents.put(&[1; 2]), contents.put(&[1; 1])), (Ok(0), Ok(1)));
        assert_eq!(contents.set_most(1), Err(InUse));
        // A page that is read is gone, and not before.
        assert_eq!((contents.take(&mut [0; PAGE_SIZE - 1]), contents.is_full()), (PAGE_SIZE - 1, true));
        assert_eq!((contents.take(&mut [0; 1]), contents.is_full()), (1, false));
        assert_eq!((contents.set_most(1), contents.len()), (Ok(()), PAGE_SIZE));
    }

    proptest! {
        #[test]
        fn what_comes_out_is_what_went_in(steps in prop::collection::vec((any::<bool>(), 1_usize..10_000), 1..100)) {
            let (mut contents, mut put, mut taken) = (Contents::new(16), 0, 0);
            let byte = |place: usize| (place % 251) as u8;
            for (puts, length) in steps {
                if puts {
                    let bytes: Vec<u8> = (put..put + length).map(byte).collect();
                    let count = contents.put(&bytes).expect("there is memory");
                    prop_assert!(length > PAGE_SIZE || [0, length].contains(&count));
                    put += count;
                } else {
                    let mut place = vec![0; length];
                    let count = contents.take(&mut place);
                    prop_assert_eq!(count, length.min(put - taken));
                    prop_assert!(place[..count].iter().zip(taken..).all(|(found, at)| *found == byte(at)));
                    taken += count;
                }
                prop_assert_eq!((contents.len(), contents.is_empty()), (put - taken, put == taken));
            }
        }
    }
}
