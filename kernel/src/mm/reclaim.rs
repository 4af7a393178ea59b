//! Reclaim: choosing pages that can leave memory, and taking them out.
//!
//! # One pass
//!
//! One pass takes up to 32 folios from the inactive list's tail. Pages that were accessed since get a second chance.
//! The others get a slot, enter the swap cache, and their page-table words become swap entries. Then the TLB is flushed,
//! once. Only after that is anything written: until then a task could still change a page through a translation that
//! the processor remembers. Dirty folios are gathered in a plug and written; clean ones whose slot still holds their
//! contents are dropped without I/O.
//!
//! # Who reclaims
//!
//! `kswapd` wakes when fewer frames than `low` are free and works until there are `high`. A task that wants a frame then
//! frees some itself, and when only `min` are left it waits until it has. When every page has been looked at three times,
//! none could leave and no write is on its way, the task that asked gets no frame, and is killed for it. A disk that
//! refuses writes brings that about sooner.
//!
//! # Locking
//!
//! No spinning lock is held from one folio to the next. A folio's own lock is only tried, never waited for, so reclaim
//! cannot wait for a fault that waits for reclaim.

use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use quire_swap::header::PAGE_SIZE;
use quire_swap::{Folio as _, FolioFlag, IoError, Locked, PageTableWord, SHADOW_BITS, Written};
use x86_64::structures::paging::PageTableFlags as Flags;

use super::AllocationError;
use super::address_space::{self, AddressSpace};
use super::folio::{Folio, Mapping};
use super::lru::{self, List};
use super::physical;
use super::watermark::Purpose;
use crate::arch::page_table::{self, flags_of, frame_of};
use crate::swap::{self, Plug};
use crate::task::{self, WaitQueue, time};

/// Folios that are looked at together (Linux: `SWAP_CLUSTER_MAX`).
const BATCH: usize = 32;

/// How long a task waits for writes to end before it looks again.
const PATIENCE: Duration = Duration::from_millis(20);

static KSWAPD: WaitQueue = WaitQueue::new();
static KSWAPD_WANTED: AtomicBool = AtomicBool::new(false);
static FREED: WaitQueue = WaitQueue::new();
static FREED_FRAMES: AtomicU64 = AtomicU64::new(0);
/// The clock by which refaults are judged: it counts evictions, from 1, since a shadow of 0 says nothing.
static EVICTIONS: AtomicU64 = AtomicU64::new(1);
const SHADOW_MASK: u64 = (1 << SHADOW_BITS) - 1;
static WRITES_UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
/// Writes that a disk refused.
static FAILED_WRITES: AtomicUsize = AtomicUsize::new(0);

/// What reclaim has done.
#[derive(Debug, Default)]
pub struct Counters {
    /// Folios looked at.
    pub scanned: AtomicU64,
    /// Folios that had been accessed and stayed.
    pub second_chances: AtomicU64,
    /// Clean folios that were dropped without being written.
    pub dropped_clean: AtomicU64,
    /// Dirty folios given to the swap core, which writes those that are not zero.
    pub written: AtomicU64,
    /// TLB flushes.
    pub flushes: AtomicU64,
    /// Passes by tasks that needed a frame themselves.
    pub direct: AtomicU64,
}

/// What reclaim has done since boot.
pub static COUNTERS: Counters = Counters {
    scanned: AtomicU64::new(0),
    second_chances: AtomicU64::new(0),
    dropped_clean: AtomicU64::new(0),
    written: AtomicU64::new(0),
    flushes: AtomicU64::new(0),
    direct: AtomicU64::new(0),
};

/// The counters as one line for a person.
pub fn totals() -> impl fmt::Display {
    fmt::from_fn(|f| {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} pages looked at, {} had a second chance, {} dirty and {} clean ones taken out, {} TLB flushes, {} times by a task",
            get(&COUNTERS.scanned),
            get(&COUNTERS.second_chances),
            get(&COUNTERS.written),
            get(&COUNTERS.dropped_clean),
            get(&COUNTERS.flushes),
            get(&COUNTERS.direct)
        )
    })
}

/// Starts `kswapd`.
///
/// # Errors
/// [`AllocationError`] when there is no memory for the thread.
pub fn start() -> Result<(), AllocationError> {
    task::spawn("kswapd", kswapd).map(drop)
}

