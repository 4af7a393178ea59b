//! Page faults in the user half: a page is touched that is not in memory, or not as it is touched.
//!
//! [`handle`] looks up what is mapped at the address and what the page's PTE says, and makes the PTE one that allows the
//! access:
//!
//! | the PTE | what is mapped | what happens |
//! |---|---|---|
//! | 0 | private memory, read | the frame of zeros that all share is mapped |
//! | 0 | private memory, written | a frame of zeros |
//! | 0 | an object | the object's page is mapped; written privately, a copy of it |
//! | an entry | | the swap core brings the page in: from the swap cache, as zeros, or with its neighbours |
//! | maps a frame, for reading | written | the page becomes writable if nobody else has it; else a copy takes its place |
//!
//! # Locking
//!
//! The layout is locked only to look at it. While the swap core reads or reclaim frees a frame nothing is locked, but the
//! folio itself. The PTE is changed under the tables' lock, if it is still what the fault started from and what is mapped has
//! not changed since (`PageTables::generation`); else the fault starts over.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use quire_machine::AllocationError;
use quire_machine::arch::page_table;
use quire_machine::protection::Protection;
use quire_machine::task::{self, Killed, check_killed};
use quire_machine::upcall::Access;
use quire_machine::user_tables::{Recalled, Seat};
use quire_machine::{log, log_limited};
use quire_swap::header::PAGE_SIZE;
use quire_swap::{DecodedPte, Entry, FaultError, FaultIn, FaultKind, Folio as _, FolioFlag, Locked, Neighbourhood};

use crate::address_space::zap::forget;
use crate::address_space::{AddressSpace, LOWEST, Layout};
use crate::admission::Limit;
use crate::fatal::Fatal;
use crate::folio::{self, Folio, NewFolio, Owned};
use crate::frames;
use crate::lru::{self, List};
use crate::object::{ObjectError, pages::LockedPage};
use crate::page_tables::{self, Mapping, Pte, is_writable, without_accessed_and_dirty};
use crate::rmap::RmapLink;
use crate::swap;
use crate::swap::references;
use crate::tasks;
use crate::upcall::Memory as _;
use crate::vma::{Totals, Vma};
use crate::workingset;

/// How faults were served, by all tasks since boot.
#[derive(Debug, Default)]
pub struct Counters {
    /// Faults on user addresses (Linux: `pgfault`).
    pub all: AtomicU64,
    /// A page was written for the first time and filled with zeros.
    pub zero_filled: AtomicU64,
    /// A page was read before it was ever written: the frame of zeros was mapped.
    pub zero_mapped: AtomicU64,
    /// A page was read from its swap area (a major fault).
    pub read: AtomicU64,
    /// A page was found in the swap cache: read ahead, or on its way out.
    pub cached: AtomicU64,
    /// A page was known to be all zero in its swap area (a major fault, as on Linux).
    pub zero_slots: AtomicU64,
    /// A page of an object was mapped, or copied to be written.
    pub object: AtomicU64,
    /// A page that others have too was copied to be written.
    pub copied: AtomicU64,
    /// A page that nobody else has any more was made writable.
    pub reused: AtomicU64,
    /// Somebody else had served the fault already.
    pub spurious: AtomicU64,
    /// The task was killed, or got a signal.
    pub fatal: AtomicU64,
}

/// How faults were served, by all tasks since boot.
pub static COUNTERS: Counters = Counters {
    all: AtomicU64::new(0),
    zero_filled: AtomicU64::new(0),
    zero_mapped: AtomicU64::new(0),
    read: AtomicU64::new(0),
    cached: AtomicU64::new(0),
    zero_slots: AtomicU64::new(0),
    object: AtomicU64::new(0),
    copied: AtomicU64::new(0),
    reused: AtomicU64::new(0),
    spurious: AtomicU64::new(0),
    fatal: AtomicU64::new(0),
};

/// Faults for which a page was brought in from swap (Linux: `pgmajfault`).
pub fn major_faults() -> u64 {
    COUNTERS.read.load(Ordering::Relaxed) + COUNTERS.zero_slots.load(Ordering::Relaxed)
}

