//! The lists of pages in the order in which reclaim looks at them: a policy's, for each cgroup.
//!
//! Each cgroup has two instances of the [policy](crate::policy): one for pages that can only go to swap, one for pages that are as
//! their source has them, which can be dropped. Pages that must stay are in a list of their own, at which reclaim does not look.
//! Reclaim for all goes round the cgroups, each as often as its share of the pages (`next_to_look_at`); within one it takes
//! turns between the two.
//!
//! # Stations of a page
//!
//! | what happens | call | what the policy is told |
//! |---|---|---|
//! | a new page is mapped | `add` | `add` |
//! | a page comes back from swap | `come_back`, with what its eviction left in the slot | `add` |
//! | a page that was read ahead is touched | `is_wanted` | `first_access` |
//! | the access that brought a page in is long past | `unsettled`, for a batch | `settle` |
//! | reclaim looks for pages | `isolate` | `next` |
//! | what it found | `Judge::looked_at` | `looked_at` |
//! | the page stays after all | `put_back` | `put_back` |
//! | it cannot go | `refused` | `refused`: as if it had been accessed |
//! | it leaves for its slot | `evicted` | `evicted` |
//! | it is freed | `forget` | `remove` |
//!
//! # Locking
//!
//! One lock for each cgroup's lists; never two at once. It covers the `list` bytes and links of the frames that are charged to the
//! cgroup, and that charge itself: a page goes to another cgroup under the lock of the one that it leaves. A folio in a list has no
//! reference from it: `isolate` takes one, which fails for a folio that is just being freed, and that one leaves the list by
//! itself.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use arrayvec::ArrayVec;
use quire_machine::frame::{Frame, FrameNumber};
use quire_machine::physical;
use quire_swap::Locked;

pub use self::lengths::Lengths;
pub use self::list_state::ListState;
pub use self::lists::Exit;
use self::lists::{OneByOne, is_known, is_listed, lock};
use crate::cgroup::counts::{self, is_within};
use crate::counters::COUNTERS;
use crate::folio::{BATCH, BATCH_PAGES, Folio, FolioBatch};
use crate::large_folio::{self, LARGE_PAGES};
use crate::policy::{Instance, NAMES, Pages, Shadow, Verdict};

mod lengths;
mod list_state;
mod lists;
pub mod turns;

/// Whether a policy that decides somewhere looks at the pages mapped beside accessed ones.
static LOOKS_AROUND: AtomicBool = AtomicBool::new(false);

/// The policy of cgroups that are made from now on: its place in [`NAMES`] and 1, or 0 for that of the root.
static CHOSEN: AtomicUsize = AtomicUsize::new(0);

/// The name of the policy that decides in cgroups that are made from now on; it is the root's unless another was chosen.
pub fn policy() -> &'static str {
    let chosen = CHOSEN.load(Ordering::Relaxed).checked_sub(1).and_then(|place| NAMES.get(place));
    chosen.copied().unwrap_or_else(|| lock(counts::ROOT).instance(Exit::Swap).name())
}

/// The policy's lists that are protected for the time being, a bit each by its number; none of a policy whose lists take turns in
/// that.
pub(crate) fn active_lists() -> u8 {
    const TAKES_TURNS: &str = "mglru";
    let mut lists = lock(counts::ROOT);
    let instance = lists.instance(Exit::Swap);
    if instance.name() == TAKES_TURNS { 0 } else { instance.active_lists() }
}

/// Has the policy of that name decide everywhere, before there are pages; `None` if there is no such policy.
pub fn set_policy(name: &str) -> Option<()> {
    LOOKS_AROUND.store(Instance::named(name)?.looks_around(), Ordering::Relaxed);
    HAND.store(0, Ordering::Relaxed);
    (0..counts::MOST).try_for_each(|cgroup| lock(cgroup as u8).set_policy(name))
}

/// Has the policy of that name decide in cgroups that are made from now on; `None` if there is no such policy.
pub fn choose_policy(name: &str) -> Option<()> {
    LOOKS_AROUND.fetch_or(Instance::named(name)?.looks_around(), Ordering::Relaxed);
    let place = NAMES.iter().position(|known| *known == name)?;
    CHOSEN.store(place + 1, Ordering::Relaxed);
    Some(())
}

/// A new cgroup has this number, which another may have had before: nothing is known of its pages.
pub(crate) fn begin(cgroup: u8) {
    let policy = policy();
    let mut lists = lock(cgroup);
    // A page that left the cgroup before this one late may be in a list still, and stays with the policy that knows it.
    if lists.is_empty() {
        let _ = lists.set_policy(policy);
    }
}

