//! The segments of a log: which are free, how much of each lives, and where the next page goes. Nothing here waits or does I/O.
//!
//! A segment is free, then open, where pages are appended to it, then closed. A closed one in which nothing lives, and that no
//! request is about, is empty: it is discarded, and is free again. The cleaner makes closed ones empty by moving what lives. One
//! that could not be written is closed at once, and not used again when that was so several times.

use alloc::boxed::Box;

use quire_swap::Machine;
use quire_swap::heap::{self, NoMemory};

/// Writers leave so many free segments to the cleaner, which needs one for what it moves.
const FOR_CLEANER: u32 = 1;
/// With fewer free segments, writers clean before they go on.
const FEW: u32 = 3;

/// So often in a row writing to a segment has to fail for it not to be used again: of a request across two segments it is not
/// known which was at fault.
const MOST_FAILURES: u8 = 3;

/// All segments of a log.
pub(super) struct Segments {
    all: Box<[Segment]>,
    /// Pages of a segment.
    length: u32,
    /// The segment that is open, and the page after the last one taken.
    head: Option<(u32, u32)>,
    free: u32,
    empty: u32,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    state: State,
    /// Pages that a slot has.
    live: u16,
    /// Pages of it that are being read, or written.
    reads: u16,
    writes: u16,
    /// How often it was discarded to be written anew.
    wear: u32,
    /// A request that failed wrote to it since it was opened.
    has_failed: bool,
    /// How often in a row that was so.
    failures: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Open,
    Closed,
    /// What lives in it is being moved.
    Leaving,
    /// As closed, but a page of it cannot be moved.
    Stuck,
    Empty,
    Discarding,
    /// It could not be written, and is not used again.
    Retired,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Pages that were swapped out to the log.
    pub(super) written: u64,
    /// Pages that the cleaner wrote once more.
    pub(super) moved: u64,
    /// Of all these, those that went to the page after the one before.
    pub(super) sequential: u64,
    pub(super) discarded: u64,
    last: u32,
}

/// The segments at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overview {
    pub(super) segments: u32,
    pub(super) free: u32,
    pub(super) retired: u32,
    pub(super) live_pages: u64,
    pub(super) least_wear: u32,
    pub(super) most_wear: u32,
}

/// Who takes a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Writer,
    Cleaner,
}

impl Segments {
    /// So many segments of `length` pages, all of them free, numbered from 1: the first of the area holds the header.
    pub(super) fn new<M: Machine>(segments: u32, length: u32) -> Result<Self, NoMemory> {
        let new =
            |_| Segment { state: State::Free, live: 0, reads: 0, writes: 0, wear: 0, has_failed: false, failures: 0 };
        Ok(Self {
            all: heap::slice::<M, _>(segments as usize, new)?,
            length,
            head: None,
            free: segments,
            empty: 0,
            counts: Counts::default(),
        })
    }

    fn of(&mut self, page: u32) -> Option<&mut Segment> {
        self.all.get_mut((page / self.length).checked_sub(1)? as usize)
    }

    /// The next page of the log, which lives from here on and is being written.
    pub(super) fn take(&mut self, by: For) -> Option<u32> {
        let page = match self.head {
            Some((_, next)) if next % self.length != 0 => next,
            _ => self.open(by)?,
        };
        self.head = Some((page / self.length, page + 1));
        let length = self.length;
        let segment = self.of(page)?;
        segment.live += 1;
        segment.writes += 1;
        if (page + 1).is_multiple_of(length) {
            segment.state = State::Closed;
            self.head = None;
        }
        match by {
            For::Writer => self.counts.written += 1,
            For::Cleaner => self.counts.moved += 1,
        }
        self.counts.sequential += u64::from(page == self.counts.last + 1);
        self.counts.last = page;
        Some(page)
    }

    /// Pages of a segment.
    pub(super) const fn length(&self) -> u32 {
        self.length
    }

    /// Opens the free segment that was written least often; its first page.
    fn open(&mut self, by: For) -> Option<u32> {
        if self.free <= FOR_CLEANER && by == For::Writer {
            return None;
        }
        let free = self.all.iter_mut().enumerate().filter(|(_, segment)| segment.state == State::Free);
        let (index, segment) = free.min_by_key(|(_, segment)| segment.wear)?;
        segment.state = State::Open;
        self.free -= 1;
        Some((index as u32 + 1) * self.length)
    }

    /// Whether the cleaner is to make segments free before more is written.
    pub(super) fn is_short(&self) -> bool {
        self.free < FEW
    }

    /// The slot of this page has another now, or is free.
    pub(super) fn release(&mut self, page: u32) {
        self.change(page, |segment| segment.live -= 1);
    }

    /// The device could write it, or could not: then the segment is closed.
    pub(super) fn write_ended(&mut self, page: u32, is_written: bool) {
        if !is_written && self.head.is_some_and(|(open, _)| open == page / self.length) {
            self.head = None;
        }
        self.change(page, |segment| {
            segment.writes -= 1;
            segment.has_failed |= !is_written;
            if segment.has_failed && segment.state == State::Open {
                segment.state = State::Closed;
            }
        });
    }

    pub(super) fn read_started(&mut self, page: u32) {
        self.change(page, |segment| segment.reads += 1);
    }

    pub(super) fn read_ended(&mut self, page: u32) {
        self.change(page, |segment| segment.reads -= 1);
    }