/// How much work a fault was (Linux: `ru_minflt`, `ru_majflt`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The page was in memory, or new.
    Minor,
    /// The page was in swap.
    Major,
}

/// What became of one attempt.
enum Attempt {
    /// The page is there; this is how it came.
    Served(&'static AtomicU64),
    /// Something changed meanwhile.
    Again,
    /// There was no frame for a page table.
    NoTable,
}

/// What is mapped where a fault happened, as it was when `seat` was taken.
struct Seen<'a> {
    page: u64,
    write: bool,
    /// Where the page's PTE is.
    seat: Seat<'a>,
    vma: Range<u64>,
    readahead: u8,
    protection: Protection,
    shared: bool,
    locked: bool,
    object: Option<Arc<RmapLink>>,
    /// What a private page there is marked with.
    owned: Owned,
}

/// Serves the current task's fault at `address`, a user address.
///
/// # Errors
/// Why the task cannot go on. For a process that is the business of its signals; any other task is killed: its thread notes
/// the reason and the log names it.
pub fn handle(address: u64, access: Access) -> Result<Service, Fatal> {
    COUNTERS.all.fetch_add(1, Ordering::Relaxed);
    let served = match tasks::space() {
        Some(space) => serve(&space, address, access),
        None => Err(Fatal::NotMapped(address)),
    };
    match served {
        Ok(kind) => {
            kind.fetch_add(1, Ordering::Relaxed);
            let is = |other: &AtomicU64| core::ptr::eq(kind, other);
            Ok(if is(&COUNTERS.read) || is(&COUNTERS.zero_slots) { Service::Major } else { Service::Minor })
        }
        Err(fatal) => {
            COUNTERS.fatal.fetch_add(1, Ordering::Relaxed);
            if !task::works_for_process() {
                let thread = task::current();
                if let Some(space) = tasks::space() {
                    space.set_fatal(fatal);
                }
                log_death(&thread, address, fatal);
            }
            Err(fatal)
        }
    }
}

fn log_death(thread: &task::Thread, address: u64, fatal: Fatal) {
    match fatal {
        Fatal::ReadFailed(entry) => log!(
            "fault",
            "{thread} killed: the page at {address:#x} cannot be read from slot {} of {}",
            entry.slot(),
            swap::Name(entry.area())
        ),
        Fatal::OutOfMemory => {
            let resident = tasks::space().map_or(0, |space| space.resident());
            log!(
                "fault",
                "{thread} killed: out of memory: no frame for the page at {address:#x}, and nothing left to reclaim; it \
                 has {resident} pages in memory"
            );
        }
        Fatal::Killed => log_limited!("fault", "{thread} killed: its memory was taken away"),
        Fatal::NotMapped(_) => log_limited!("fault", "{thread} killed: nothing is mapped at {address:#x}"),
        Fatal::NotAllowed(_) => {
            log_limited!("fault", "{thread} killed: what it did at {address:#x} is not allowed there");
        }
        Fatal::NoSpace(_) => {
            log_limited!("fault", "{thread} killed: there is no room for {address:#x} in its file system");
        }
        Fatal::BeyondObject(_) => {
            log_limited!("fault", "{thread} killed: {address:#x} is beyond the end of what is mapped there");
        }
    }
}

/// Makes the page at `address` one that allows the access.
pub(crate) fn serve(space: &AddressSpace, address: u64, access: Access) -> Result<&'static AtomicU64, Fatal> {
    loop {
        // Whatever brings pages in one after the other ends here, the copies to and from user memory included.
        check_killed().map_err(|Killed| Fatal::Killed)?;
        match attempt(space, address, access)? {
            Attempt::Served(kind) => return Ok(kind),
            Attempt::Again => {}
            // Not for the frame itself: once one can be had, the next attempt will find one.
            Attempt::NoTable => drop(new_frame()?),
        }
    }
}

