//! Memory cgroups: how much memory and swap the processes of one may use together (Linux: `mm/memcontrol.c`).
//!
//! # What is charged
//!
//! A page in memory is charged to the cgroup of the thread that asked for its frame, until the frame is free; its metadata has
//! the cgroup's number. A slot of swap is charged to the cgroup of the page that goes there, private or of an object, until the
//! slot is free; its table entry has the cgroup's number. The frame that its page comes back to is charged to the same,
//! whichever task touches it (Linux: `mem_cgroup_swapin_charge_folio`). What a cgroup is charged, its ancestors are charged
//! too. The root cgroup counts nothing and limits nothing.
//!
//! What the kernel keeps for a process is charged to its cgroup, too: page tables and kernel stacks by the frame, as pages are,
//! and objects of the heap by the byte ([`crate::charge`]). Such memory is not reclaimed: a program that asks for more than its
//! cgroup's limit allows is refused, unless pages of the cgroup can leave instead.
//!
//! Reaching a limit, a thread reclaims pages of the cgroup and of those below it; if none can leave, the worst process in the
//! cgroup is killed. No task outside of it loses anything.
//!
//! # Numbers
//!
//! There are up to [`MOST`] cgroups at once. One that is removed leaves the pages and the slots that it is charged to its parent,
//! and only then its number to another: no frame, no table entry has it any more, and no thread is about to charge it (`held`).

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use quire_machine::fallible::{self, NoMemory};
use quire_machine::frame::Kind;
use quire_machine::physical;
use quire_machine::task::{self, check_signals};
use quire_swap::header::PAGE_SIZE;
use spin::Once;

use self::account::Account;
use self::charge::kill_in;
use self::counts::is_within;
use self::state::{STATES, State};

pub use self::counts::{allocate, free};
pub use self::state::{CgroupEvent, MOST, ROOT};
use crate::reclaim::Effort;
use crate::{lru, swap};

pub(crate) mod account;
pub(crate) mod charge;
pub(crate) mod counts;
pub(crate) mod held;
pub(crate) mod state;
pub(crate) mod throttle;

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
    /// Pages that have a slot as well.
    pub swap_cached: u64,
}

/// Why there is no new cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCgroup {
    /// There are [`MOST`] already.
    TooMany,
    /// There is no memory for it.
    NoMemory,
}

impl fmt::Display for NoCgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "there are as many memory cgroups as there can be",
            Self::NoMemory => "no memory for a memory cgroup",
        })
    }
}

