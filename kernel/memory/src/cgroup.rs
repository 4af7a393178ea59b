//! Memory cgroups: how much memory and swap the processes of one may use together (Linux: `mm/memcontrol.c`).
//!
//! # What is charged
//!
//! A page in memory is charged to the cgroup of the thread that asked for its frame, until the frame is free; its metadata has
//! the cgroup's number. A slot of swap is charged to the cgroup of the page that goes there, private or of an object, until the
//! slot is free; its table entry has the cgroup's number. What a cgroup is charged, its ancestors are charged too. The root cgroup counts nothing and limits nothing.
//!
//! What the kernel keeps for a process is charged to its cgroup, too: page tables and kernel stacks by the frame, as pages are,
//! and objects of the heap by the byte ([`super::charge`]). Such memory is not reclaimed: a program that asks for more than its
//! cgroup's limit leaves room for is refused, unless pages of the cgroup can leave instead.
//!
//! Reaching a limit, a thread reclaims pages of the cgroup and of those below it; if none can leave, the worst process in the
//! cgroup is killed. Nobody outside of it loses anything.
//!
//! # Numbers
//!
//! There are up to [`MOST`] cgroups at once; a cgroup that is removed while pages are charged to it leaves them to its parent.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use quire_machine::fallible;
use quire_machine::frame::{Frame, Kind};
use quire_machine::physical;
use quire_machine::sync::{Rank, Snapshot, SpinLock};
use quire_machine::task::{self, check_signals, is_killed, scheduler};
use quire_machine::unique::UniqueFrame;
use quire_machine::watermark::Purpose;
use quire_swap::header::PAGE_SIZE;
use quire_swap::{AllocateError, PAYER_MAX};
use spin::Once;

use super::oom::{self, Verdict};
use super::{AllocationError, reclaim};
use crate::swap;

/// The most cgroups at once, the root included: a slot's table entry has room for no greater number.
pub const MOST: usize = PAYER_MAX as usize + 1;
/// The number of the root cgroup.
pub const ROOT: u8 = 0;

/// What happened to a cgroup (Linux: `memory.events`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was about to exceed its limit (`max`).
    Max,
    /// Nothing in it could be reclaimed (`oom`).
    OutOfMemory,
    /// A process in it was killed for it (`oom_kill`).
    Kill,
    /// It was about to exceed its limit on swap (`memory.swap.events`: `max`).
    SwapMax,
    /// A page of it got no slot, for that limit or because there was none (`memory.swap.events`: `fail`).
    SwapFail,
}

impl Event {
    const COUNT: usize = 5;
}

struct State {
    is_used: AtomicBool,
    parent: AtomicU8,
    /// In pages, as are all limits.
    current: AtomicUsize,
    peak: AtomicUsize,
    swapped: AtomicUsize,
    max: AtomicUsize,
    swap_max: AtomicUsize,
    events: [AtomicU64; Event::COUNT],
}

static STATES: [State; MOST] = [const {
    State {
        is_used: AtomicBool::new(false),
        parent: AtomicU8::new(ROOT),
        current: AtomicUsize::new(0),
        peak: AtomicUsize::new(0),
        swapped: AtomicUsize::new(0),
        max: AtomicUsize::new(usize::MAX),
        swap_max: AtomicUsize::new(usize::MAX),
        events: [const { AtomicU64::new(0) }; Event::COUNT],
    }
}; MOST];

/// The heap that is charged to one cgroup, and to its parent when that is removed.
struct Account {
    cgroup: AtomicU8,
    /// In bytes.
    kept: SpinLock<usize>,
}

/// The account of each cgroup but the root.
static ACCOUNTS: [Snapshot<Option<Arc<Account>>>; MOST] = [const { Snapshot::new(None) }; MOST];

impl Account {
    /// # Errors
    /// The cgroup whose limit is reached.
    fn add(&self, bytes: usize) -> Result<(), u8> {
        let mut kept = self.kept.lock();
        let cgroup = self.cgroup.load(Ordering::Relaxed);
        let more = (*kept + bytes).div_ceil(PAGE_SIZE) - kept.div_ceil(PAGE_SIZE);
        for charged in 0..more {
            if let Err(full) = try_charge(cgroup) {
                (0..charged).for_each(|_| uncharge(cgroup));
                return Err(full);
            }
        }
        *kept += bytes;
        Ok(())
    }