/// Apart from the loop of [`serve`], in which a compiler would first compute whatever is the same in each turn.
#[inline(never)]
fn attempt(space: &AddressSpace, address: u64, access: Access) -> Result<Attempt, Fatal> {
    let (seen, pte) = look_up(space, address, access)?;
    match DecodedPte::decode(pte) {
        DecodedPte::None => match &seen.object {
            Some(object) => map_object(space, &seen, object),
            None if seen.write => fill_with_zeros(space, &seen, 0),
            None => {
                let zeros = || Some(Pte::zero_page(seen.protection));
                Ok(install(space, &seen, 0, &COUNTERS.zero_mapped, zeros).0)
            }
        },
        DecodedPte::Entry(entry) => swap_in(space, &seen, entry, true),
        DecodedPte::Poisoned(entry) => Err(Fatal::ReadFailed(entry)),
        DecodedPte::Present(_) if seen.write && !is_writable(pte) => write_to_shared(space, &seen, pte),
        DecodedPte::Present(_) => {
            page_table::forget_page(seen.page);
            Ok(Attempt::Served(&COUNTERS.spurious))
        }
        // Hidden, which the layout did not say: it is being changed.
        DecodedPte::Unknown(_) => Ok(Attempt::Again),
    }
}

fn new_frame() -> Result<NewFolio, Fatal> {
    frames::wait_for_frame().map_err(|AllocationError| Fatal::OutOfMemory)
}

/// What is mapped at the address, if that allows the access, and the page's PTE.
fn look_up(space: &AddressSpace, address: u64, access: Access) -> Result<(Seen<'_>, u64), Fatal> {
    let page = address / PAGE_SIZE as u64 * PAGE_SIZE as u64;
    let mut layout = space.layout();
    let (seat, pte) = space.tables.look_up(layout.key(), page);
    let vma = match layout.vmas.find(page) {
        Some(vma) => vma,
        None => grow_stack(space, &mut layout, page).ok_or(Fatal::NotMapped(address))?,
    };
    let protection = vma.protection;
    let is_allowed = if access.write {
        protection.write
    } else if access.execute {
        protection.execute
    } else {
        protection.is_some()
    };
    if !is_allowed {
        return Err(Fatal::NotAllowed(address));
    }
    let seen = Seen {
        page,
        write: access.write,
        seat,
        vma: vma.range.clone(),
        readahead: vma.readahead,
        protection,
        shared: vma.shared,
        locked: vma.locked,
        object: vma.object.clone(),
        owned: vma.anonymous.mark(page),
    };
    // After the generation, which changes behind this: what is missing in a space that was reaped is not zero.
    if space.is_reaped() {
        return Err(Fatal::Killed);
    }
    Ok((seen, pte))
}

/// Lets the stack above `page` grow down to it, if there is one and the limits allow it.
#[inline(never)]
fn grow_stack<'a>(space: &AddressSpace, layout: &'a mut Layout, page: u64) -> Option<&'a Vma<Arc<RmapLink>>> {
    let vma = layout.vmas.growth(page)?;
    if page < LOWEST || vma.range.end - page > space.limit(Limit::Stack) {
        return None;
    }
    let added = Vma { range: page..vma.range.start, ..vma.clone() };
    space.admit(layout, Totals::NONE, added.totals()).ok()?;
    layout.vmas.grow(page);
    layout.vmas.find(page)
}