/// Says that few frames are free.
pub fn wake_kswapd() {
    if !KSWAPD_WANTED.swap(true, Ordering::AcqRel) {
        KSWAPD.wake_all();
    }
}

fn kswapd() {
    task::current().set_reclaims();
    let marks = physical::watermarks();
    loop {
        KSWAPD.wait_until(|| KSWAPD_WANTED.swap(false, Ordering::AcqRel));
        let mut effort = Effort::default();
        while physical::free_frames() < marks.high && !effort.is_hopeless() {
            effort.try_once();
        }
        if effort.is_hopeless() {
            // Nothing helps for now; a later allocation asks again.
            time::sleep(PATIENCE);
        }
    }
}

/// Takes a frame for a page that a task waits for; reclaims and sleeps if it must.
///
/// # Errors
/// [`AllocationError`] when nothing more can be reclaimed.
pub fn wait_for_frame() -> Result<Folio, AllocationError> {
    let mut effort = Effort::default();
    if physical::free_frames() < physical::watermarks().low {
        // Whoever takes frames faster than `kswapd` frees them shares its work, so that some are left for readahead.
        COUNTERS.direct.fetch_add(1, Ordering::Relaxed);
        shrink(&mut effort.plug);
    }
    loop {
        if let Some(folio) = Folio::allocate(Purpose::Task) {
            return Ok(folio);
        }
        if effort.is_hopeless() {
            return Err(AllocationError);
        }
        COUNTERS.direct.fetch_add(1, Ordering::Relaxed);
        effort.try_once();
    }
}

/// Somebody's attempts to free frames.
#[derive(Default)]
struct Effort {
    /// What is to be written, kept from one attempt to the next so that requests get long; submitted before any wait.
    plug: Plug,
    /// Folios looked at since the last that left, with more weight for those that the disk refused.
    in_vain: usize,
}

impl Effort {
    /// How many folios that stay for now count as much as one whose write was refused: it will be refused again.
    const REFUSED: usize = 32;

    /// One pass; then, if that did not free a frame but something may soon, waits a little.
    fn try_once(&mut self) {
        let freed_before = FREED_FRAMES.load(Ordering::Acquire);
        let refused_before = FAILED_WRITES.load(Ordering::Acquire);
        let Pass { looked_at, leaving } = shrink(&mut self.plug);
        let freed = || FREED_FRAMES.load(Ordering::Acquire) != freed_before;
        if !freed() && (writes_under_way() > 0 || looked_at == 0) {
            self.plug.submit();
            FREED.wait_until_or(time::since_boot() + PATIENCE, freed);
        }
        let refused = FAILED_WRITES.load(Ordering::Acquire) - refused_before;
        if freed() || refused == 0 && (leaving > 0 || writes_under_way() > 0) {
            self.in_vain = 0;
        } else {
            self.in_vain += looked_at.max(BATCH) + refused * Self::REFUSED;
        }
    }

    /// Every page was looked at three times, so has long lost its second chance, and none could leave.
    fn is_hopeless(&self) -> bool {
        let (active, inactive) = lru::lengths();
        self.in_vain > 3 * (active + inactive) + 16 * BATCH
    }
}

/// Frames are free that were not: of a reclaimed folio, or of a task that has ended.
pub fn frames_freed() {
    FREED_FRAMES.fetch_add(1, Ordering::Release);
    FREED.wake_all();
}

/// Writes of folios that were started and have not ended.
pub fn writes_under_way() -> usize {
    WRITES_UNDER_WAY.load(Ordering::Acquire)
}

/// A folio that is out of all page tables, and whether its contents are newer than its slot's.
struct Unmapped {
    folio: Locked<Folio>,
    dirty: bool,
}

/// What one batch came to.
struct Pass {
    /// Folios taken from the inactive list.
    looked_at: usize,
    /// Those that are out of all page tables now.
    leaving: usize,
}

/// One batch: tries to take 32 folios out of memory.
fn shrink(plug: &mut Plug) -> Pass {
    let mut candidates = [const { None }; BATCH];
    balance(&mut candidates);
    let looked_at = lru::isolate(List::Inactive, &mut candidates);
    Pass { looked_at, leaving: shrink_these(&mut candidates, plug) }
}

