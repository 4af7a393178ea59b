//! Reclaim: who looks for pages that can leave memory, when, and for how long.
//!
//! One pass takes up to 32 folios from the inactive list's tail. Pages that were accessed since get a second chance. The others
//! leave all page tables; the dirty ones are written, the clean ones dropped (`page_out`).
//!
//! # Who reclaims
//!
//! `kswapd` wakes when fewer frames than `low` are free and works until there are `high`. A task that wants a frame then
//! frees some itself, and when only `min` are left it waits until it has. When every page that may leave has been looked at
//! three times, none could leave and no write is on its way, and no `swapoff` can be given up for it (`leaving`), a process
//! is killed for the task that asked (`oom`). A disk that refuses writes brings that about sooner.
//!
//! The last pages that could be dropped do not go ([`policy::are_files_scarce`]): they are the code of what runs, which would
//! come back as fast as it goes, and frames that come free so would never be in vain.
//!
//! # Locking
//!
//! No spinning lock is held from one folio to the next. A folio's own lock is only tried, never waited for, so reclaim
//! cannot wait for a fault that waits for reclaim.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use arrayvec::ArrayVec;
use quire_machine::arch::cpu;
use quire_machine::clock;
use quire_machine::physical;
use quire_machine::pte;
use quire_machine::running::Running;
use quire_machine::sync::{Rank, SpinLock};
use quire_machine::task::{self, WaitQueue, is_killed, time};
use quire_machine::watermark::Purpose;
use quire_swap::{Folio as _, IoError, Locked, SHADOW_BITS};

use super::AllocationError;
use super::cgroup;
use super::folio::{self, BATCH, Folio, FolioBatch, NewFolio};
use super::lru::{self, List};
use super::oom::{self, Verdict};
use super::page_out;
use super::policy::{self, Turns};
use crate::swap::{self, Plug};
use crate::tasks;
use crate::upcall::upcalls;

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
    /// Private pages that their programs gave away with `MADV_FREE` (Linux: `pglazyfree`).
    pub given_away: AtomicU64,
    /// Those of them that were dropped (Linux: `pglazyfreed`).
    pub lazily_freed: AtomicU64,
    /// Dirty folios given to the swap core, which writes those that are not zero.
    pub written: AtomicU64,
    /// TLB flushes.
    pub flushes: AtomicU64,
    /// Passes by tasks that needed a frame themselves (Linux: `allocstall`).
    pub direct: AtomicU64,
    /// Folios looked at that can be dropped.
    pub scanned_files: AtomicU64,
    /// Folios looked at by `kswapd`, and by tasks.
    pub scanned_by: [AtomicU64; 2],
    /// Folios taken out of all page tables by `kswapd`, and by tasks (Linux: `pgsteal`).
    pub stolen: [AtomicU64; 2],
    /// Folios that went from an active list to the inactive one.
    pub deactivated: AtomicU64,
    /// Pages that came back from swap and had been evicted by reclaim.
    pub refaults: AtomicU64,
    /// Those of them that came back so soon that they are active.
    pub refaults_activated: AtomicU64,
    /// How often `kswapd` was woken.
    pub wakeups: AtomicU64,
}

/// What reclaim has done since boot.
pub static COUNTERS: Counters = Counters {
    scanned: AtomicU64::new(0),
    second_chances: AtomicU64::new(0),
    dropped_clean: AtomicU64::new(0),
    given_away: AtomicU64::new(0),
    lazily_freed: AtomicU64::new(0),
    written: AtomicU64::new(0),
    flushes: AtomicU64::new(0),
    direct: AtomicU64::new(0),
    scanned_files: AtomicU64::new(0),
    scanned_by: [const { AtomicU64::new(0) }; 2],
    stolen: [const { AtomicU64::new(0) }; 2],
    deactivated: AtomicU64::new(0),
    refaults: AtomicU64::new(0),
    refaults_activated: AtomicU64::new(0),
    wakeups: AtomicU64::new(0),
};

static SWAPPINESS: AtomicU32 = AtomicU32::new(policy::SWAPPINESS);
static TURNS: SpinLock<Turns> = SpinLock::new(Rank::Lru, Turns::new());

/// `vm.swappiness`.
pub fn swappiness() -> u32 {
    SWAPPINESS.load(Ordering::Relaxed)
}

/// Sets `vm.swappiness`, at most [`policy::SWAPPINESS_MAX`].
pub fn set_swappiness(swappiness: u32) {
    SWAPPINESS.store(swappiness.min(policy::SWAPPINESS_MAX), Ordering::Relaxed);
}

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
    pte::start()?;
    task::spawn("kswapd", kswapd).map(drop)
}