/// Replaces the page's PTE by what `make` says, if it is still `expected` but for the accessed and dirty bits, and returns it. `make`
/// is called under the tables' lock; `None` means to look again.
#[inline]
fn install(
    space: &AddressSpace,
    seen: &Seen<'_>,
    expected: u64,
    kind: &'static AtomicU64,
    make: impl FnOnce() -> Option<Pte>,
) -> (Attempt, Pte) {
    let mut tables = space.tables.lock();
    let cell = match tables.recall(&seen.seat) {
        Recalled::Found(cell) => Some(cell),
        Recalled::NoTable => tables.find_or_create(seen.page),
        Recalled::Changed => return (Attempt::Again, Pte::EMPTY),
    };
    let Some(cell) = cell else { return (Attempt::NoTable, Pte::EMPTY) };
    let current = cell.bits();
    if without_accessed_and_dirty(current) != without_accessed_and_dirty(expected) {
        return (Attempt::Again, Pte::EMPTY);
    }
    let Some(pte) = make() else { return (Attempt::Again, Pte::EMPTY) };
    let pte = if seen.locked && page_tables::folio_frame(pte.bits()).is_some() { pte.locked(true) } else { pte };
    if current != 0 {
        space.tables.counts.remove(current);
    }
    space.tables.counts.add(pte.bits());
    // What the processor marks meanwhile is of no consequence: the PTE that goes maps nothing that stays.
    (Attempt::Served(kind), cell.replace_and_flush(pte))
}

/// Lets the page be written whose PTE maps the folio, if that is still so.
#[inline]
fn allow_writes(
    space: &AddressSpace,
    seen: &Seen<'_>,
    folio: &Locked<Folio>,
    is_ours: impl FnOnce() -> bool,
) -> Attempt {
    let tables = space.tables.lock();
    let Recalled::Found(cell) = tables.recall(&seen.seat) else { return Attempt::Again };
    if is_ours() && cell.allow_writes(folio) { Attempt::Served(&COUNTERS.reused) } else { Attempt::Again }
}

/// The PTE that maps the folio, with a reference.
#[inline]
fn map_folio(seen: &Seen<'_>, folio: &Folio, how: Mapping) -> Pte {
    Pte::mapping(folio.clone(), seen.protection, how)
}

/// Puts a folio that was just mapped where reclaim finds it, or knows that it must stay.
#[inline]
fn enlist(seen: &Seen<'_>, folio: &Folio, list: List) {
    if seen.locked {
        lru::add(folio, List::Unevictable);
    } else if list == List::Active || !lru::lists::is_listed(folio.metadata()) {
        lru::add(folio, list);
    }
}

fn fill_with_zeros(space: &AddressSpace, seen: &Seen, expected: u64) -> Result<Attempt, Fatal> {
    let mut folio = new_frame()?;
    folio.clear();
    Ok(install_new(space, seen, expected, folio.filled(), &COUNTERS.zero_filled).0)
}

/// Maps a new private page that has been given its contents; returns the PTE that was there, too.
#[expect(clippy::needless_pass_by_value, reason = "a new page is the task's alone, but for the PTE")]
fn install_new(
    space: &AddressSpace,
    seen: &Seen<'_>,
    expected: u64,
    folio: Folio,
    kind: &'static AtomicU64,
) -> (Attempt, Pte) {
    // Not in swap yet, so memory has the only copy.
    folio.state().set(FolioFlag::Dirty);
    folio::set_owned(&folio, seen.owned);
    let installed = install(space, seen, expected, kind, || Some(map_folio(seen, &folio, Mapping::Written)));
    if let (Attempt::Served(_), _) = installed {
        enlist(seen, &folio, List::Inactive);
    }
    installed
}

fn map_object(space: &AddressSpace, seen: &Seen<'_>, attached: &RmapLink) -> Result<Attempt, Fatal> {
    let Some(object) = attached.object() else { return Err(Fatal::NotMapped(seen.page)) };
    let found = object.page(attached.index(seen.page)).map_err(|error| match error {
        // As on Linux, a page that a file may not have is one that the mapping does not have.
        ObjectError::BeyondEnd | ObjectError::NoPromise => Fatal::BeyondObject(seen.page),
        ObjectError::NoMemory | ObjectError::Killed => Fatal::OutOfMemory,
        ObjectError::NoSpace => Fatal::NoSpace(seen.page),
        ObjectError::ReadFailed(entry) => Fatal::ReadFailed(entry),
    })?;
    let LockedPage { folio, was_read } = found;
    let kind = if was_read { &COUNTERS.read } else { &COUNTERS.object };
    if seen.write && !seen.shared {
        // Its contents are as of now; the lock is not kept while a frame is looked for.
        let original = folio.unlock();
        let mut copy = new_frame()?;
        copy.copy_from(&original);
        return Ok(install_new(space, seen, 0, copy.filled(), kind).0);
    }
    let how = Mapping::of(seen.shared && seen.protection.write, seen.write);
    let (attempt, _) = install(space, seen, 0, kind, || Some(map_folio(seen, &folio, how)));
    if matches!(attempt, Attempt::Served(_)) {
        if how != Mapping::ReadOnly {
            // It may differ from its source and from its slot at any moment from now on.
            crate::object::written_to(&folio);
        }
        if seen.locked {
            lru::add(&folio, List::Unevictable);
        }
    }
    Ok(attempt)
}