/// Takes the pages of `range` that are in memory out of it, whether they were accessed or not (Linux: `MADV_PAGEOUT`).
pub fn page_out(space: &AddressSpace, range: Range<u64>) {
    let mut plug = Plug::new();
    let mut candidates = [const { None }; BATCH];
    let mut count = 0;
    for address in range.step_by(PAGE_SIZE) {
        let PageTableWord::Present(word) = PageTableWord::decode(space.word(address)) else { continue };
        let Some(folio) = Folio::try_from_frame(frame_of(word)) else { continue };
        lru::remove(folio.frame());
        was_accessed(&folio);
        candidates[count] = Some(folio);
        count += 1;
        if count == BATCH {
            shrink_these(&mut candidates, &mut plug);
            count = 0;
        }
    }
    shrink_these(&mut candidates, &mut plug);
}

/// Tries to take these folios, which are on no list, out of memory. Returns how many are out of all page tables now.
fn shrink_these(candidates: &mut [Option<Folio>; BATCH], plug: &mut Plug) -> usize {
    let mut unmapped: [Option<Unmapped>; BATCH] = [const { None }; BATCH];
    let (mut looked_at, mut leaving) = (0, 0);
    for (place, candidate) in unmapped.iter_mut().zip(candidates) {
        let Some(folio) = candidate.take() else { break };
        looked_at += 1;
        *place = try_unmap(folio);
        leaving += usize::from(place.is_some());
    }
    COUNTERS.scanned.fetch_add(looked_at, Ordering::Relaxed);
    if leaving > 0 {
        page_table::flush_user_everywhere();
        COUNTERS.flushes.fetch_add(1, Ordering::Relaxed);
    }
    for Unmapped { folio, dirty } in unmapped.into_iter().flatten() {
        take_out(folio, dirty, plug);
    }
    leaving
}

/// Feeds the inactive list from the active one's tail when it has become the shorter one.
fn balance(taken: &mut [Option<Folio>; BATCH]) {
    let (active, inactive) = lru::lengths();
    if inactive >= active {
        return;
    }
    lru::isolate(List::Active, taken);
    for folio in taken.iter_mut().filter_map(Option::take) {
        // It starts its way through the inactive list with a clean slate: only an access from now on counts.
        was_accessed(&folio);
        lru::add(&folio, List::Inactive);
    }
}

/// Decides whether the folio goes; if so gives it a slot and replaces its mapping by the swap entry.
fn try_unmap(folio: Folio) -> Option<Unmapped> {
    let locked = Locked::try_lock(folio).inspect_err(|busy| lru::add(busy, List::Inactive)).ok()?;
    if locked.state().is(FolioFlag::Writeback) {
        lru::add(&locked, List::Inactive);
        return None;
    }
    if was_accessed(&locked) {
        COUNTERS.second_chances.fetch_add(1, Ordering::Relaxed);
        lru::add(&locked, List::Active);
        return None;
    }
    if locked.state().entry().is_none() {
        // Without a mapping, its page was unmapped while it was on its way here: it goes with this reference.
        locked.mapping()?;
        if swap::core().add_to_swap(&locked).is_err() {
            // No slot: there is nowhere else to go.
            lru::add(&locked, List::Active);
            return None;
        }
    }
    let dirty = unmap(&locked) | locked.state().is(FolioFlag::Dirty);
    if locked.mapping().is_some() {
        // There was no memory for the slot's count.
        swap::core().try_free_slot(&locked);
        lru::add(&locked, List::Active);
        return None;
    }
    Some(Unmapped { folio: locked, dirty })
}

/// The page-table word that maps the folio, if one does, with its space's tables locked.
fn with_mapping<R>(folio: &Folio, change: impl FnOnce(&AddressSpace, &AtomicU64) -> R) -> Option<R> {
    let Mapping { space, page } = folio.mapping()?;
    let space = address_space::find(space)?;
    let _tables = space.lock_tables();
    // SAFETY: the space's tables are locked, so none is given back.
    let word = unsafe { page_table::walk(space.root(), page * PAGE_SIZE as u64, 1) }?;
    let current = word.load(Ordering::Acquire);
    let is_mapped = flags_of(current).contains(Flags::PRESENT) && frame_of(current) == folio.frame();
    is_mapped.then(|| change(&space, word))
}