/// Says that few frames are free.
pub fn wake_kswapd() {
    if !KSWAPD_WANTED.swap(true, Ordering::AcqRel) {
        KSWAPD.wake_all();
    }
}

fn kswapd() {
    task::current().running().set_reclaims();
    loop {
        KSWAPD.wait_until(|| KSWAPD_WANTED.swap(false, Ordering::AcqRel));
        COUNTERS.wakeups.fetch_add(1, Ordering::Relaxed);
        (upcalls().memory_is_low)();
        let mut effort = Effort::default();
        while physical::free_frames() < physical::watermarks().high && !effort.is_hopeless() {
            effort.try_once();
        }
        if effort.is_hopeless() {
            // Nothing helps for now; a later allocation asks again.
            time::sleep(PATIENCE);
        }
    }
}

/// Takes a frame for a page that a task waits for, and charges the task's cgroup; reclaims and sleeps if it must, and
/// has a process killed when nothing can be reclaimed.
///
/// # Errors
/// [`AllocationError`] when nothing helps, or the task's own process is the one that was killed.
pub fn wait_for_frame() -> Result<NewFolio, AllocationError> {
    let cgroup = cgroup::current();
    if cgroup != cgroup::ROOT {
        cgroup::charge(cgroup)?;
    }
    let folio = take_frame().inspect_err(|AllocationError| cgroup::uncharge(cgroup))?;
    folio.metadata().cgroup.store(cgroup, Ordering::Relaxed);
    Ok(folio)
}

/// Takes a frame for a page that may be wanted soon, if there is one and the cgroup may have it.
pub fn frame_if_free() -> Option<NewFolio> {
    let cgroup = cgroup::current();
    cgroup::try_charge(cgroup).ok()?;
    let Some(folio) = NewFolio::allocate(Purpose::Task) else {
        cgroup::uncharge(cgroup);
        return None;
    };
    folio.metadata().cgroup.store(cgroup, Ordering::Relaxed);
    Some(folio)
}

#[inline]
fn take_frame() -> Result<NewFolio, AllocationError> {
    if physical::free_frames() >= physical::watermarks().low
        && let Some(folio) = NewFolio::allocate(Purpose::Task)
    {
        return Ok(folio);
    }
    reclaim_for_frame()
}

#[inline(never)]
fn reclaim_for_frame() -> Result<NewFolio, AllocationError> {
    let mut patience = swap::Patience::default();
    let mut effort = Effort::default();
    if physical::free_frames() < physical::watermarks().low {
        // Whoever takes frames faster than `kswapd` frees them shares its work, so that some are left for readahead.
        COUNTERS.direct.fetch_add(1, Ordering::Relaxed);
        effort.shrink();
    }
    loop {
        if let Some(folio) = NewFolio::allocate(Purpose::Task) {
            return Ok(folio);
        }
        if is_killed() {
            return Err(AllocationError);
        }
        if effort.is_hopeless() {
            effort.plug.submit();
            // Where an area is being emptied nothing can go: that gives up before a task has to die for it.
            if patience.is_worth_it() {
                effort.in_vain = 0;
                continue;
            }
            // A task that disables an area just does not get the frame.
            let is_over = || effort.has_news();
            let is_refused = swap::disables_swap()
                || if tasks::has_process() {
                    oom::relieve(cgroup::ROOT, is_over) == Verdict::NoVictim
                } else {
                    oom::give_up_own(is_over)
                };
            if is_refused {
                return Err(AllocationError);
            }
            effort.in_vain = 0;
            continue;
        }
        COUNTERS.direct.fetch_add(1, Ordering::Relaxed);
        effort.try_once();
    }
}

/// Before a task makes the kernel keep something: if what the kernel keeps has come out of the reserve, reclaims some, as nothing can
/// be reclaimed where it is taken. Costs nothing while memory is not that short.
#[inline]
pub fn make_room() {
    if physical::free_frames() < physical::watermarks().min {
        make_room_slowly();
    }
}

#[inline(never)]
fn make_room_slowly() {
    /// More than a call takes that is not refused.
    const PASSES: usize = 8;
    COUNTERS.direct.fetch_add(1, Ordering::Relaxed);
    let mut effort = Effort::default();
    for _ in 0..PASSES {
        if physical::free_frames() >= physical::watermarks().low || effort.shrink().looked_at == 0 {
            break;
        }
    }
}

/// Frees pages of a cgroup, at least one; `false` if none of its pages can leave.
pub(super) fn shrink_cgroup(cgroup: u8) -> bool {
    let mut effort = Effort { cgroup, ..Effort::default() };
    let before = cgroup::pages(cgroup);
    loop {
        effort.try_once();
        if cgroup::pages(cgroup) < before {
            return true;
        }
        if effort.is_hopeless() || is_killed() {
            return false;
        }
    }
}

