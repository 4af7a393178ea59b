//! The lists of pages in the order in which reclaim looks at them.
//!
//! There are two pairs of an active and an inactive list: one for pages that can only go to swap, one for pages that are as
//! their source has them, which can be dropped. A page enters an inactive list at its head and is looked at when it has come
//! to the tail. Found accessed there, it gets its second chance on the active list; the active list's tail feeds the
//! inactive list when that gets short. Pages that must stay are in a list of their own, at which reclaim does not look.
//!
//! # Locking
//!
//! One lock for all lists. A folio in a list has no reference from it: [`isolate`] takes one, which fails for a folio
//! that is just being freed, and that one leaves the list by itself.

use core::sync::atomic::Ordering;

use quire_machine::frame::PageList;
use quire_machine::physical;

pub use self::lists::List;
use self::lists::{LISTS, is_listed};
use crate::cgroup::counts::is_within;
use crate::folio::{Folio, FolioBatch};
pub use crate::policy::Lengths;

pub(crate) mod lists;

/// Puts a folio at the head of `list`, wherever it was.
pub fn add(folio: &Folio, list: List) {
    let mut lists = LISTS.lock();
    if is_listed(folio.metadata()) {
        lists.remove(folio.frame());
    }
    lists.add(folio.frame(), list);
}

/// The page is no longer what its source says: it moves from the lists of those that can be dropped to the others.
pub fn leave_files(folio: &Folio) {
    let is_file = |list: u8| list == List::ActiveFile as u8 || list == List::InactiveFile as u8;
    if !is_file(folio.metadata().list.load(Ordering::Relaxed)) {
        return;
    }
    let mut lists = LISTS.lock();
    match lists.remove(folio.frame()) {
        Some(List::ActiveFile) => lists.add(folio.frame(), List::Active),
        Some(List::InactiveFile) => lists.add(folio.frame(), List::Inactive),
        Some(other) => lists.add(folio.frame(), other),
        None => {}
    }
}

/// The page is next to be looked at.
pub fn deactivate(folio: &Folio) {
    let mut lists = LISTS.lock();
    match lists.remove(folio.frame()) {
        Some(List::Unevictable) => lists.add(folio.frame(), List::Unevictable),
        Some(list) => lists.add(folio.frame(), list.inactive()),
        None => {}
    }
}

/// The page need not stay in memory any more: it can be looked at again.
pub fn unlock(folio: &Folio) {
    if folio.metadata().list.load(Ordering::Relaxed) == List::Unevictable as u8 {
        let mut lists = LISTS.lock();
        match lists.remove(folio.frame()) {
            Some(List::Unevictable) => lists.add(folio.frame(), List::Inactive),
            Some(other) => lists.add(folio.frame(), other),
            None => {}
        }
    }
}

/// Takes the folios out of their lists, for the caller to deal with and put back. Returns those apart that are in none, because
/// another task deals with them, or in that of the unevictable.
pub fn take(folios: &mut FolioBatch) -> FolioBatch {
    let mut left = FolioBatch::new();
    let mut lists = LISTS.lock();
    for index in (0..folios.len()).rev() {
        let frame = folios[index].frame();
        let list = lists.remove(frame);
        if list == Some(List::Unevictable) {
            lists.add(frame, List::Unevictable);
        }
        if matches!(list, None | Some(List::Unevictable)) {
            left.push(folios.remove(index));
        }
    }
    left
}

/// Takes up to `most` folios from the tail of `list`.
#[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
pub fn isolate(list: List, most: usize) -> FolioBatch {
    let frames = physical::frames();
    let mut taken = FolioBatch::new();
    let mut lists = LISTS.lock();
    while taken.len() < most
        && let Some(frame) = lists.list(list).last()
    {
        lists.remove_from(list, frames, frame);
        // A folio without references is on its way to be freed and no longer in a list.
        taken.extend(Folio::try_from_frame(frame));
    }
    taken
}

/// Takes up to `most` folios of the cgroup, and those in it, from the tail of `list`.
///
/// cgroups have no lists of their own: this looks at all pages from the tail on.
#[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
pub fn isolate_of_cgroup(list: List, cgroup: u8, most: usize) -> FolioBatch {
    let frames = physical::frames();
    let mut taken = FolioBatch::new();
    let mut lists = LISTS.lock();
    let mut next = lists.list(list).last();
    while let Some(frame) = next.filter(|_| taken.len() < most) {
        next = lists.list(list).before(frames, frame);
        if is_within(frames[frame.index()].cgroup.load(Ordering::Relaxed), cgroup) {
            lists.remove_from(list, frames, frame);
            taken.extend(Folio::try_from_frame(frame));
        }
    }
    taken
}

/// How much of the lists is the cgroup's, and of those in it.
pub fn lengths_of_cgroup(cgroup: u8) -> Lengths {
    let frames = physical::frames();
    let mut lists = LISTS.lock();
    let [active, inactive, active_file, inactive_file, unevictable] = List::ALL.map(|list| {
        let list = lists.list(list);
        core::iter::successors(list.last(), |frame| list.before(frames, *frame))
            .filter(|frame| is_within(frames[frame.index()].cgroup.load(Ordering::Relaxed), cgroup))
            .count()
    });
    Lengths { active, inactive, active_file, inactive_file, unevictable }
}

/// How many folios are active that can only go to swap.
pub fn active() -> usize {
    LISTS.lock().list(List::Active).len()
}

/// How long the lists are.
pub fn lengths() -> Lengths {
    let lists = LISTS.lock();
    let [active, inactive, active_file, inactive_file, unevictable] = lists.0.each_ref().map(PageList::len);
    Lengths { active, inactive, active_file, inactive_file, unevictable }
}
