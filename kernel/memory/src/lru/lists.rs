//! The lists of each cgroup, as lists of frames.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrayvec::ArrayVec;
use quire_machine::frame::{Frame, FrameNumber, NO_LIST};
use quire_machine::physical;
use quire_machine::sync::{Rank, SpinGuard, SpinLock};

use super::lengths::Lengths;
use super::list_state::ListState;
use super::turns::Turns;
use crate::cgroup::counts::MOST;
use crate::folio::BATCH;
use crate::policy::{Instance, Pages, Queue, Shadow, Verdict};

/// How a page leaves memory; its frame's metadata has it as the bit that policies leave to their caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Its contents have to be in swap first.
    Swap,
    /// It is as its source has it, or given away.
    Drop,
}

impl Exit {
    pub(super) const BOTH: [Self; 2] = [Self::Swap, Self::Drop];

    pub(super) fn of(page: FrameNumber) -> Self {
        Self::among(pages(), page)
    }

    fn among(pages: Pages<'_>, page: FrameNumber) -> Self {
        if pages.callers_bit(page) { Self::Drop } else { Self::Swap }
    }

    fn note(self, pages: Pages<'_>, page: FrameNumber) {
        pages.set_callers_bit(page, self == Self::Drop);
    }
}

/// The lists of one cgroup.
pub(super) struct Lists {
    instances: [Instance; 2],
    unevictable: Queue,
    /// What [`Instance::is_unsettled`] was of one of them when a page came last.
    is_unsettled: bool,
    pub(super) turns: Turns,
}

/// What can be known of a cgroup's lists without their lock.
struct Summary {
    swappable: AtomicUsize,
    droppable: AtomicUsize,
    unevictable: AtomicUsize,
    is_unsettled: AtomicBool,
}

static LISTS: [SpinLock<Lists>; MOST] = [const { SpinLock::new(Rank::Lru, Lists::new()) }; MOST];

static SUMMARIES: [Summary; MOST] = [const {
    Summary {
        swappable: AtomicUsize::new(0),
        droppable: AtomicUsize::new(0),
        unevictable: AtomicUsize::new(0),
        is_unsettled: AtomicBool::new(false),
    }
}; MOST];

fn pages() -> Pages<'static> {
    Pages(physical::frames())
}

/// Whether reclaim knows the frame with this metadata, in a list or isolated from one.
#[inline]
pub(super) fn is_known(metadata: &Frame) -> bool {
    metadata.list.load(Ordering::Relaxed) != NO_LIST
}

/// Whether the page is in a list, and not isolated from one.
pub(super) fn is_listed(page: FrameNumber) -> bool {
    pages().is_listed(page)
}

/// How long the cgroup's lists are.
pub(super) fn lengths(cgroup: u8) -> Lengths {
    let seen = &SUMMARIES[usize::from(cgroup)];
    Lengths {
        swappable: seen.swappable.load(Ordering::Relaxed),
        droppable: seen.droppable.load(Ordering::Relaxed),
        unevictable: seen.unevictable.load(Ordering::Relaxed),
    }
}

/// Whether accessed bits of pages of the cgroup are to be cleared that came a while ago.
#[inline]
pub(super) fn is_unsettled(cgroup: u8) -> bool {
    SUMMARIES[usize::from(cgroup)].is_unsettled.load(Ordering::Relaxed)
}

/// A cgroup's lists, locked.
pub(super) struct LockedLists {
    cgroup: u8,
    lists: SpinGuard<'static, Lists>,
}

/// Locks the lists of the cgroup.
pub(super) fn lock(cgroup: u8) -> LockedLists {
    LockedLists { cgroup, lists: LISTS[usize::from(cgroup)].lock() }
}

impl core::ops::Deref for LockedLists {
    type Target = Lists;

    #[inline]
    fn deref(&self) -> &Lists {
        &self.lists
    }
}

impl core::ops::DerefMut for LockedLists {
    #[inline]
    fn deref_mut(&mut self) -> &mut Lists {
        &mut self.lists
    }
}

impl Drop for LockedLists {
    fn drop(&mut self) {
        let seen = &SUMMARIES[usize::from(self.cgroup)];
        let [swap, drop] = &self.lists.instances;
        seen.swappable.store(swap.len(), Ordering::Relaxed);
        seen.droppable.store(drop.len(), Ordering::Relaxed);
        seen.unevictable.store(self.lists.unevictable.len(), Ordering::Relaxed);
        seen.is_unsettled.store(self.lists.is_unsettled, Ordering::Relaxed);
    }
}