    fn change(&mut self, page: u32, change: impl FnOnce(&mut Segment)) {
        let Some(segment) = self.of(page) else { return };
        change(segment);
        let is_over = matches!(segment.state, State::Closed | State::Stuck);
        if is_over && (segment.live, segment.reads, segment.writes) == (0, 0, 0) {
            segment.failures = if core::mem::take(&mut segment.has_failed) { segment.failures + 1 } else { 0 };
            segment.state = if segment.failures == MOST_FAILURES { State::Retired } else { State::Empty };
            self.empty += u32::from(segment.state == State::Empty);
        }
    }

    /// A segment to be discarded: the first of its pages. [`Segments::discarded`] is to follow.
    pub(super) fn take_empty(&mut self) -> Option<u32> {
        if self.empty == 0 {
            return None;
        }
        let index = self.all.iter().position(|segment| segment.state == State::Empty)?;
        self.all[index].state = State::Discarding;
        self.empty -= 1;
        Some((index as u32 + 1) * self.length)
    }

    /// The segment that begins with this page is free.
    pub(super) fn discarded(&mut self, first: u32) {
        if let Some(segment) = self.of(first) {
            segment.state = State::Free;
            segment.wear += 1;
            self.free += 1;
            self.counts.discarded += 1;
        }
    }

    /// The closed segment in which least lives, if there is one from which anything can be gained: its first page. The caller
    /// moves what lives; [`Segments::left`] is to follow.
    pub(super) fn take_emptiest(&mut self) -> Option<u32> {
        let length = self.length as u16;
        let can_leave = |segment: &Segment| {
            // One in which nothing lives waits for reads to end.
            let can_gain = (1..length).contains(&segment.live);
            segment.state == State::Closed && segment.writes == 0 && can_gain
        };
        let closed = self.all.iter_mut().enumerate().filter(|(_, segment)| can_leave(segment));
        let (index, segment) = closed.min_by_key(|(_, segment)| segment.live)?;
        segment.state = State::Leaving;
        Some((index as u32 + 1) * self.length)
    }

    /// What lived in the segment that begins with this page has been moved, or not all `could_leave`.
    pub(super) fn left(&mut self, first: u32, could_leave: bool) {
        self.change(first, |segment| segment.state = if could_leave { State::Closed } else { State::Stuck });
    }

    pub(super) fn overview(&self) -> Overview {
        let wear = || self.all.iter().map(|segment| segment.wear);
        Overview {
            segments: self.all.len() as u32,
            free: self.free,
            retired: self.all.iter().filter(|segment| segment.state == State::Retired).count() as u32,
            live_pages: self.all.iter().map(|segment| u64::from(segment.live)).sum(),
            least_wear: wear().min().unwrap_or(0),
            most_wear: wear().max().unwrap_or(0),
        }
    }
}

impl Counts {
    fn all(self) -> u64 {
        self.written + self.moved
    }

    /// Pages written for each that was swapped out, in hundredths.
    pub(super) fn write_amplification(self) -> u64 {
        (self.all() * 100).checked_div(self.written).unwrap_or(100)
    }

    /// Of all pages written, those that went to the page after the one before, in percent.
    pub(super) fn sequential_percent(self) -> u64 {
        (self.sequential * 100).checked_div(self.all()).unwrap_or(100)
    }
}

#[cfg(test)]
mod tests {
    use quire_testkit::{Fake, Memory};

    use super::*;

    const LENGTH: u32 = 8;

    /// So many free segments.
    fn free(segments: u32) -> Segments {
        Memory::new(0);
        Segments::new::<Fake>(segments, LENGTH).unwrap_or_else(|NoMemory| panic!("there is memory"))
    }

    /// The only segment is written and given up. Whether it can be used again.
    fn is_kept_after(segments: &mut Segments, is_written: bool) -> bool {
        let pages = if is_written { LENGTH } else { 1 };
        for _ in 0..pages {
            let page = segments.take(For::Cleaner).unwrap();
            segments.write_ended(page, is_written);
            segments.release(page);
        }
        segments.take_empty().is_some_and(|first| {
            segments.discarded(first);
            true
        })
    }

    #[test]
    fn a_segment_is_retired_when_writing_to_it_fails_three_times_in_a_row() {
        let mut segments = free(1);
        for is_written in [false, false, true, false, false, true, true, false, false] {
            assert!(is_kept_after(&mut segments, is_written));
        }
        assert_eq!(segments.overview().most_wear, 9);
        assert!(!is_kept_after(&mut segments, false));
        assert_eq!((segments.take(For::Cleaner), segments.overview().retired), (None, 1));
    }

    #[test]
    fn a_segment_with_pages_on_their_way_is_neither_cleaned_nor_discarded() {
        let mut segments = free(2);
        let pages: [u32; LENGTH as usize] = core::array::from_fn(|_| segments.take(For::Writer).unwrap());
        segments.release(pages[1]);
        pages[1..].iter().for_each(|page| segments.write_ended(*page, true));
        assert_eq!(segments.take_emptiest(), None, "its first page is being written");
        pages[2..].iter().for_each(|page| segments.release(*page));
        segments.release(pages[0]);
        assert_eq!(segments.take_empty(), None, "its first page is being written");
        segments.read_started(pages[2]);
        segments.write_ended(pages[0], true);
        assert_eq!(segments.take_empty(), None, "a page is being read");
        segments.read_ended(pages[2]);
        assert_eq!(segments.take_empty(), Some(LENGTH));
        assert_eq!(segments.take(For::Writer), None, "the cleaner's is not a writer's, nor what is being discarded");
        segments.discarded(LENGTH);
        assert_eq!(segments.take(For::Writer), Some(2 * LENGTH), "it was written less often");
    }
}