/// Whether [`accessed_beside`] is worth calling.
pub(crate) fn looks_around() -> bool {
    LOOKS_AROUND.load(Ordering::Relaxed)
}

fn with_lists_of<T>(frame: &Frame, act: impl FnOnce(&mut lists::Lists) -> T) -> T {
    act(&mut lists::lock_of(frame))
}

/// A page that has just come, for the first time.
pub(crate) fn add(folio: &Folio, exit: Exit) {
    with_lists_of(folio.metadata(), |lists| lists.add(folio.frame(), exit, Shadow::NONE));
}

/// The same for the pages of a large folio, which go to swap, and of which the one at `accessed` alone is being accessed.
pub(crate) fn add_together(folios: &[Folio; LARGE_PAGES], accessed: usize) {
    let [first, ..] = folios;
    let mut lists = OneByOne::default();
    let cgroup = first.metadata().cgroup.load(Ordering::Acquire);
    let of_one = lists.of(first.metadata());
    // While the lists are locked, none of these leaves the cgroup.
    if folios.iter().all(|folio| folio.metadata().cgroup.load(Ordering::Acquire) == cgroup) {
        return of_one.add_together(first.frame(), LARGE_PAGES as u32, accessed as u32);
    }
    for folio in folios {
        lists.of(folio.metadata()).add(folio.frame(), Exit::Swap, Shadow::NONE);
    }
}

/// A page has come back from the slot in which its eviction had left `shadow`; 0 if nothing is known of that.
pub(crate) fn come_back(folio: &Folio, shadow: u64) {
    come_back_each(core::iter::once((folio, shadow)));
}

/// The same for several that have come together.
pub(crate) fn come_back_each<'a>(folios: impl Iterator<Item = (&'a Folio, u64)>) {
    let mut lists = OneByOne::default();
    let (mut refaults, mut activated) = (0, 0);
    for (folio, shadow) in folios {
        let (lists, shadow) = (lists.of(folio.metadata()), Shadow::from_bits(shadow));
        let is_added = lists.add(folio.frame(), Exit::Swap, shadow);
        if !shadow.is_none() {
            refaults += 1;
            activated += u64::from(is_added && lists.is_active(folio.frame()));
        }
    }
    drop(lists);
    if refaults > 0 {
        COUNTERS.refaults.fetch_add(refaults, Ordering::Relaxed);
        COUNTERS.refaults_activated.fetch_add(activated, Ordering::Relaxed);
    }
}

/// A page from the swap cache is mapped, for the first time if it had been read ahead.
#[inline]
pub(crate) fn is_wanted(folio: &Folio, was_read_ahead: bool) {
    if was_read_ahead || !is_listed(folio.frame()) {
        with_lists_of(folio.metadata(), |lists| lists.is_wanted(folio.frame(), was_read_ahead));
    }
}

/// A page that is in use is to be found by reclaim, if it is in no list.
#[inline]
pub(crate) fn put_back(folio: &Folio) {
    with_lists_of(folio.metadata(), |lists| lists.put_back(folio.frame()));
}

/// A page that was to go has no slot, or its slot does not take it: trying again soon would fail again.
pub(crate) fn refused(folio: &Folio) {
    with_lists_of(folio.metadata(), |lists| lists.refused(folio.frame()));
}

/// The page has to stay in memory.
#[inline]
pub(crate) fn keep(folio: &Folio) {
    with_lists_of(folio.metadata(), |lists| lists.keep(folio.frame()));
}

/// The page need not stay in memory any more.
pub(crate) fn unkeep(folio: &Folio) {
    if is_known(folio.metadata()) {
        with_lists_of(folio.metadata(), |lists| lists.unkeep(folio.frame()));
    }
}

/// From now on the page leaves memory in that way.
#[inline]
pub(crate) fn set_exit(folio: &Folio, exit: Exit) {
    if Exit::of(folio.frame()) != exit {
        with_lists_of(folio.metadata(), |lists| lists.set_exit(folio.frame(), exit));
    }
}

/// The page is next to be looked at.
pub(crate) fn look_soon(folio: &Folio) {
    with_lists_of(folio.metadata(), |lists| lists.look_soon(folio.frame()));
}

/// Where reclaim has the page now.
pub(crate) fn list_state(folio: &Folio) -> ListState {
    with_lists_of(folio.metadata(), |lists| lists.list_state(folio.frame()))
}

/// The frame's last reference went.
pub(crate) fn forget(frame: &'static Frame) {
    if is_known(frame) {
        with_lists_of(frame, |lists| lists.remove(physical::number_of(frame)));
    }
}

/// Asks the policy about isolated folios, one after another.
#[derive(Default)]
pub(crate) struct Judge(OneByOne);