/// One pass, whether or not frames are short; how many folios are out of all page tables now. What has to be written is on its
/// way.
pub fn pass() -> usize {
    Effort::default().shrink().leaving
}

/// Somebody's attempts to free frames.
#[derive(Default)]
struct Effort {
    /// Only pages of this cgroup, or of those in it.
    cgroup: u8,
    /// What is to be written, kept from one attempt to the next so that requests get long; submitted before any wait.
    plug: Plug,
    /// Folios looked at since the last that left, with more weight for those that the disk refused.
    in_vain: usize,
    /// What [`FREED_FRAMES`] was when `in_vain` last began at 0.
    freed: u64,
    /// Pages of the cgroup are out of all page tables since the last look that was in vain, and may be written now.
    has_left: bool,
}

impl Effort {
    /// How many folios that stay for now count as much as one whose write was refused: it will be refused again.
    const REFUSED: usize = 32;

    /// One pass; then, if that did not free a frame but something may soon, waits a little.
    fn try_once(&mut self) {
        let freed_before = FREED_FRAMES.load(Ordering::Acquire);
        let refused_before = FAILED_WRITES.load(Ordering::Acquire);
        let Pass { looked_at, leaving } = self.shrink();
        let freed = || FREED_FRAMES.load(Ordering::Acquire) != freed_before;
        if !freed() && (writes_under_way() > 0 || looked_at == 0) {
            self.plug.submit();
            FREED.wait_until_or(clock::since_boot() + PATIENCE, || freed() || is_killed());
        }
        let refused = FAILED_WRITES.load(Ordering::Acquire) - refused_before;
        let is_worth_it = if self.cgroup == cgroup::ROOT {
            freed() || refused == 0 && (leaving > 0 || writes_under_way() > 0)
        } else {
            // What becomes of the pages of others is no help to a cgroup.
            self.has_left = leaving > 0 || looked_at == 0 && self.has_left;
            refused == 0 && self.has_left && (leaving > 0 || writes_under_way() > 0)
        };
        if is_worth_it {
            self.in_vain = 0;
        } else {
            self.in_vain += if looked_at == 0 { BATCH } else { looked_at } + refused * Self::REFUSED;
        }
    }

    /// One batch: tries to take 32 folios out of memory, fewer for a small cgroup, which is not to lose more than it must.
    fn shrink(&mut self) -> Pass {
        let most = if self.cgroup == cgroup::ROOT { BATCH } else { (cgroup::pages(self.cgroup) / 64).clamp(1, BATCH) };
        let lengths = self.candidates();
        if lengths.evictable() == 0 {
            return Pass { looked_at: 0, leaving: 0 };
        }
        let is_for_files = TURNS.lock().is_for_files(&lengths, swappiness());
        let list = if is_for_files { List::InactiveFile } else { List::Inactive };
        self.balance(list, &lengths, most);
        let mut batch = self.isolate(list, most);
        let looked_at = batch.len();
        cpu::with_running(|running| running.set_reclaiming(true));
        let leaving = page_out::page_out(&mut batch, list, &mut self.plug);
        cpu::with_running(|running| running.set_reclaiming(false));

        let who = usize::from(!cpu::with_running(Running::reclaims).unwrap_or(false));
        COUNTERS.scanned.fetch_add(looked_at as u64, Ordering::Relaxed);
        COUNTERS.scanned_by[who].fetch_add(looked_at as u64, Ordering::Relaxed);
        COUNTERS.stolen[who].fetch_add(leaving as u64, Ordering::Relaxed);
        if is_for_files {
            COUNTERS.scanned_files.fetch_add(looked_at as u64, Ordering::Relaxed);
        }
        Pass { looked_at, leaving }
    }

    /// How many pages are in the lists from which some may leave.
    fn candidates(&self) -> lru::Lengths {
        let can_swap = swap::core().totals().0 > 0;
        if self.cgroup != cgroup::ROOT {
            return lru::lengths_of_cgroup(self.cgroup).restricted_to(true, can_swap);
        }
        let lengths = lru::lengths();
        let can_drop = !policy::are_files_scarce(&lengths, physical::free_frames(), physical::watermarks().high);
        lengths.restricted_to(can_drop, can_swap)
    }

    fn isolate(&self, list: List, most: usize) -> FolioBatch {
        if self.cgroup == cgroup::ROOT {
            lru::isolate(list, most)
        } else {
            lru::isolate_of_cgroup(list, self.cgroup, most)
        }
    }

