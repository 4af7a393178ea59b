//! Reclaim: who looks for pages that can leave memory, when, and for how long.
//!
//! One pass isolates up to 32 folios of one cgroup, which the [`policy`] names ([`lru`]). It is told which of them were accessed,
//! and says which go. These leave all page tables; the dirty ones are written, the clean ones dropped (`page_out`).
//!
//! # Who reclaims
//!
//! `kswapd` wakes when fewer frames than `low` are free and works until there are `high`. A task that wants a frame then
//! frees some itself, and when only `min` are left it waits until it has. When every page that may leave has been looked at
//! [so often](policy::LOOKS_MAX), none could leave and no write is on its way, and no `swapoff` can be given up for it (`leaving`), a process
//! is killed for the task that asked (`oom`). A disk that refuses writes brings that about sooner.
//!
//! A thread that works in a file system reclaims as well, but sends nothing to a swap area whose backend would enter one
//! (`SwapOpsFlags::no_file_systems`): it could wait for itself. Pages without a slot go to another area; those that have one there stay
//! for `kswapd`, which is in no file system.
//!
//! The last pages that could be dropped do not go ([`turns::are_files_scarce`]): they are the code of what runs, which would be read
//! again as fast as it is dropped; and as each of these drops frees a frame, reclaim would never be found to be in vain.
//!
//! # Locking
//!
//! No spinning lock is held from one folio to the next. A folio's own lock is only tried, never waited for, so reclaim
//! cannot wait for a fault that waits for reclaim.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;

use quire_machine::AllocationError;
use quire_machine::arch::cpu;
use quire_machine::clock;
use quire_machine::event::{self, EventKind, Reclaimer};
use quire_machine::physical;
use quire_machine::running::Running;
use quire_machine::task::{self, WaitQueue, is_killed, time};
use quire_swap::Machine;

use crate::cgroup::counts;
use crate::counters::COUNTERS;
use crate::folio::BATCH;
use crate::lru::{self, Exit, turns};
use crate::page_out::{self, Asked};
use crate::policy;
use crate::progress;
use crate::swap::{self, Plug, Quire};
use crate::upcall::upcalls;

/// How long a task waits for writes to end before it looks again.
const PATIENCE: Duration = Duration::from_millis(20);

static KSWAPD: WaitQueue = WaitQueue::new();
static KSWAPD_WANTED: AtomicBool = AtomicBool::new(false);
static SWAPPINESS: AtomicU32 = AtomicU32::new(turns::SWAPPINESS);

/// `vm.swappiness`.
pub fn swappiness() -> u32 {
    SWAPPINESS.load(Ordering::Relaxed)
}

/// Sets `vm.swappiness`, at most [`turns::SWAPPINESS_MAX`].
pub fn set_swappiness(swappiness: u32) {
    SWAPPINESS.store(swappiness.min(turns::SWAPPINESS_MAX), Ordering::Relaxed);
}

/// Starts `kswapd`.
///
/// # Errors
/// [`AllocationError`] when there is no memory for the thread.
pub fn start() -> Result<(), AllocationError> {
    // In a test, the `kswapd` of an earlier machine may have slept until its end.
    KSWAPD_WANTED.store(false, Ordering::Relaxed);
    task::spawn("kswapd", kswapd).map(drop)
}