impl Judge {
    /// What becomes of the folio, of which the look has found whether it was accessed: one that stays is in a list again.
    pub(crate) fn looked_at(&mut self, folio: &Folio, accessed: bool) -> Verdict {
        self.0.of(folio.metadata()).looked_at(folio.frame(), accessed)
    }

    /// The folio has to stay.
    #[inline]
    pub(crate) fn keep(&mut self, folio: &Folio) -> Verdict {
        self.0.of(folio.metadata()).keep(folio.frame());
        Verdict::Stay
    }

    /// The folio stays for now, and the policy has learnt nothing.
    pub(crate) fn put_back(&mut self, folio: &Folio) -> Verdict {
        self.0.of(folio.metadata()).put_back(folio.frame());
        Verdict::Stay
    }
}

/// A page was accessed that is mapped beside one that was looked at. Reclaim may not know it.
pub(crate) fn accessed_beside(frame: FrameNumber) {
    with_lists_of(&physical::frames()[frame.index()], |lists| lists.accessed_beside(frame));
}

/// Whether that is worth a look at the page's accessed bit.
pub(crate) fn may_be_beside(frame: FrameNumber) -> bool {
    Instance::may_be_beside(Pages(physical::frames()), frame)
}

/// Folios leave memory for their slots: what each of these is to keep. One that has to stay after all is [`put_back`].
#[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
pub(crate) fn evicted(folios: &[Locked<Folio>]) -> ArrayVec<(FrameNumber, u64), BATCH_PAGES> {
    let mut lists = OneByOne::default();
    folios.iter().map(|folio| (folio.frame(), lists.of(folio.metadata()).evicted(folio.frame()).bits())).collect()
}

/// Isolates those of the folios that are in a list from which pages leave, for the caller to deal with and put back; drops the
/// others from the batch.
pub(crate) fn take(folios: &mut FolioBatch) {
    let mut lists = OneByOne::default();
    let mut others = FolioBatch::new();
    for index in (0..folios.len()).rev() {
        if !lists.of(folios[index].metadata()).isolate(folios[index].frame()) {
            others.push(folios.swap_remove(index));
        }
    }
    // Their last references are not dropped under the lock.
    drop(lists);
}

/// Isolates a folio that was to stay and is to go after all; whether it is in a list from which pages leave.
pub(crate) fn isolate_again(folio: &Folio) -> bool {
    with_lists_of(folio.metadata(), |lists| lists.isolate(folio.frame()))
}

/// The most folios that are isolated together from as many pages: few of a small cgroup, which is not to lose more than it must.
const BATCH_PART: usize = 32;

/// Isolates a batch of the cgroup's folios that leave memory in that way, a large one counting as one.
#[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
pub(crate) fn isolate(cgroup: u8, exit: Exit) -> FolioBatch {
    let mut taken = FolioBatch::new();
    let mut lists = lock(cgroup);
    let part = (lists.instance(exit).len() / BATCH_PART).clamp(1, BATCH);
    // What a small cgroup loses is counted in pages.
    let (most, most_pages) = if cgroup == counts::ROOT { (BATCH, BATCH_PAGES) } else { (part, part) };
    let is_any_large = large_folio::have_come();
    // Those that came with another one of a large folio.
    let mut beside = 0;
    while taken.len() - beside < most && taken.len() < most_pages {
        // A large folio is not to be split only because of where the batch ends.
        if taken.remaining_capacity() < LARGE_PAGES {
            break;
        }
        let Some(frame) = lists.next(exit) else { break };
        if is_any_large && physical::frames()[frame.index()].is_of_large_folio() {
            let before = taken.len();
            isolate_beside(&mut lists, cgroup, frame, &mut taken);
            beside += (taken.len() - before).saturating_sub(1);
        } else {
            // A folio without references is on its way to be freed, and to be forgotten.
            taken.extend(Folio::try_from_frame(frame));
        }
    }
    taken
}

/// Takes a page of a large folio, which is isolated, and isolates and takes those that came with it, as far as they are in lists of the
/// cgroup, in their order.
#[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
fn isolate_beside(lists: &mut lists::Lists, cgroup: u8, frame: FrameNumber, taken: &mut FolioBatch) {
    for other in large_folio::frames(frame) {
        let Some(metadata) = physical::frames().get(other.index()) else { break };
        // What is charged to the cgroup stays so while its lists are locked.
        let mut is_beside = || {
            metadata.is_of_large_folio() && metadata.cgroup.load(Ordering::Acquire) == cgroup && lists.isolate(other)
        };
        if other == frame || is_beside() {
            taken.extend(Folio::try_from_frame(other));
        }
    }
}

