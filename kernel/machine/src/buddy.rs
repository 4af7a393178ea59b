//! The buddy allocator: blocks of 2^order contiguous frames, split on demand and merged when both halves are free.
//!
//! # Invariants
//!
//! A free block of order `n` starts at a multiple of 2^n, its first frame is [`Kind::Free`] with that order and in the
//! list of that order, its other frames are [`Kind::FreeTail`]. No two free blocks that could be merged stay apart.

use crate::frame::{Frame, FrameNumber, Kind, OwnList};

/// Blocks have orders below this: the largest is 4 MiB, as on Linux.
pub(crate) const ORDERS: u8 = 11;

/// The free lists.
#[derive(Debug)]
pub(crate) struct Buddy {
    lists: [OwnList; ORDERS as usize],
    free: usize,
}

impl Buddy {
    /// An allocator that has nothing to give.
    pub(crate) const fn new() -> Self {
        Self { lists: [const { OwnList::empty() }; ORDERS as usize], free: 0 }
    }

    /// How many frames are free.
    pub(crate) const fn free_frames(&self) -> usize {
        self.free
    }

    /// How many blocks of each order are free.
    #[cfg(test)]
    pub(crate) fn free_blocks(&self) -> [usize; ORDERS as usize] {
        core::array::from_fn(|order| self.lists[order].len())
    }

    /// The order of the smallest block that is free.
    fn smallest(&self) -> Option<u8> {
        (0..ORDERS).find(|&order| !self.lists[usize::from(order)].is_empty())
    }

    /// Takes a block of 2^`order` frames, whose kind becomes `kind`; `None` when no block is large enough.
    pub(crate) fn allocate(&mut self, frames: &[Frame], order: u8, kind: Kind) -> Option<FrameNumber> {
        let mut found = (order..ORDERS).find(|&larger| !self.lists[usize::from(larger)].is_empty())?;
        let block = self.lists[usize::from(found)].first()?;
        self.lists[usize::from(found)].remove(frames, block);
        while found > order {
            found -= 1;
            self.insert(frames, FrameNumber(block.0 + (1 << found)), found);
        }
        for frame in &frames[block.index()..block.index() + (1 << order)] {
            frame.set_kind(kind);
        }
        frames[block.index()].set_order(order);
        self.free -= 1 << order;
        Some(block)
    }

    /// Gives a block back and merges it with its buddies as far as they are free.
    ///
    /// # Panics
    /// When the block is free already: it was freed twice.
    pub(crate) fn free(&mut self, frames: &[Frame], block: FrameNumber, order: u8) {
        for frame in &frames[block.index()..block.index() + (1 << order)] {
            assert!(!frame.is_unused(), "frame {block} of order {order} is freed a second time");
            frame.set_kind(Kind::FreeTail);
        }
        self.merge(frames, block, order);
    }

    /// Makes a block that is [`Kind::FreeTail`], and in no list, one of the free ones.
    fn merge(&mut self, frames: &[Frame], mut block: FrameNumber, mut order: u8) {
        self.free += 1 << order;
        while order + 1 < ORDERS {
            let buddy = FrameNumber(block.0 ^ 1 << order);
            if !frames.get(buddy.index()).is_some_and(|frame| frame.is_free(order)) {
                break;
            }
            self.lists[usize::from(order)].remove(frames, buddy);
            frames[buddy.index()].set_kind(Kind::FreeTail);
            block = block.min(buddy);
            order += 1;
        }
        self.insert(frames, block, order);
    }

    fn insert(&mut self, frames: &[Frame], block: FrameNumber, order: u8) {
        frames[block.index()].set_kind(Kind::Free);
        frames[block.index()].set_order(order);
        self.lists[usize::from(order)].push_front(frames, block);
    }
}

impl Default for Buddy {
    fn default() -> Self {
        Self::new()
    }
}

/// The free lists with a short list of single frames in front of them, because most blocks are single frames that come and
/// go: taking one and giving it back then neither splits nor merges.
///
/// A frame in the short list is [`Kind::FreeTail`], so nothing merges with it.
#[derive(Debug)]
pub(crate) struct SingleFrames {
    buddy: Buddy,
    singles: OwnList,
}

impl SingleFrames {
    /// How many frames come to the short list at a time.
    const BATCH: usize = 32;
    /// The most in the short list.
    const MOST: usize = 2 * Self::BATCH;

    /// Nothing to give.
    pub(crate) const fn new() -> Self {
        Self { buddy: Buddy::new(), singles: OwnList::empty() }
    }

    /// How many frames are free.
    #[inline]
    pub(crate) const fn free_frames(&self) -> usize {
        self.buddy.free_frames() + self.singles.len()
    }