/// Says that few frames are free.
pub fn wake_kswapd() {
    if !KSWAPD_WANTED.swap(true, Ordering::AcqRel) {
        event::note(EventKind::KswapdWoken, 0, physical::free_frames() as u64);
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

/// Frees pages of a cgroup that is at its limit ([`Effort::free_some`]).
pub(crate) fn shrink_cgroup(cgroup: u8) -> bool {
    Effort::within(cgroup).free_some()
}

/// One pass, whether or not frames are short; how many folios leave memory. What has to be written is on its
/// way.
pub fn pass() -> usize {
    Effort::default().shrink().leaving
}

/// A task's attempts to free frames.
#[derive(Default)]
pub(crate) struct Effort {
    /// Only pages of this cgroup, or of those in it.
    cgroup: u8,
    /// What is to be written, kept from one attempt to the next so that requests get long; submitted before any wait.
    pub(crate) plug: Plug,
    /// Folios looked at since the last that left, with more weight for those that the disk refused.
    pub(crate) in_vain: usize,
    /// At most so many of the folios that these attempts sent to a disk may be refused yet.
    sent: usize,
    /// What [`progress::freed`] was when `in_vain` last began at 0.
    freed: u64,
    /// Pages of the cgroup are out of all page tables since the last look that was in vain, and may be written now.
    has_left: bool,
}

impl Effort {
    /// How many folios that stay for now count as much as one whose write was refused: it will be refused again.
    const REFUSED: usize = 32;

    /// Those to free pages of a cgroup, or of those in it.
    pub(crate) fn within(cgroup: u8) -> Self {
        Self { cgroup, ..Self::default() }
    }

    /// Frees pages of the cgroup, at least one, and if that is easy as many as are read ahead together; `false` if none of its
    /// pages can leave, or the caller is killed.
    pub(crate) fn free_some(&mut self) -> bool {
        /// As many as `page-cluster` allows at first.
        const WANTED: usize = 8;
        /// A small cgroup is not to lose more than one page in so many beyond what it must.
        const PART: usize = 64;
        /// How many batches are looked at for more than one page.
        const BATCHES: usize = 8;
        let before = counts::pages(self.cgroup);
        let wanted = (before / PART).clamp(1, WANTED);
        let mut batches = 0;
        loop {
            self.try_once();
            batches += 1;
            let freed = before.saturating_sub(counts::pages(self.cgroup));
            let is_enough = freed >= wanted || freed > 0 && batches >= BATCHES;
            if is_enough || self.is_hopeless() || is_killed() {
                return freed > 0;
            }
        }
    }

    /// One pass; then, if that did not free a frame but something may soon, waits a little.
    pub(crate) fn try_once(&mut self) {
        let freed_before = progress::freed();
        let refused_before = progress::failed_writes();
        let Pass { looked_at, leaving } = if self.has_enough_on_the_way() { Pass::default() } else { self.shrink() };
        let freed = || progress::freed() != freed_before;
        // What it has to leave to `kswapd` comes free when that runs (Linux: `throttle_direct_reclaim`).
        let leaves_some = || !Quire::may_enter_file_systems();
        if !freed() && (progress::writes_under_way() > 0 || looked_at == 0 || leaves_some()) {
            self.plug.submit();
            progress::wait_for_freed_until(clock::since_boot() + PATIENCE, || freed() || is_killed());
        }
        let refused = progress::failed_writes() - refused_before;
        // While this task waits, others may have had any number refused, which says nothing of the pages that it will look at.
        self.sent += leaving;
        let own_refused = refused.min(self.sent);
        self.sent -= own_refused;
        let is_worth_it = if self.cgroup == counts::ROOT {
            freed() || refused == 0 && (leaving > 0 || progress::writes_under_way() > 0)
        } else {
            // What becomes of the pages of others is no help to a cgroup.
            self.has_left = leaving > 0 || looked_at == 0 && self.has_left;
            refused == 0 && self.has_left && (leaving > 0 || progress::writes_under_way() > 0)
        };
        if is_worth_it {
            self.in_vain = 0;
        } else {
            self.in_vain += if looked_at == 0 { BATCH } else { looked_at } + own_refused * Self::REFUSED;
        }
    }

    /// A batch of the cgroup's pages may be on its way to a slow disk: what is written beyond that is more than the task that is at the
    /// limit has to have done, and goes on when it is killed.
    fn has_enough_on_the_way(&self) -> bool {
        self.has_left && progress::writes_under_way() >= BATCH
    }

    /// One batch: tries to take up to 32 folios of one cgroup out of memory.
    pub(crate) fn shrink(&mut self) -> Pass {
        let (can_drop, can_swap) = self.exits();
        let next = lru::next_to_look_at(self.cgroup, can_drop, can_swap, swappiness());
        let Some((cgroup, exit)) = next else { return Pass { looked_at: 0, leaving: 0 } };
        let mut batch = lru::isolate(cgroup, exit);
        let looked_at = batch.len();
        cpu::with_running(|running| running.set_reclaiming(true));
        let leaving = page_out::page_out(&mut batch, Asked::ByPolicy, &mut self.plug);
        cpu::with_running(|running| running.set_reclaiming(false));

        let who = usize::from(!cpu::with_running(Running::reclaims).unwrap_or(false));
        COUNTERS.scanned.fetch_add(looked_at as u64, Ordering::Relaxed);
        COUNTERS.scanned_by[who].fetch_add(looked_at as u64, Ordering::Relaxed);
        COUNTERS.stolen[who].fetch_add(leaving as u64, Ordering::Relaxed);
        if exit == Exit::Drop {
            COUNTERS.scanned_files.fetch_add(looked_at as u64, Ordering::Relaxed);
        }
        let by = match who {
            _ if self.cgroup != counts::ROOT => Reclaimer::Cgroup,
            0 => Reclaimer::Kswapd,
            _ => Reclaimer::Direct,
        };
        event::note(EventKind::Reclaim, by as u32, event::pair(leaving as u32, looked_at as u32));
        Pass { looked_at, leaving }
    }

    /// Whether pages may be dropped, and whether they may go to swap.
    fn exits(&self) -> (bool, bool) {
        let is_scarce =
            || turns::are_files_scarce(&lru::lengths(), physical::free_frames(), physical::watermarks().high);
        (self.cgroup != counts::ROOT || !is_scarce(), swap::core().totals().0 > 0)
    }

    /// How many pages may leave.
    fn candidates(&self) -> usize {
        let (can_drop, can_swap) = self.exits();
        lru::lengths_within(self.cgroup).restricted_to(can_drop, can_swap).evictable()
    }

    /// Every page that may leave was looked at so often that it has long lost its last chance, none could leave, and no frame has
    /// come free in any other way meanwhile.
    pub(crate) fn is_hopeless(&mut self) -> bool {
        if self.has_news() {
            self.freed = progress::freed();
            self.in_vain = 0;
        }
        self.in_vain > policy::LOOKS_MAX * self.candidates() + 16 * BATCH
    }

    /// Whether frames have come free since the attempts began to be in vain, which do not lift a cgroup's limit.
    pub(crate) fn has_news(&self) -> bool {
        self.cgroup == counts::ROOT && progress::freed() != self.freed
    }
}

/// What one batch came to.
#[derive(Default)]
pub(crate) struct Pass {
    /// Folios that were isolated.
    pub(crate) looked_at: usize,
    /// Those that leave memory.
    pub(crate) leaving: usize,
}