/// Whether the page was accessed since the last time this was asked.
fn was_accessed(folio: &Folio) -> bool {
    with_mapping(folio, |_, word| {
        let before = word.fetch_and(!Flags::ACCESSED.bits(), Ordering::AcqRel);
        flags_of(before).contains(Flags::ACCESSED)
    })
    .unwrap_or(false)
}

/// Replaces the folio's mapping by its swap entry; returns whether the page had been written to. The translation may be
/// remembered by the processor until the next flush.
fn unmap(folio: &Locked<Folio>) -> bool {
    let Some(entry) = folio.state().entry() else { return false };
    let before = with_mapping(folio, |space, word| {
        let Ok(count) = swap::core().duplicate(entry) else { return None };
        let before = word.swap(count.into_word(), Ordering::AcqRel);
        folio.set_mapping(None);
        space.count_resident(1);
        Some(before)
    });
    let Some(Some(before)) = before else { return false };
    // The reference that the word had.
    drop(Folio::from_frame(frame_of(before)));
    flags_of(before).contains(Flags::DIRTY)
}

/// Writes the folio if it is dirty and drops it if it is clean.
fn take_out(folio: Locked<Folio>, dirty: bool, plug: &mut Plug) {
    if !dirty {
        match evict(folio) {
            Ok(()) => {
                COUNTERS.dropped_clean.fetch_add(1, Ordering::Relaxed);
            }
            Err(busy) => lru::add(&busy, List::Inactive),
        }
        return;
    }
    COUNTERS.written.fetch_add(1, Ordering::Relaxed);
    WRITES_UNDER_WAY.fetch_add(1, Ordering::AcqRel);
    folio.state().set(FolioFlag::Dirty);
    match swap::core().write(plug, folio) {
        Written::Queued => return,
        Written::Zero(folio) => {
            if let Err(busy) = evict(folio) {
                lru::add(&busy, List::Inactive);
            }
        }
        Written::Unused(folio) => {
            drop(folio);
            frames_freed();
        }
        Written::Refused(folio) => {
            FAILED_WRITES.fetch_add(1, Ordering::Release);
            lru::add(&folio, List::Active);
        }
    }
    WRITES_UNDER_WAY.fetch_sub(1, Ordering::AcqRel);
}

/// Takes a clean folio that nobody maps out of the swap cache and frees its frame.
///
/// # Errors
/// The folio, when somebody else uses it or it is dirty.
fn evict(folio: Locked<Folio>) -> Result<(), Locked<Folio>> {
    /// The swap cache's and the one of `folio`.
    const REFERENCES: u32 = 2;
    let age = EVICTIONS.load(Ordering::Relaxed) & SHADOW_MASK;
    let folio = swap::core().evict(folio, REFERENCES, age)?;
    EVICTIONS.fetch_add(1, Ordering::Relaxed);
    drop(folio);
    frames_freed();
    Ok(())
}

/// Ends the write of a folio, in the thread that completes its area's requests.
pub fn write_ended(folio: Folio, result: Result<(), IoError>) {
    WRITES_UNDER_WAY.fetch_sub(1, Ordering::AcqRel);
    match result {
        Err(_) => {
            FAILED_WRITES.fetch_add(1, Ordering::Release);
            // Trying again soon would fail again.
            lru::add(&folio, List::Active);
            FREED.wake_all();
        }
        Ok(()) if folio.state().entry().is_none() => {
            // Its slot went meanwhile: it is mapped again, or this is the last reference.
            drop(folio);
            FREED.wake_all();
        }
        Ok(()) => match Locked::try_lock(folio).map(evict) {
            Ok(Ok(())) => {}
            Ok(Err(busy)) => lru::add(&busy, List::Inactive),
            Err(busy) => lru::add(&busy, List::Inactive),
        },
    }
}

/// Where a page goes that came back from swap, whose eviction left `shadow`: one that would have stayed, had the list of
/// active pages been given up for it, is active (Linux: `mm/workingset.c`).
pub fn list_after_refault(shadow: u64) -> List {
    if shadow == 0 {
        return List::Inactive;
    }
    let distance = EVICTIONS.load(Ordering::Relaxed).wrapping_sub(shadow) & SHADOW_MASK;
    if distance <= lru::lengths().0 as u64 { List::Active } else { List::Inactive }
}