/// Locks the lists of the cgroup that the frame is charged to, which it stays in while they are locked.
pub(super) fn lock_of(frame: &Frame) -> LockedLists {
    loop {
        let cgroup = frame.cgroup.load(Ordering::Acquire);
        let lists = lock(cgroup);
        // A page goes to another cgroup only under the lock of its lists.
        if frame.cgroup.load(Ordering::Relaxed) == cgroup {
            return lists;
        }
    }
}

/// The lists of one page after another, locked once for those in a row that are in the same cgroup.
#[derive(Default)]
pub(super) struct OneByOne(Option<LockedLists>);

impl OneByOne {
    /// The lists of the cgroup that the frame is charged to, which it stays in while they are locked.
    pub(super) fn of(&mut self, frame: &Frame) -> &mut Lists {
        let cgroup = frame.cgroup.load(Ordering::Acquire);
        if self.0.as_ref().is_none_or(|held| held.cgroup != cgroup) {
            self.0 = None;
        }
        self.0.get_or_insert_with(|| lock_of(frame))
    }
}

impl Lists {
    const fn new() -> Self {
        Self {
            instances: [Instance::of_default(), Instance::of_default()],
            unevictable: Queue::of_caller(),
            is_unsettled: false,
            turns: Turns::new(),
        }
    }

    /// Another policy decides from now on.
    ///
    /// # Panics
    /// If there are pages.
    pub(super) fn set_policy(&mut self, policy: &str) -> Option<()> {
        assert!(self.is_empty(), "a policy is chosen before there are pages");
        self.instances = [Instance::named(policy)?, Instance::named(policy)?];
        self.is_unsettled = false;
        self.turns = Turns::new();
        Some(())
    }

    /// Whether no page can leave.
    pub(super) fn is_empty(&self) -> bool {
        self.instances.iter().all(Instance::is_empty)
    }

    pub(super) const fn instance(&mut self, exit: Exit) -> &mut Instance {
        &mut self.instances[exit as usize]
    }

    fn instance_of(&mut self, pages: Pages<'_>, page: FrameNumber) -> &mut Instance {
        self.instance(Exit::among(pages, page))
    }

    fn is_unevictable(&self, pages: Pages<'_>, page: FrameNumber) -> bool {
        pages.list(page) == self.unevictable.number()
    }

    /// Adds a page that reclaim does not know; whether it did not.
    pub(super) fn add(&mut self, page: FrameNumber, exit: Exit, shadow: Shadow) -> bool {
        let pages = pages();
        if pages.list(page) != NO_LIST {
            // Another task was faster.
            return false;
        }
        exit.note(pages, page);
        let instance = self.instance(exit);
        instance.add(pages, page, shadow);
        let is_unsettled = instance.is_unsettled();
        self.is_unsettled |= is_unsettled;
        true
    }

    /// Adds pages in frames that follow one another, which reclaim does not know, and which go to swap. One of them is being accessed.
    pub(super) fn add_together(&mut self, first: FrameNumber, count: u32, accessed: u32) {
        let instance = self.instance(Exit::Swap);
        instance.add_together(pages(), first, count, FrameNumber(first.0 + accessed));
        let is_unsettled = instance.is_unsettled();
        self.is_unsettled |= is_unsettled;
    }

    /// Whether the page is in a list that is protected for the time being.
    pub(super) fn is_active(&mut self, page: FrameNumber) -> bool {
        let pages = pages();
        self.instance_of(pages, page).is_active(pages, page)
    }

    pub(super) fn list_state(&mut self, page: FrameNumber) -> ListState {
        let pages = pages();
        let (listed, unevictable) = (pages.is_listed(page), self.is_unevictable(pages, page));
        let active = listed && !unevictable && self.is_active(page);
        ListState { listed, active, unevictable, droppable: Exit::among(pages, page) == Exit::Drop }
    }

    /// A page that was isolated stays, or one that reclaim does not know is to be known.
    pub(super) fn put_back(&mut self, page: FrameNumber) {
        let pages = pages();
        if pages.is_isolated(page) {
            self.instance_of(pages, page).put_back(pages, page);
        } else {
            self.add(page, Exit::Swap, Shadow::NONE);
        }
    }

    /// A page that was isolated cannot leave just now.
    pub(super) fn refused(&mut self, page: FrameNumber) {
        let pages = pages();
        if pages.is_isolated(page) {
            self.instance_of(pages, page).refused(pages, page);
        } else {
            self.put_back(page);
        }
    }

    /// The page has to stay in memory.
    pub(super) fn keep(&mut self, page: FrameNumber) {
        let pages = pages();
        if self.is_unevictable(pages, page) {
            return;
        }
        if pages.list(page) != NO_LIST {
            self.instance_of(pages, page).remove(pages, page);
        }
        self.unevictable.push(pages, page);
    }