    fn remove(&self, bytes: usize) {
        let mut kept = self.kept.lock();
        let fewer = kept.div_ceil(PAGE_SIZE) - (*kept - bytes).div_ceil(PAGE_SIZE);
        *kept -= bytes;
        let cgroup = self.cgroup.load(Ordering::Relaxed);
        (0..fewer).for_each(|_| uncharge(cgroup));
    }
}

/// Bytes that an account has; dropping them takes them off it.
pub(super) struct Kept {
    account: Arc<Account>,
    bytes: usize,
}

impl Kept {
    /// Charges the cgroup of the thread that runs this, if it is not the root; see [`super::charge::Charge::new`].
    pub(super) fn by_current(bytes: usize) -> Result<Option<Self>, AllocationError> {
        let Some(account) = ACCOUNTS[usize::from(current())].get() else { return Ok(None) };
        while let Err(full) = account.add(bytes) {
            note(full, Event::Max);
            if scheduler::with_current(task::Thread::is_killed).unwrap_or(false) || !reclaim::shrink_cgroup(full) {
                return Err(AllocationError);
            }
        }
        Ok(Some(Self { account, bytes }))
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kept").field(&self.bytes).finish()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.account.remove(self.bytes);
    }
}

/// Takes a frame for the kernel to keep, charged to the cgroup of the thread that runs this; `None` also when that has reached
/// its limit.
pub fn allocate(kind: Kind) -> Option<UniqueFrame> {
    let cgroup = current();
    try_charge(cgroup).inspect_err(|full| note(*full, Event::Max)).ok()?;
    let Some(frame) = UniqueFrame::allocate(0, kind, Purpose::Kernel) else {
        uncharge(cgroup);
        return None;
    };
    physical::frames()[frame.number().index()].cgroup.store(cgroup, Ordering::Relaxed);
    Some(frame)
}

/// Frees a frame from [`allocate`].
pub fn free(frame: UniqueFrame) {
    uncharge(physical::frames()[frame.number().index()].cgroup.swap(ROOT, Ordering::AcqRel));
    drop(frame);
}

/// What a cgroup's memory is used for, in bytes (Linux: `memory.stat`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Uses {
    /// Private pages.
    pub anonymous: u64,
    /// Pages of objects.
    pub file: u64,
    /// Kernel stacks.
    pub stacks: u64,
    /// Page tables.
    pub tables: u64,
    /// Objects of the kernel heap.
    pub heap: u64,
}

/// A cgroup.
#[derive(Debug)]
pub struct Cgroup {
    number: u8,
    name: String,
    parent: Option<Arc<Self>>,
}

impl Cgroup {
    /// The cgroup of all that are in no other.
    #[expect(clippy::disallowed_methods, reason = "once, as the kernel starts")]
    pub fn root() -> Arc<Self> {
        static GROUP: Once<Arc<Cgroup>> = Once::new();
        Arc::clone(GROUP.call_once(|| Arc::new(Self { number: ROOT, name: String::new(), parent: None })))
    }

    /// A new cgroup in this one, without limits.
    ///
    /// # Errors
    /// [`AllocationError`] when there are too many, or there is no memory.
    pub fn new_child(self: &Arc<Self>, name: &str) -> Result<Arc<Self>, AllocationError> {
        let name = fallible::text(format_args!("{name}"))?;
        let account = fallible::shared(Account { cgroup: AtomicU8::new(ROOT), kept: SpinLock::new(Rank::Account, 0) })?;
        let is_free = |state: &State| !state.is_used.swap(true, Ordering::AcqRel);
        let number = 1 + STATES[1..].iter().position(is_free).ok_or(AllocationError)?;
        let state = &STATES[number];
        state.parent.store(self.number, Ordering::Relaxed);
        state.peak.store(0, Ordering::Relaxed);
        for limit in [&state.max, &state.swap_max] {
            limit.store(usize::MAX, Ordering::Relaxed);
        }
        for event in &state.events {
            event.store(0, Ordering::Relaxed);
        }
        account.cgroup.store(number as u8, Ordering::Relaxed);
        ACCOUNTS[number].replace(Some(account));
        Ok(fallible::shared(Self { number: number as u8, name, parent: Some(Arc::clone(self)) })?)
    }

    /// What its memory is used for, and that of the cgroups in it.
    pub fn uses(&self) -> Uses {
        let mut uses = Uses::default();
        let is_within: [bool; MOST] = core::array::from_fn(|number| is_within(number as u8, self.number));
        for frame in physical::frames() {
            let place = match frame.kind() {
                Kind::Anonymous => &mut uses.anonymous,
                Kind::Object => &mut uses.file,
                Kind::Stack => &mut uses.stacks,
                Kind::PageTable => &mut uses.tables,
                _ => continue,
            };
            if is_within[usize::from(frame.cgroup.load(Ordering::Relaxed))] {
                *place += PAGE_SIZE as u64;
            }
        }
        // What removed cgroups have left is in their parents' figure, and in no other.
        uses.heap = self.current().saturating_sub(uses.anonymous + uses.file + uses.stacks + uses.tables);
        uses
    }