fn swap_in(space: &AddressSpace, seen: &Seen<'_>, entry: Entry, reads_ahead: bool) -> Result<Attempt, Fatal> {
    const PAGE: u64 = PAGE_SIZE as u64;
    let entry_of = |page| Entry::from_pte(space.tables.bits(page * PAGE));
    let neighbourhood = reads_ahead.then(|| Neighbourhood {
        readahead: space.readahead(seen.readahead),
        page: seen.page / PAGE,
        pages: (seen.vma.start / PAGE, seen.vma.end / PAGE),
        entry: &entry_of,
    });
    let FaultIn { folio, kind, shadow } = match swap::core().fault_in(entry, 0, neighbourhood.as_ref()) {
        Ok(fault_in) => fault_in,
        Err(FaultError::Gone) => return Ok(Attempt::Again),
        Err(FaultError::NoMemory) => return Err(Fatal::OutOfMemory),
        Err(FaultError::ReadFailed(entry)) => return Err(Fatal::ReadFailed(entry)),
    };
    let (kind, list) = match kind {
        FaultKind::Cached => (&COUNTERS.cached, List::Inactive),
        FaultKind::Read => (&COUNTERS.read, workingset::list_after_refault(shadow)),
        FaultKind::Zero => (&COUNTERS.zero_slots, workingset::list_after_refault(shadow)),
    };
    let is_ours = || is_alone(&folio, 0) && swap::core().is_held_once(entry) && swap::core().may_write(&folio);
    if seen.write && !is_ours() {
        // The lock is not kept while a frame is looked for; with this reference the folio stays in the swap cache, unless its
        // slot goes.
        let original = folio.unlock();
        let mut copy = new_frame()?;
        let folio = Locked::lock(original);
        if folio.state().entry() != Some(entry) || !folio.state().is(FolioFlag::UpToDate) {
            return Ok(Attempt::Again);
        }
        copy.copy_from(&folio);
        let (attempt, _) = install_new(space, seen, entry.to_pte(), copy.filled(), kind);
        if let Attempt::Served(_) = attempt {
            swap::core().put_mapped(entry, &folio, true);
        }
        return Ok(attempt);
    }
    let (attempt, _) = install(space, seen, entry.to_pte(), kind, || {
        let may_write = seen.protection.write && is_ours();
        (may_write || !seen.write).then(|| map_folio(seen, &folio, Mapping::of(may_write, seen.write)))
    });
    if let Attempt::Served(_) = attempt {
        // Only now is it certain that the slot was this page's; reclaim cannot come before, as the folio is locked.
        folio::set_owned(&folio, seen.owned);
        enlist(seen, &folio, list);
        swap::core().put_mapped(entry, &folio, seen.write);
    }
    Ok(attempt)
}

/// Whether nobody has the folio but the caller, who holds its lock, `ptes` of the caller's PTEs, the swap cache, and a
/// write that is under way. It stays so until the lock is given back.
fn is_alone(folio: &Locked<Folio>, ptes: u32) -> bool {
    let state = folio.state();
    let cache = u32::from(state.is(FolioFlag::InCache));
    let write = u32::from(state.is(FolioFlag::Writeback));
    folio.references() <= 1 + ptes + cache + write
}