/// Where reclaim goes round the cgroups, in 2^-32 of all pages.
static HAND: AtomicU32 = AtomicU32::new(0);

/// Which cgroup is looked at next, of those within `ancestor`, and which of its pages: each as often as its share of the pages that may
/// leave.
pub(crate) fn next_to_look_at(ancestor: u8, can_drop: bool, can_swap: bool, swappiness: u32) -> Option<(u8, Exit)> {
    /// The golden ratio's fraction: wherever one begins, what follows is spread evenly.
    const STEP: u32 = 0x9e37_79b9;
    let lengths = |cgroup| lists::lengths(cgroup).restricted_to(can_drop, can_swap);
    let all: usize = cgroups_within(ancestor).map(|cgroup| lengths(cgroup).evictable()).sum();
    let hand = HAND.fetch_add(STEP, Ordering::Relaxed);
    let mut left = ((all as u64 * u64::from(hand)) >> u32::BITS) as usize;
    let cgroup = cgroups_within(ancestor).find(|cgroup| {
        let own = lengths(*cgroup).evictable();
        let is_here = left < own;
        left = left.saturating_sub(own);
        is_here
    })?;
    let is_for_droppable = lock(cgroup).turns.is_for_droppable(&lengths(cgroup), swappiness);
    Some((cgroup, if is_for_droppable { Exit::Drop } else { Exit::Swap }))
}

fn cgroups_within(ancestor: u8) -> impl Iterator<Item = u8> {
    (0..=counts::last()).filter(move |cgroup| is_within(*cgroup, ancestor))
}

/// How long the lists of the cgroup, and of those in it, are together.
pub fn lengths_within(ancestor: u8) -> Lengths {
    cgroups_within(ancestor).map(lists::lengths).fold(Lengths::default(), Lengths::plus)
}

/// How long all lists are.
pub fn lengths() -> Lengths {
    lengths_within(counts::ROOT)
}

/// How many pages are in lists that are protected for the time being, by how they leave memory: [`Exit::Swap`], [`Exit::Drop`].
pub fn active() -> [usize; 2] {
    Exit::BOTH.map(|exit| cgroups_within(counts::ROOT).map(|cgroup| lock(cgroup).active(exit)).sum())
}

/// Whether [`unsettled`] has enough to be done together.
#[inline]
pub(crate) fn is_unsettled(cgroup: u8) -> bool {
    lists::is_unsettled(cgroup)
}

/// Frames of pages of the cgroup that came so long ago that the access that brought them in is to be forgotten now. The pages may have
/// gone meanwhile.
pub(crate) fn unsettled(cgroup: u8) -> ArrayVec<FrameNumber, BATCH> {
    let mut batch = ArrayVec::new();
    lock(cgroup).settle(&mut batch);
    batch
}

/// The cgroup's pages are its parent's from now on.
#[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
pub(crate) fn hand_over(cgroup: u8, parent: u8) {
    loop {
        let mut kept = FolioBatch::new();
        let mut others: [FolioBatch; 2] = [FolioBatch::new(), FolioBatch::new()];
        let mut lists = lock(cgroup);
        let mut count = 0;
        while count < BATCH
            && let Some((frame, exit)) = lists.any()
        {
            count += 1;
            lists.remove(frame);
            leave(&physical::frames()[frame.index()], cgroup, parent);
            let batch = exit.map_or(&mut kept, |exit| &mut others[exit as usize]);
            batch.extend(Folio::try_from_frame(frame));
        }
        drop(lists);
        if count == 0 {
            return;
        }
        kept.iter().for_each(keep);
        for (exit, batch) in Exit::BOTH.into_iter().zip(&others) {
            batch.iter().for_each(|folio| add(folio, exit));
        }
    }
}

/// The same for pages that are in no list just now, and for frames that hold no pages.
pub(crate) fn hand_over_isolated(cgroup: u8, parent: u8) {
    let is_its = |frame: &&Frame| frame.cgroup.load(Ordering::Relaxed) == cgroup;
    for frame in physical::frames().iter().filter(is_its) {
        let lists = lock(cgroup);
        // One that has come into a list since stays the cgroup's as long as it is in there.
        if !is_listed(physical::number_of(frame)) {
            leave(frame, cgroup, parent);
        }
        drop(lists);
    }
}

/// The frame is the parent's from now on, unless it is just coming free. The cgroup's lists are locked.
fn leave(frame: &Frame, cgroup: u8, parent: u8) {
    if frame.cgroup.compare_exchange(cgroup, parent, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
        counts::leave_to_parent(cgroup);
    }
}