    const fn state(&self) -> &'static State {
        &STATES[self.number as usize]
    }

    /// Its number, which its processes have.
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// Its name in its parent.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cgroup that it is in; none for the root.
    pub const fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// `memory.current`, in bytes.
    pub fn current(&self) -> u64 {
        bytes(&self.state().current)
    }

    /// `memory.peak`, in bytes.
    pub fn peak(&self) -> u64 {
        bytes(&self.state().peak)
    }

    /// `memory.swap.current`, in bytes.
    pub fn swap_current(&self) -> u64 {
        bytes(&self.state().swapped)
    }

    /// `memory.max`, in bytes; `None` for `max`.
    pub fn max(&self) -> Option<u64> {
        limit(&self.state().max)
    }

    /// `memory.swap.max`, in bytes; `None` for `max`.
    pub fn swap_max(&self) -> Option<u64> {
        limit(&self.state().swap_max)
    }

    /// Sets `memory.max`, rounded down to pages. What is above it is reclaimed at once, or processes are killed; the root has
    /// no limit.
    pub fn set_max(&self, bytes: Option<u64>) {
        if self.number == ROOT {
            return;
        }
        let pages = to_pages(bytes);
        self.state().max.store(pages, Ordering::Relaxed);
        while self.state().current.load(Ordering::Relaxed) > pages {
            // As on Linux, what is above the limit is the next one's business when a signal comes.
            if check_signals().is_err() || !reclaim::shrink_cgroup(self.number) && !kill_in(self.number, 0) {
                return;
            }
        }
    }

    /// Sets `memory.swap.max`, rounded down to pages. What is above it stays in swap.
    pub fn set_swap_max(&self, bytes: Option<u64>) {
        if self.number != ROOT {
            self.state().swap_max.store(to_pages(bytes), Ordering::Relaxed);
        }
    }

    /// How often that happened, in it or below it.
    pub fn events(&self, event: Event) -> u64 {
        self.state().events[event as usize].load(Ordering::Relaxed)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let parent = self.state().parent.load(Ordering::Relaxed);
        // Its processes are gone; pages of objects and what the kernel keeps may have stayed. The parent is charged for them
        // already.
        if let Some(account) = ACCOUNTS[usize::from(self.number)].replace(None) {
            let _kept = account.kept.lock();
            account.cgroup.store(parent, Ordering::Relaxed);
        }
        for frame in physical::frames() {
            let _ = frame.cgroup.compare_exchange(self.number, parent, Ordering::AcqRel, Ordering::Relaxed);
        }
        // The same for slots. One whose charge is just on its way into its table entry is found the next time.
        let swapped = &self.state().swapped;
        while swapped.load(Ordering::Acquire) > 0 {
            swapped.fetch_sub(swap::core().replace_payer(self.number, parent), Ordering::AcqRel);
            task::yield_now();
        }
        self.state().current.store(0, Ordering::Relaxed);
        self.state().is_used.store(false, Ordering::Release);
    }
}

fn bytes(pages: &AtomicUsize) -> u64 {
    pages.load(Ordering::Relaxed) as u64 * PAGE_SIZE as u64
}

fn limit(pages: &AtomicUsize) -> Option<u64> {
    (pages.load(Ordering::Relaxed) != usize::MAX).then(|| bytes(pages))
}

fn to_pages(bytes: Option<u64>) -> usize {
    bytes.map_or(usize::MAX, |bytes| (bytes / PAGE_SIZE as u64) as usize)
}

/// The cgroup and its ancestors, but for the root.
fn upwards(number: u8) -> impl Iterator<Item = u8> {
    let next = |number: u8| (number != ROOT).then_some(number);
    core::iter::successors(next(number), move |number| {
        next(STATES[usize::from(*number)].parent.load(Ordering::Relaxed))
    })
}

/// How many pages the cgroup is charged.
pub(super) fn pages(number: u8) -> usize {
    STATES[usize::from(number)].current.load(Ordering::Relaxed)
}

/// Whether the cgroup is `ancestor` or in it.
pub(super) fn is_within(number: u8, ancestor: u8) -> bool {
    ancestor == ROOT || upwards(number).any(|number| number == ancestor)
}

