//! The lists of anonymous pages in the order in which reclaim looks at them: active and inactive.
//!
//! A page enters the inactive list at its head and is looked at when it has come to the tail. Found accessed there, it
//! gets its second chance on the active list; the active list's tail feeds the inactive list when that gets short.
//!
//! # Locking
//!
//! One lock for both lists. A folio in a list has no reference from it: [`isolate`] takes one, which fails for a folio
//! that is just being freed, and that one leaves the list by itself.

use core::sync::atomic::Ordering;

use super::folio::Folio;
use super::frame::{FrameList, FrameNumber};
use super::physical;
use crate::sync::{Rank, SpinLock};

/// Which list a folio is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum List {
    /// Not looked at for the time being.
    Active = 1,
    /// Next to be reclaimed, from its tail on.
    Inactive = 2,
}

const NO_LIST: u8 = 0;

struct Lists {
    active: FrameList,
    inactive: FrameList,
}

impl Lists {
    fn list(&mut self, list: List) -> &mut FrameList {
        match list {
            List::Active => &mut self.active,
            List::Inactive => &mut self.inactive,
        }
    }

    fn add(&mut self, frame: FrameNumber, list: List) {
        let frames = physical::frames();
        debug_assert_eq!(frames[frame.index()].list.load(Ordering::Relaxed), NO_LIST);
        frames[frame.index()].list.store(list as u8, Ordering::Relaxed);
        self.list(list).push_front(frames, frame);
    }

    fn remove(&mut self, frame: FrameNumber) {
        let frames = physical::frames();
        let list = match frames[frame.index()].list.swap(NO_LIST, Ordering::Relaxed) {
            1 => List::Active,
            2 => List::Inactive,
            _ => return,
        };
        self.list(list).remove(frames, frame);
    }
}

static LISTS: SpinLock<Lists> =
    SpinLock::new(Rank::Lru, Lists { active: FrameList::new(), inactive: FrameList::new() });

/// Puts a folio that is in no list at the head of `list`; one that is in a list moves there.
pub fn add(folio: &Folio, list: List) {
    let mut lists = LISTS.lock();
    lists.remove(folio.frame());
    lists.add(folio.frame(), list);
}

/// Takes a frame out of whichever list it is in.
pub fn remove(frame: FrameNumber) {
    if physical::frames()[frame.index()].list.load(Ordering::Relaxed) != NO_LIST {
        LISTS.lock().remove(frame);
    }
}

/// Takes up to as many folios from the tail of `list` as `taken` has room for; returns how many.
pub fn isolate(list: List, taken: &mut [Option<Folio>]) -> usize {
    let mut lists = LISTS.lock();
    let mut count = 0;
    while count < taken.len() {
        let Some(frame) = lists.list(list).last() else { break };
        lists.remove(frame);
        // A folio without references is on its way to be freed and no longer in a list.
        if let Some(folio) = Folio::try_from_frame(frame) {
            taken[count] = Some(folio);
            count += 1;
        }
    }
    count
}

/// How many folios are active and how many inactive.
pub fn lengths() -> (usize, usize) {
    let lists = LISTS.lock();
    (lists.active.len(), lists.inactive.len())
}