/// A page that is mapped for reading is written.
fn write_to_shared(space: &AddressSpace, seen: &Seen<'_>, pte: u64) -> Result<Attempt, Fatal> {
    if page_tables::is_zero_page(pte) {
        return fill_with_zeros(space, seen, pte);
    }
    let Some(original) = space.tables.folio(seen.page, pte) else { return Ok(Attempt::Again) };
    if original.is_of_object() && seen.shared {
        let folio = Locked::lock(original);
        let attempt = allow_writes(space, seen, &folio, || true);
        if let Attempt::Served(_) = attempt {
            crate::object::written_to(&folio);
        }
        return Ok(attempt);
    }
    let original = if original.is_of_object() {
        original
    } else {
        let folio = Locked::lock(original);
        if let Some(entry) = folio.state().entry()
            && !swap::core().try_free_slot(&folio)
            && swap::core().count(entry) > 0
        {
            // Another PTE has the same page in swap.
        } else if is_alone(&folio, 1) && swap::core().may_write(&folio) {
            return Ok(allow_writes(space, seen, &folio, || is_alone(&folio, 1)));
        }
        folio.unlock()
    };
    // While this PTE and this reference are there, everybody who has the page only reads it.
    let mut copy = new_frame()?;
    copy.copy_from(&original);
    let (attempt, before) = install_new(space, seen, pte, copy.filled(), &COUNTERS.copied);
    forget(before);
    Ok(attempt)
}

/// Brings a page back because its area is going; one that cannot be read is poisoned, and whoever touches it later is
/// killed. Nothing happens if the page has come back or gone already.
///
/// # Errors
/// [`AllocationError`] when there is no frame for it.
pub fn bring_back(space: &AddressSpace, page: u64, entry: Entry) -> Result<(), AllocationError> {
    let seen = {
        let layout = space.layout();
        let Some(vma) = layout.vmas.find(page) else { return Ok(()) };
        Seen {
            page,
            write: false,
            seat: space.tables.seat(page),
            vma: vma.range.clone(),
            readahead: vma.readahead,
            protection: vma.protection,
            shared: vma.shared,
            locked: vma.locked,
            object: None,
            owned: vma.anonymous.mark(page),
        }
    };
    match swap_in(space, &seen, entry, false) {
        Err(Fatal::OutOfMemory) => Err(AllocationError),
        Err(Fatal::ReadFailed(entry)) => {
            if space.tables.replace(page, entry, Pte::unmapped(DecodedPte::Poisoned(entry).encode())) {
                references::forget_pte(entry.to_pte());
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The counters of all faults, as one line for a person.
pub fn totals() -> impl fmt::Display {
    fmt::from_fn(|f| {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} = {} zero-filled + {} mapped to zeros + {} read from swap + {} found in the swap cache + {} zero in swap + {} of \
             objects + {} copied + {} made writable + {} spurious + {} fatal",
            get(&COUNTERS.all),
            get(&COUNTERS.zero_filled),
            get(&COUNTERS.zero_mapped),
            get(&COUNTERS.read),
            get(&COUNTERS.cached),
            get(&COUNTERS.zero_slots),
            get(&COUNTERS.object),
            get(&COUNTERS.copied),
            get(&COUNTERS.reused),
            get(&COUNTERS.spurious),
            get(&COUNTERS.fatal)
        )
    })
}

/// Whether every fault was served in exactly one way, or killed its task; certain only while no task runs.
pub fn add_up() -> bool {
    let kinds = [
        &COUNTERS.zero_filled,
        &COUNTERS.zero_mapped,
        &COUNTERS.read,
        &COUNTERS.cached,
        &COUNTERS.zero_slots,
        &COUNTERS.object,
        &COUNTERS.copied,
        &COUNTERS.reused,
        &COUNTERS.spurious,
        &COUNTERS.fatal,
    ];
    let served: u64 = kinds.iter().map(|counter| counter.load(Ordering::Relaxed)).sum();
    served == COUNTERS.all.load(Ordering::Relaxed)
}
