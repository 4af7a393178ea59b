//! `log`: for flash, which is written in order and erased in large pieces.
//!
//! The area's pages are segments of 2 MiB, or what the option `segment` says. Whatever leaves memory is appended to the segment that is open, whichever slots it
//! has; when that is full the free segment that was written least often is opened. A map says where the page of each slot is.
//! The page that a slot had before is dead, as is that of a slot that becomes free; a segment in which nothing lives is
//! discarded as a whole and is free again.
//!
//! # Cleaning
//!
//! With few segments free, whatever wants to write first cleans: the segment in which least lives is read, and what lives in it
//! is appended to the log as well. One task cleans at a time, and the others wait for it with their batches; so it has a batch of
//! its own ([`Plug::for_moving`](quire_swap::Plug::for_moving)), and its frames come from the reserve for reclaim. A page that
//! cannot be read stays where it is and the segment with it, until its slot is free. A segment to which writing fails several
//! times in a row is given up.
//!
//! What that costs depends on how much of the area lives. Slots are fewer than pages: the option `reserve` says how many percent
//! of the pages get none. With the usual 15 % and four of five slots in use, a page that is written at random costs less than two
//! writes, all counted.
//!
//! # Reading
//!
//! A segment is not discarded while a page of it is read: requests count themselves ([`Watcher`](quire_swap::Watcher)). Pages of one window of
//! readahead are sorted by where they are. The log also chooses the slots ([`SwapOps::allocate_slots`]): one after another for
//! all processors, so that pages that left memory together are neighbours by slot, where readahead looks, as well as on the disk.
//!
//! # What is kept where
//!
//! All in memory, as no page outlives a `swapoff`: 4 bytes a slot and 4 bytes a page for the map both ways, in leaves of 1024 that
//! appear when they are needed, and 16 bytes a segment. So there is no map on the disk that could be damaged; wear is counted
//! from `swapon` on. Segment 0, which holds the header, is not used: no other lies across two erase blocks.
//!
//! # Invariants
//!
//! Under the segments' lock: `slots[page] == slot` exactly if `pages[slot] == page`, and a segment has as many living pages as it
//! has such pages, plus those that are being written for the cleaner.

mod clean;
mod map;
mod ops;
mod segments;

use alloc::sync::Arc;
use core::ops::RangeInclusive;

use quire_swap::header::PAGE_SIZE;
use quire_swap::{BLOCK_TYPE, BackendError, BackendType, Machine, Opening, Settings, SwapOps, heap};

use self::map::Map;
use self::ops::Log;

/// The name of the type.
pub const LOG: &str = "log";

/// The option that says how many percent of the pages get no slots.
const RESERVE: &str = "reserve";
const RESERVES: RangeInclusive<u64> = 5..=50;
const USUAL_RESERVE: u64 = 15;
/// The option that says how large a segment is, in KiB: the disk's erase block, or some of them.
const SEGMENT: &str = "segment";
const SEGMENTS: RangeInclusive<u64> = 32..=65536;
const USUAL_SEGMENT: u64 = 2048;
/// Segments beyond those that living pages can fill: the open one, those that writers clean for, and one that is being
/// cleaned.
const SPARE_SEGMENTS: u64 = 5;
/// The fewest segments, so that some are left to be filled.
const LEAST_SEGMENTS: u64 = 8;
/// That of what is stored, here and by the backend below, as none of it outlives a `swapoff`.
const VERSION: u32 = 1;

/// The type of backend.
pub struct LogType;

impl<M: Machine> BackendType<M> for LogType {
    fn versions(&self) -> RangeInclusive<u32> {
        VERSION..=VERSION
    }

    /// What is for the backend below is judged there.
    fn is_overridable(&self, _key: &str) -> bool {
        true
    }

    fn open(&self, opening: &Opening<'_, M>, settings: &Settings<'_>) -> Result<Arc<dyn SwapOps<M>>, BackendError> {
        let reserve = number(settings, RESERVE, RESERVES, USUAL_RESERVE)?;
        let length = number(settings, SEGMENT, SEGMENTS, USUAL_SEGMENT)? * 1024 / PAGE_SIZE as u64;
        if !length.is_power_of_two() {
            return Err(BackendError::option(SEGMENT));
        }
        let below = opening.below(BLOCK_TYPE, &settings.for_below(VERSION, &[RESERVE, SEGMENT]))?;
        if !opening.bad_pages.is_empty() {
            return Err(BackendError::BadPages(opening.bad_pages.len()));
        }
        let segments = (opening.pages / length).saturating_sub(1);
        if segments < LEAST_SEGMENTS {
            let least = (LEAST_SEGMENTS + 1) * length;
            return Err(BackendError::TooSmall { pages: opening.pages, least });
        }
        let most = (segments - SPARE_SEGMENTS) * length;
        // The header's slot is one more. All of it is less than the pages, whose numbers have 32 bits.
        let slots = 1 + most.min(segments * length * (100 - reserve) / 100) as u32;
        let pages = u32::try_from(opening.pages).unwrap_or(u32::MAX);
        let map = heap::arc::<M, _>(Map::new(segments as u32, length as u32, slots, pages)?)?;
        Ok(heap::arc::<M, _>(Log::new(below, map, slots))?)
    }
}

/// The value of an option that is a number.
fn number(
    settings: &Settings<'_>,
    key: &'static str,
    range: RangeInclusive<u64>,
    usual: u64,
) -> Result<u64, BackendError> {
    let Some(value) = settings.get(key) else { return Ok(usual) };
    value.parse().ok().filter(|number| range.contains(number)).ok_or(BackendError::option(key))
}