    /// The free lists alone.
    pub(crate) const fn buddy_mut(&mut self) -> &mut Buddy {
        &mut self.buddy
    }

    /// Takes a block of 2^`order` frames, whose kind becomes `kind`; `None` when no block is large enough.
    #[inline]
    pub(crate) fn allocate(&mut self, frames: &[Frame], order: u8, kind: Kind) -> Option<FrameNumber> {
        if order > 0 {
            return self.buddy.allocate(frames, order, kind).or_else(|| {
                self.empty_singles(frames);
                self.buddy.allocate(frames, order, kind)
            });
        }
        if self.singles.is_empty() {
            self.refill(frames);
        }
        let frame = self.singles.first()?;
        self.singles.remove(frames, frame);
        frames[frame.index()].set_kind(kind);
        Some(frame)
    }

    /// Frees a block.
    ///
    /// # Panics
    /// When the block is free already: it was freed twice.
    #[inline]
    pub(crate) fn free(&mut self, frames: &[Frame], block: FrameNumber, order: u8) {
        if order > 0 {
            self.buddy.free(frames, block, order);
            return;
        }
        let frame = &frames[block.index()];
        assert!(!frame.is_unused(), "frame {block} is freed a second time");
        frame.set_kind(Kind::FreeTail);
        frame.set_order(0);
        if self.singles.len() < Self::MOST {
            self.singles.push_front(frames, block);
        } else {
            self.buddy.merge(frames, block, 0);
        }
    }

    /// Takes the smallest blocks that there are, so that large ones stay whole: one by one, single frames would come from
    /// the same.
    #[inline(never)]
    fn refill(&mut self, frames: &[Frame]) {
        let mut missing = Self::BATCH;
        while missing > 0
            && let Some(smallest) = self.buddy.smallest()
        {
            let order = smallest.min(missing.ilog2() as u8);
            let Some(block) = self.buddy.allocate(frames, order, Kind::FreeTail) else { return };
            for frame in block.0..block.0 + (1 << order) {
                self.singles.push_back(frames, FrameNumber(frame));
            }
            missing -= 1 << order;
        }
    }

    /// Empties the short list.
    #[inline(never)]
    fn empty_singles(&mut self, frames: &[Frame]) {
        while let Some(frame) = self.singles.last() {
            self.singles.remove(frames, frame);
            self.buddy.merge(frames, frame, 0);
        }
    }
}

impl Default for SingleFrames {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 3,000 frames, of which 100 to 2,900 are RAM with a hole from 1,000 to 1,023.
    fn machine() -> (Vec<Frame>, Buddy) {
        let frames: Vec<Frame> = (0..3000).map(|_| Frame::reserved()).collect();
        let mut buddy = Buddy::new();
        for frame in (100..1000).chain(1024..2900) {
            buddy.free(&frames, FrameNumber(frame), 0);
        }
        (frames, buddy)
    }

    #[test]
    fn single_frames_merge_to_the_largest_blocks_that_the_memory_map_allows() {
        let (frames, buddy) = machine();
        assert_eq!(buddy.free_frames(), 900 + 1876);
        // 1024..2048 is the only aligned run of 1,024; 2048..2900 is 512 + 256 + 64 + 16 + 4; 100..1000 is
        // 4 + 8 + 16 + 128 + 256 + 256 + 128 + 64 + 32 + 8.
        assert_eq!(buddy.free_blocks(), [0, 0, 2, 2, 2, 1, 2, 2, 3, 1, 1]);
        assert_eq!(frames[1010].kind(), Kind::Reserved);
    }

    #[test]
    fn an_order_that_is_not_there_is_refused_and_takes_nothing() {
        let (frames, mut buddy) = machine();
        assert!(buddy.allocate(&frames, 10, Kind::Device).is_some());
        let before = buddy.free_blocks();
        assert!(buddy.allocate(&frames, 10, Kind::Device).is_none());
        assert_eq!(buddy.free_blocks(), before);
    }

    #[test]
    #[should_panic(expected = "second time")]
    fn a_block_that_is_given_back_twice_is_a_bug() {
        let (frames, mut buddy) = machine();
        let block = buddy.allocate(&frames, 3, Kind::Device).unwrap();
        buddy.free(&frames, block, 3);
        buddy.free(&frames, block, 3);
    }

