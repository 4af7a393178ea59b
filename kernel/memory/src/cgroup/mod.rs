//! Memory cgroups: how much memory and swap the processes of one may use together (Linux: `mm/memcontrol.c`).
//!
//! # What is charged
//!
//! A page in memory is charged to the cgroup of the thread that asked for its frame, until the frame is free; its metadata has
//! the cgroup's number. A slot of swap is charged to the cgroup of the page that goes there, private or of an object, until the
//! slot is free; its table entry has the cgroup's number. What a cgroup is charged, its ancestors are charged too. The root cgroup counts nothing and limits nothing.
//!
//! What the kernel keeps for a process is charged to its cgroup, too: page tables and kernel stacks by the frame, as pages are,
//! and objects of the heap by the byte ([`crate::charge`]). Such memory is not reclaimed: a program that asks for more than its
//! cgroup's limit leaves room for is refused, unless pages of the cgroup can leave instead.
//!
//! Reaching a limit, a thread reclaims pages of the cgroup and of those below it; if none can leave, the worst process in the
//! cgroup is killed. No task outside of it loses anything.
//!
//! # Numbers
//!
//! There are up to [`MOST`] cgroups at once; a cgroup that is removed while pages are charged to it leaves them to its parent.

use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use quire_machine::fallible;
use quire_machine::frame::Kind;
use quire_machine::physical;
use quire_machine::sync::{Rank, SpinLock};
use quire_machine::task::{self, check_signals};
use quire_swap::header::PAGE_SIZE;
use spin::Once;

use self::account::{ACCOUNTS, Account};
use self::charge::kill_in;
use self::counts::{STATES, State, is_within};

pub use self::counts::{Event, MOST, ROOT, allocate, free};
use crate::{lru, reclaim, swap};
use quire_machine::AllocationError;

pub(crate) mod account;
pub(crate) mod charge;
pub(crate) mod counts;

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
        lru::begin(number as u8);
        counts::note_number(number as u8);
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
        let mut on_heap = 0;
        if let Some(account) = ACCOUNTS[usize::from(self.number)].replace(None) {
            let kept = account.kept.lock();
            account.cgroup.store(parent, Ordering::Relaxed);
            on_heap = kept.div_ceil(PAGE_SIZE);
        }
        lru::hand_over(self.number, parent);
        // Frames that the kernel keeps, and pages on their way in or out.
        if self.state().current.load(Ordering::Acquire) > on_heap {
            lru::hand_over_isolated(self.number, parent);
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