fn note(number: u8, event: Event) {
    for number in upwards(number) {
        STATES[usize::from(number)].events[event as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The cgroup of the thread that runs this.
#[inline]
pub(super) fn current() -> u8 {
    scheduler::with_current(task::Thread::memory_cgroup).unwrap_or(ROOT)
}

/// Charges a page, unless a limit is reached.
///
/// # Errors
/// The cgroup whose limit is reached.
pub(super) fn try_charge(number: u8) -> Result<(), u8> {
    for charged in upwards(number) {
        let state = &STATES[usize::from(charged)];
        let after = state.current.fetch_add(1, Ordering::AcqRel) + 1;
        if after > state.max.load(Ordering::Relaxed) {
            for undone in upwards(number) {
                STATES[usize::from(undone)].current.fetch_sub(1, Ordering::AcqRel);
                if undone == charged {
                    break;
                }
            }
            return Err(charged);
        }
        state.peak.fetch_max(after, Ordering::Relaxed);
    }
    Ok(())
}

/// Charges a page; reclaims in the cgroup whose limit is reached, has a `swapoff` give up that keeps its pages in memory, or
/// kills there.
///
/// # Errors
/// [`AllocationError`] when the caller is the one to go.
pub(super) fn charge(number: u8) -> Result<(), AllocationError> {
    let mut patience = swap::Patience::default();
    while let Err(full) = try_charge(number) {
        note(full, Event::Max);
        if !is_killed() && reclaim::shrink_cgroup(full) {
            continue;
        }
        if !is_killed() && !is_swap_full(full) && patience.is_worth_it() {
            continue;
        }
        note(full, Event::OutOfMemory);
        if is_killed() || swap::disables_swap() || !kill_in(full, 1) || is_killed() {
            return Err(AllocationError);
        }
    }
    Ok(())
}

/// Has a process of the cgroup killed, unless `more` pages fit below its limit by now; `false` if there is none.
fn kill_in(number: u8, more: usize) -> bool {
    let state = &STATES[usize::from(number)];
    let fits = || state.current.load(Ordering::Acquire) + more <= state.max.load(Ordering::Relaxed);
    let verdict = oom::relieve(number, fits);
    if verdict == Verdict::Killed {
        note(number, Event::Kill);
    }
    verdict != Verdict::NoVictim
}

/// Takes the charge of a page back.
#[inline]
pub(super) fn uncharge(number: u8) {
    for number in upwards(number) {
        STATES[usize::from(number)].current.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Charges slots of swap for what is in the frame to its cgroup (Linux: `mem_cgroup_try_charge_swap`); returns its number, or
/// `None` if the limit of the cgroup or of one that it is in does not allow it.
pub(crate) fn charge_swap(frame: &Frame, slots: usize) -> Option<u8> {
    loop {
        let number = frame.cgroup.load(Ordering::Acquire);
        let mut charged = 0;
        for payer in upwards(number) {
            let state = &STATES[usize::from(payer)];
            charged += 1;
            if state.swapped.fetch_add(slots, Ordering::AcqRel) + slots > state.swap_max.load(Ordering::Relaxed) {
                give_slots_back(upwards(number).take(charged), slots);
                note(number, Event::SwapMax);
                note(number, Event::SwapFail);
                return None;
            }
        }
        // Its cgroup may have gone meanwhile, and left it to its parent.
        if frame.cgroup.load(Ordering::Acquire) == number {
            return Some(number);
        }
        uncharge_swap(number, slots);
    }
}

/// Slots that the cgroup was charged for are free.
pub(crate) fn uncharge_swap(number: u8, slots: usize) {
    give_slots_back(upwards(number), slots);
}

fn give_slots_back(cgroups: impl Iterator<Item = u8>, slots: usize) {
    for number in cgroups {
        STATES[usize::from(number)].swapped.fetch_sub(slots, Ordering::AcqRel);
    }
}

/// A page of the frame's cgroup got no slot; that its limit was reached was noted already.
pub(super) fn note_no_slot(frame: &Frame, error: AllocateError) {
    if error != AllocateError::OverLimit {
        note(frame.cgroup.load(Ordering::Relaxed), Event::SwapFail);
    }
}

/// Whether a limit keeps another page of the cgroup from going to swap.
fn is_swap_full(number: u8) -> bool {
    upwards(number).any(|number| {
        let state = &STATES[usize::from(number)];
        state.swapped.load(Ordering::Relaxed) >= state.swap_max.load(Ordering::Relaxed)
    })
}