    /// Feeds an inactive list from the tail of its active one when it has become the shorter one.
    fn balance(&self, list: List, lengths: &lru::Lengths, most: usize) {
        let (active, inactive) = match list {
            List::InactiveFile | List::ActiveFile => (lengths.active_file, lengths.inactive_file),
            _ => (lengths.active, lengths.inactive),
        };
        if !policy::is_inactive_short(active, inactive) {
            return;
        }
        let batch = self.isolate(list.active(), most);
        COUNTERS.deactivated.fetch_add(batch.len() as u64, Ordering::Relaxed);
        // They start their way through the inactive list with a clean slate: only an access from now on counts.
        page_out::forget_access(&batch);
        batch.iter().for_each(|folio| lru::add(folio, list));
    }

    /// Every page that may leave was looked at three times, so has long lost its second chance, none could leave, and no frame
    /// has come free in any other way meanwhile.
    fn is_hopeless(&mut self) -> bool {
        if self.has_news() {
            self.freed = FREED_FRAMES.load(Ordering::Acquire);
            self.in_vain = 0;
        }
        self.in_vain > 3 * self.candidates().evictable() + 16 * BATCH
    }

    /// Whether frames have come free since the attempts began to be in vain, which do not lift a cgroup's limit.
    fn has_news(&self) -> bool {
        self.cgroup == cgroup::ROOT && FREED_FRAMES.load(Ordering::Acquire) != self.freed
    }
}

/// Frames are free that were not: of a reclaimed folio, or of a task that has ended.
pub fn frames_freed() {
    FREED_FRAMES.fetch_add(1, Ordering::Release);
    FREED.wake_all();
}

/// Sleeps until `condition` holds, which is looked at when frames have come free, or `deadline` has passed; returns whether it
/// holds.
pub(super) fn wait_for_freed_until(deadline: Duration, condition: impl FnMut() -> bool) -> bool {
    FREED.wait_until_or(deadline, condition)
}

/// Writes of folios that were started and have not ended.
pub fn writes_under_way() -> usize {
    WRITES_UNDER_WAY.load(Ordering::Acquire)
}

/// What one batch came to.
struct Pass {
    /// Folios taken from the inactive list.
    looked_at: usize,
    /// Those that are out of all page tables now.
    leaving: usize,
}

/// A write of a folio begins.
pub(super) fn write_started() {
    WRITES_UNDER_WAY.fetch_add(1, Ordering::AcqRel);
}

/// A write of a folio is over, whatever came of it.
pub(super) fn write_is_over() {
    WRITES_UNDER_WAY.fetch_sub(1, Ordering::AcqRel);
}

/// An area refused to take a folio.
pub(super) fn write_failed() {
    FAILED_WRITES.fetch_add(1, Ordering::Release);
}

/// What the eviction of a folio leaves in its slot.
pub(super) fn next_age() -> u64 {
    EVICTIONS.fetch_add(1, Ordering::Relaxed) & SHADOW_MASK
}

/// Ends the writes of up to a batch of folios, in the thread that completes their area's requests.
pub fn writes_ended(folios: impl Iterator<Item = Folio>, result: Result<(), IoError>) {
    let mut clean = ArrayVec::<Locked<Folio>, BATCH>::new();
    let mut gone = FolioBatch::new();
    let mut count = 0;
    for folio in folios {
        count += 1;
        match result {
            Err(_) => {
                write_failed();
                // Trying again soon would fail again.
                lru::add(&folio, List::Active);
            }
            // Its slot went meanwhile: it is mapped again, or this is the last reference.
            Ok(()) if folio.state().entry().is_none() => gone.push(folio),
            Ok(()) => match Locked::try_lock(folio) {
                Ok(folio) => clean.push(folio),
                Err(busy) => lru::add(&busy, List::Inactive),
            },
        }
    }
    let evicted = page_out::evict(&mut clean, &mut gone);
    folio::drop_all(&mut gone);
    // Whoever finds no write under way any more finds the frames free.
    WRITES_UNDER_WAY.fetch_sub(count, Ordering::AcqRel);
    if evicted > 0 {
        frames_freed();
    } else {
        FREED.wake_all();
    }
}

/// Where a page goes that came back from swap, whose eviction left `shadow`: one that would have stayed, had the list of
/// active pages been given up for it, is active (Linux: `mm/workingset.c`).
pub fn list_after_refault(shadow: u64) -> List {
    if shadow == 0 {
        return List::Inactive;
    }
    COUNTERS.refaults.fetch_add(1, Ordering::Relaxed);
    let distance = EVICTIONS.load(Ordering::Relaxed).wrapping_sub(shadow) & SHADOW_MASK;
    let cgroup = cgroup::current();
    let active = if cgroup == cgroup::ROOT { lru::active() } else { lru::lengths_of_cgroup(cgroup).active };
    if policy::is_working_set(distance, active) {
        COUNTERS.refaults_activated.fetch_add(1, Ordering::Relaxed);
        return List::Active;
    }
    List::Inactive
}