impl From<NoMemory> for NoCgroup {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
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
        static CGROUP: Once<Arc<Cgroup>> = Once::new();
        Arc::clone(CGROUP.call_once(|| Arc::new(Self { number: ROOT, name: String::new(), parent: None })))
    }

    /// A new cgroup in this one, without limits.
    ///
    /// # Errors
    /// When there are too many, or there is no memory.
    pub fn new_child(self: &Arc<Self>, name: &str) -> Result<Arc<Self>, NoCgroup> {
        let name = fallible::text(format_args!("{name}"))?;
        let account = fallible::shared(Account::new())?;
        let is_free = |state: &State| !state.is_used.swap(true, Ordering::AcqRel);
        let number = 1 + STATES[1..].iter().position(is_free).ok_or(NoCgroup::TooMany)?;
        let state = &STATES[number];
        state.parent.store(self.number, Ordering::Relaxed);
        state.is_leaving.store(false, Ordering::SeqCst);
        for peak in [&state.peak, &state.swap_peak] {
            peak.store(0, Ordering::Relaxed);
        }
        for limit in [&state.max, &state.swap_max, &state.swap_high] {
            limit.store(usize::MAX, Ordering::Relaxed);
        }
        for event in &state.events {
            event.store(0, Ordering::Relaxed);
        }
        lru::begin(number as u8);
        counts::note_number(number as u8);
        account.open(number as u8);
        Ok(fallible::shared(Self { number: number as u8, name, parent: Some(Arc::clone(self)) })?)
    }

    /// What its memory is used for, and that of the cgroups in it.
    pub fn uses(&self) -> Uses {
        let mut uses = Uses::default();
        let is_within: [bool; MOST] = core::array::from_fn(|number| is_within(number as u8, self.number));
        for frame in physical::frames() {
            let figure = match frame.kind() {
                Kind::Anonymous => &mut uses.anonymous,
                Kind::Object => &mut uses.file,
                Kind::Stack => &mut uses.stacks,
                Kind::PageTable => &mut uses.tables,
                _ => continue,
            };
            if is_within[usize::from(frame.cgroup.load(Ordering::Relaxed))] {
                *figure += PAGE_SIZE as u64;
                uses.swap_cached += if frame.is_in_swap_cache() { PAGE_SIZE as u64 } else { 0 };
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

    /// `memory.swap.peak`, in bytes.
    pub fn swap_peak(&self) -> u64 {
        bytes(&self.state().swap_peak)
    }

    /// `memory.max`, in bytes; `None` for `max`.
    pub fn max(&self) -> Option<u64> {
        limit(&self.state().max)
    }

    /// `memory.swap.max`, in bytes; `None` for `max`.
    pub fn swap_max(&self) -> Option<u64> {
        limit(&self.state().swap_max)
    }

    /// `memory.swap.high`, in bytes; `None` for `max`.
    pub fn swap_high(&self) -> Option<u64> {
        limit(&self.state().swap_high)
    }

    /// Sets `memory.max`, rounded down to pages. What is above it is reclaimed at once, or processes are killed; the root has
    /// no limit.
    pub fn set_max(&self, bytes: Option<u64>) {
        if self.number == ROOT {
            return;
        }
        let pages = to_pages(bytes);
        self.state().max.store(pages, Ordering::Relaxed);
        // One effort for all of it knows what it has on the way already; a killed caller has no more than that done.
        let mut effort = Effort::within(self.number);
        while self.state().current.load(Ordering::Relaxed) > pages {
            // As on Linux, what is above the limit is the next one's business when a signal comes.
            if check_signals().is_err() {
                return;
            }
            if !effort.free_some() {
                if !kill_in(self.number, 0) {
                    return;
                }
                effort = Effort::within(self.number);
            }
        }
    }

    /// Sets `memory.swap.max`, rounded down to pages. What is above it stays in swap.
    pub fn set_swap_max(&self, bytes: Option<u64>) {
        if self.number != ROOT {
            self.state().swap_max.store(to_pages(bytes), Ordering::Relaxed);
        }
    }

    /// Sets `memory.swap.high`, rounded down to pages: with more in swap its tasks wait for what they take (`throttle.rs`).
    pub fn set_swap_high(&self, bytes: Option<u64>) {
        if self.number != ROOT {
            self.state().swap_high.store(to_pages(bytes), Ordering::Relaxed);
        }
    }

    /// How often that happened, in it or below it.
    pub fn events(&self, event: CgroupEvent) -> u64 {
        self.state().events[event as usize].load(Ordering::Relaxed)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let state = self.state();
        let parent = state.parent.load(Ordering::Relaxed);
        state.is_leaving.store(true, Ordering::SeqCst);
        // Its processes are gone; pages of objects and what the kernel keeps may have stayed. The parent is charged for them
        // already.
        account::hand_over(self.number, parent);
        // From here on what it is charged goes one way: from those who are about to charge it to frames, from there to slots, and
        // from there to its parent. Looked at in that order, nothing slips through.
        loop {
            let is_held = state.holders.load(Ordering::SeqCst) > 0;
            let has_frames = state.current.load(Ordering::Acquire) > 0;
            if has_frames {
                lru::hand_over(self.number, parent);
                // Frames that the kernel keeps, and pages on their way in or out.
                lru::hand_over_isolated(self.number, parent);
            }
            // The parent is charged for these already, too. One whose charge is just on its way into its table entry is found the
            // next time.
            let has_slots = state.swapped.load(Ordering::Acquire) > 0;
            if has_slots {
                state.swapped.fetch_sub(swap::core().replace_payer(self.number, parent), Ordering::AcqRel);
            }
            if !(is_held || has_frames || has_slots) {
                break;
            }
            task::yield_now();
        }
        state.is_used.store(false, Ordering::Release);
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