    /// The page need not stay any more.
    pub(super) fn unkeep(&mut self, page: FrameNumber) {
        let pages = pages();
        if self.is_unevictable(pages, page) {
            let exit = Exit::among(pages, page);
            self.remove(page);
            self.add(page, exit, Shadow::NONE);
        }
    }

    /// The page leaves memory in another way than before.
    pub(super) fn set_exit(&mut self, page: FrameNumber, exit: Exit) {
        let pages = pages();
        if Exit::among(pages, page) == exit {
            return;
        }
        // An isolated page has no place in an instance but its own bits.
        if pages.is_listed(page) && !self.is_unevictable(pages, page) {
            self.remove(page);
            self.add(page, exit, Shadow::NONE);
        }
        exit.note(pages, page);
    }

    /// Takes the page out of the list that it is in, to be looked at; whether it was in one.
    pub(super) fn isolate(&mut self, page: FrameNumber) -> bool {
        let pages = pages();
        !self.is_unevictable(pages, page) && self.instance_of(pages, page).isolate(pages, page)
    }

    /// Isolates the page that is to be looked at next.
    pub(super) fn next(&mut self, exit: Exit) -> Option<FrameNumber> {
        let pages = pages();
        self.instance(exit).next(pages)
    }

    /// What becomes of a page that was isolated, unless it is in a list again.
    pub(super) fn looked_at(&mut self, page: FrameNumber, accessed: bool) -> Verdict {
        let pages = pages();
        if pages.is_isolated(page) {
            self.instance_of(pages, page).looked_at(pages, page, accessed)
        } else {
            Verdict::Stay
        }
    }

    /// The page leaves memory: what its slot is to keep.
    pub(super) fn evicted(&mut self, page: FrameNumber) -> Shadow {
        let pages = pages();
        // Another task may have put it back meanwhile.
        if !pages.is_isolated(page) && !self.isolate(page) {
            self.remove(page);
            return Shadow::NONE;
        }
        let shadow = self.instance_of(pages, page).evicted(pages, page);
        pages.set_callers_bit(page, false);
        shadow
    }

    /// A page that is not in the list of those that stay is mapped, for the first time if it had been read ahead.
    pub(super) fn is_wanted(&mut self, page: FrameNumber, was_read_ahead: bool) {
        let pages = pages();
        if self.is_unevictable(pages, page) {
            return;
        }
        if !pages.is_listed(page) {
            self.put_back(page);
        }
        if was_read_ahead {
            let instance = self.instance_of(pages, page);
            instance.first_access(pages, page);
            let is_unsettled = instance.is_unsettled();
            self.is_unsettled |= is_unsettled;
        }
    }

    pub(super) fn look_soon(&mut self, page: FrameNumber) {
        let pages = pages();
        if !self.is_unevictable(pages, page) {
            self.instance_of(pages, page).look_soon(pages, page);
        }
    }

    /// An accessed bit was found beside that of a page that was looked at.
    pub(super) fn accessed_beside(&mut self, page: FrameNumber) {
        let pages = pages();
        if !self.is_unevictable(pages, page) {
            self.instance_of(pages, page).accessed_beside(pages, page);
        }
    }

    /// Reclaim is to know the page no more, wherever it was.
    pub(super) fn remove(&mut self, page: FrameNumber) {
        let pages = pages();
        if self.is_unevictable(pages, page) && pages.is_listed(page) {
            self.unevictable.remove(pages, page);
        }
        // Isolated from either, it is no more than what its bits say.
        self.instance_of(pages, page).remove(pages, page);
        pages.set_callers_bit(page, false);
    }

    /// Any page that is to be removed, and where it is.
    pub(super) fn any(&mut self) -> Option<(FrameNumber, Option<Exit>)> {
        if let Some(page) = self.unevictable.isolate(pages()) {
            return Some((page, None));
        }
        Exit::BOTH.into_iter().find_map(|exit| Some((self.next(exit)?, Some(exit))))
    }

    /// How many pages are active that leave memory so.
    pub(super) fn active(&mut self, exit: Exit) -> usize {
        self.instance(exit).active()
    }

    /// The next pages whose accessed bits are to be cleared, as far as they fit in.
    pub(super) fn settle(&mut self, settled: &mut ArrayVec<FrameNumber, BATCH>) {
        let pages = pages();
        for instance in &mut self.instances {
            while !settled.is_full()
                && let Some(page) = instance.settle(pages)
            {
                settled.push(page);
            }
        }
        self.is_unsettled = settled.is_full();
    }
}