    #[test]
    fn single_frames_come_back_to_the_blocks_that_they_were_part_of() {
        let (frames, buddy) = machine();
        let blocks = buddy.free_blocks();
        let mut free = SingleFrames { buddy, singles: OwnList::empty() };
        let all = free.free_frames();
        assert_eq!(all, free.buddy_mut().free_frames());
        let taken: Vec<_> = std::iter::from_fn(|| free.allocate(&frames, 0, Kind::Anonymous)).collect();
        assert_eq!((taken.len(), free.free_frames()), (all, 0));
        for frame in taken {
            free.free(&frames, frame, 0);
        }
        assert_eq!(free.free_frames(), all);
        assert_eq!(free.singles.len(), 64, "the short list has enough");
        free.empty_singles(&frames);
        assert_eq!(free.buddy.free_blocks(), blocks);
    }

    #[test]
    fn single_frames_come_from_the_smallest_blocks() {
        let (frames, buddy) = machine();
        let mut free = SingleFrames { buddy, singles: OwnList::empty() };
        assert!(free.allocate(&frames, 0, Kind::Anonymous).is_some());
        // 2 times 4, 2 times 8, and half of a block of 16.
        assert_eq!(free.buddy.free_blocks(), [0, 0, 0, 1, 1, 1, 2, 2, 3, 1, 1]);
        assert_eq!(free.singles.len(), SingleFrames::BATCH - 1);
    }

    #[test]
    fn a_block_is_made_of_single_frames_if_it_must_be() {
        let frames: Vec<Frame> = (0..64).map(|_| Frame::reserved()).collect();
        let mut free = SingleFrames::new();
        (0..64).for_each(|frame| free.free(&frames, FrameNumber(frame), 0));
        assert_eq!(free.allocate(&frames, 6, Kind::Device), Some(FrameNumber(0)));
        assert_eq!((free.free_frames(), frames[0].order()), (0, 6));
        free.free(&frames, FrameNumber(0), 6);
        assert_eq!((free.singles.len(), free.buddy.free_blocks()[6]), (0, 1), "a block stays whole");
    }

    #[test]
    fn frames_without_neighbours_are_given_out_as_well() {
        let frames: Vec<Frame> = (0..64).map(|_| Frame::reserved()).collect();
        let mut free = SingleFrames::new();
        (0..64).step_by(2).for_each(|frame| free.buddy_mut().free(&frames, FrameNumber(frame), 0));
        let taken = std::iter::from_fn(|| free.allocate(&frames, 0, Kind::Anonymous)).count();
        assert_eq!((taken, free.free_frames()), (32, 0));
    }

    #[test]
    fn the_largest_blocks_merge_with_nothing() {
        let frames: Vec<Frame> = (0..2048).map(|_| Frame::reserved()).collect();
        let mut buddy = Buddy::new();
        (0..2048).for_each(|frame| buddy.free(&frames, FrameNumber(frame), 0));
        assert_eq!(buddy.free_blocks(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    }

    #[test]
    #[should_panic(expected = "second time")]
    fn a_single_frame_that_is_given_back_twice_is_a_bug() {
        let (frames, buddy) = machine();
        let mut free = SingleFrames { buddy, singles: OwnList::empty() };
        let frame = free.allocate(&frames, 0, Kind::Device).unwrap();
        free.free(&frames, frame, 0);
        free.free(&frames, frame, 0);
    }

    proptest! {
        /// Beside a plain map of who has which frame: blocks never overlap, are aligned, lie in RAM, the count is
        /// right, and when all are back the free lists are what they were.
        #[test]
        fn blocks_are_disjoint_and_come_back(operations in prop::collection::vec((0_u8..ORDERS, any::<prop::sample::Index>(), any::<bool>()), 1..400)) {
            let (frames, mut buddy) = machine();
            let (free_before, blocks_before) = (buddy.free_frames(), buddy.free_blocks());
            let mut taken = vec![false; frames.len()];
            let mut held: Vec<(FrameNumber, u8)> = Vec::new();
            for (order, which, give_back) in operations {
                if give_back && !held.is_empty() {
                    let (block, order) = held.swap_remove(which.index(held.len()));
                    taken[block.index()..block.index() + (1 << order)].fill(false);
                    buddy.free(&frames, block, order);
                } else if let Some(block) = buddy.allocate(&frames, order, Kind::Anonymous) {
                    prop_assert_eq!(block.0 % (1 << order), 0);
                    for frame in block.index()..block.index() + (1 << order) {
                        prop_assert!(!taken[frame], "frame {} is given out twice", frame);
                        prop_assert!((100..1000).contains(&frame) || (1024..2900).contains(&frame));
                        prop_assert_eq!(frames[frame].kind(), Kind::Anonymous);
                        taken[frame] = true;
                    }
                    held.push((block, order));
                }
                prop_assert_eq!(buddy.free_frames(), free_before - taken.iter().filter(|&&taken| taken).count());
            }
            for (block, order) in held {
                buddy.free(&frames, block, order);
            }
            prop_assert_eq!(buddy.free_blocks(), blocks_before);
        }
    }
}
