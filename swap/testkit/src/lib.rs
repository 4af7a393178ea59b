//! A machine in ordinary memory for the swap core, and a kernel on it that is small enough to be obviously right: what tests of
//! the core and of its backends run on, and the shortest way to see what a kernel has to do for swap.
//!
//! | | what | where |
//! |---|---|---|
//! | [`Fake`] | the machine, as the core sees it: `impl Machine for Fake` says what each call has to do | here |
//! | [`Memory`] | its frames, clock and log, and everything that can be made to fail | here |
//! | [`FakeFolio`] | a counted folio, whose every misuse is found | here |
//! | [`FakeDisk`] | a disk that keeps requests until it is told to do them, and remembers them | here |
//! | [`kernel::Kernel`] | tasks with page tables; faults, `fork`, unmapping, reclaim, `swapoff` | [`kernel`] |
//! | [`told::Told`] | a kernel that is told what to do by lines of words | [`told`] |
//! | [`shelf::Shelf`] | a backend without a device: pages in a map | [`shelf`] |
//! | `model::compare` | every operation at random, beside a map of pages | feature `model` |
//! | [`callgrind::count`] | the instructions that an operation takes | [`callgrind`] |
//! | `device::Device` | a disk that works while tasks do, where a scheduler tries their orders | feature `schedules` |
//! | `interrupt::Interrupting` | a scheduler that lets a task stand still for long | feature `schedules` |
//! | `impl PoolMachine for Fake` | frames for what is compressed | feature `compressed` |
//!
//! # A page out and in again
//!
//! ```
//! use quire_testkit::{FakeDisk, Memory, kernel::Kernel, swap_on};
//!
//! let memory = Memory::new(8); // 8 frames; this thread's machine from now on
//! let disk = FakeDisk::new("/dev/vda", 100);
//! let (swap, _area) = swap_on(&disk);
//! let mut kernel = Kernel::new(swap, memory, 1, 4); // one task with 4 pages
//!
//! kernel.populate(0, 2, 0, 77); // page 2 of task 0 is made, and holds 77s
//! kernel.reclaim(0, 2); // its PTE holds a swap entry now, and its folio waits in the plug
//! kernel.plug.submit(); // the disk has a request
//! memory.run_all(); // the disk does it
//! kernel.evict_ended(); // the frame is free
//! assert_eq!(memory.free_frames(), 8);
//!
//! assert_eq!(kernel.read(0, 2), Ok(77)); // a fault brings it in
//! ```
//!
//! # A backend of one's own
//!
//! Implement [`SwapOps<Fake>`](quire_swap::SwapOps), put it into a [`Deviceless`](quire_swap::Deviceless) area, enable that by
//! [`Swap::swapon_without_disk`], and use a [`kernel::Kernel`] as above: pages that it reclaims go to the backend.
//!
//! # Failures
//!
//! [`Failing::fail_nth`] makes the n-th allocation of heap or of a folio, or the n-th request of a device, fail; a test that
//! raises n until nothing fails has tried them all. [`FakeDisk::broken`] has pages that cannot be read or written, and
//! [`FakeDisk::room`] is how many more fit.
//!
//! # What it finds
//!
//! It panics with words when a rule of the core's is broken: a spinning lock taken under one of lower rank, sleep or I/O under
//! one, a frame that is freed twice or used after that, a page that changes while it is written, a wait for what can never
//! come. So a test need not look for these.
//!
//! Each test has its own [`Memory`], named by a thread-local, so tests run side by side. Nothing sleeps: a task that waits
//! completes requests of the devices instead, or lets other tasks run.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")]
#![expect(clippy::missing_panics_doc, reason = "it is meant to panic wherever a rule is broken")]

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quire_swap::header::{BadPages, Header, PAGE_SIZE, Page};
use quire_swap::page;
use quire_swap::{
    DeviceState, Direction, Disk, DiskProperties, DiskRequest, DriverId, Entry, Event, Folio, FolioFlag, FolioState,
    FolioUse, Forgotten, FrameState, IoError, Level, Locked, Machine, Occurrence, PAYER_MAX, Rank, ReadAccess, Swap,
    SwapOnOptions, WriteAccess,
};

pub mod callgrind;
#[cfg(feature = "schedules")]
pub mod device;
#[cfg(feature = "schedules")]
pub mod interrupt;
pub mod kernel;
#[cfg(feature = "model")]
pub mod model;
pub mod pieces;
#[cfg(feature = "compressed")]
mod pool;
pub mod shelf;
pub mod told;

/// The machine.
pub struct Fake;

/// All that a test's machine has.
pub struct Memory {
    frames: Vec<Frame>,
    free: Mutex<Vec<bool>>,
    /// Allocations of the core from the heap.
    pub heap: Failing,
    /// Bytes of heap that were asked for, ever.
    pub heap_bytes: AtomicU64,
    /// Allocations of folios.
    pub folios: Failing,
    /// What the machine has for the backends that a test brings.
    pub pool: Pool,
    /// What the clock says, in milliseconds.
    pub clock: AtomicU64,
    /// Requests of all devices.
    pub io: Failing,
    /// What the core has logged, a line each.
    pub log: Mutex<Vec<String>>,
    /// Folios whose writes have ended, and how.
    pub ended_writes: Mutex<Vec<(u64, Result<(), IoError>)>>,
    /// Folios whose reads have ended, and how.
    pub ended_reads: Mutex<Vec<(u64, Result<(), IoError>)>>,
    /// Its disks.
    pub disks: Mutex<Vec<Arc<FakeDisk>>>,
    /// Where its folios go.
    swap: Mutex<Option<&'static Swap<Fake>>>,
    cpu: AtomicU8,
    /// Tasks are switched by a scheduler that explores: yield where others could overtake.
    exploring: AtomicBool,
    /// How often a task let others go on without knowing what it waits for.
    pub relaxed: AtomicU64,
    /// How often a cluster was locked.
    pub cluster_locks: AtomicU64,
    /// How often it was said that work was left.
    pub work_left: AtomicU64,
    /// How often those who wait for each event were let look.
    wakes: [AtomicU64; EVENTS],
    evictions: AtomicU64,
    /// How often the core told of each slot that it was taken, less how often that it was freed, but for 0. Two tasks may tell of
    /// one slot in any order.
    pub told: Mutex<HashMap<(u8, u32), i32>>,
    /// The running thread is in a file system.
    pub in_file_system: AtomicBool,
    /// What eviction left in slots, as far as [`Memory::note_evicted`] was told.
    shadows: Mutex<HashMap<Entry, u64>>,
    /// Who pays for what tasks allocate.
    payer: AtomicU8,
    /// What each pays for.
    payers: [Payer; PAYERS],
}

/// What each pays for; the first pays for none.
struct Payer {
    slots: AtomicU64,
    limit: AtomicU64,
}

const PAYERS: usize = PAYER_MAX as usize + 1;

const EVENTS: usize = Event::Space as usize + 1;

struct Frame {
    state: FrameState<FakeFolio>,
    references: AtomicU32,
    order: AtomicU8,
    /// How often those who wait for it to be unlocked, and for its writeback to end, were let look.
    wakes: [AtomicU64; 2],
    /// The frame's place in its folio.
    index: AtomicU32,
    /// Who pays for the folio.
    payer: AtomicU8,
    /// Made when the frame is first written; what a free frame holds must never be seen.
    page: Mutex<Option<Box<Page>>>,
}

/// Something that can be made to fail.
#[derive(Default)]
pub struct Failing {
    done: AtomicU64,
    fails_at: AtomicU64,
}

impl Failing {
    /// The `n`-th from now on, counted from 1, fails, or none for 0.
    pub fn fail_nth(&self, n: u64) {
        self.fails_at.store(if n == 0 { 0 } else { self.done.load(Ordering::Relaxed) + n }, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Counts one, and says whether it is to fail.
    pub fn next_fails(&self) -> bool {
        self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.fails_at.load(Ordering::Relaxed)
    }
}

/// Lets the scheduler choose another task.
fn yield_now() {
    #[cfg(feature = "schedules")]
    shuttle::thread::yield_now();
}

thread_local! {
    static MEMORY: Cell<Option<&'static Memory>> = const { Cell::new(None) };
    static RANKS: RefCell<Vec<Rank>> = const { RefCell::new(Vec::new()) };
}

impl Memory {
    /// Slots that are paid for.
    pub fn charged(&self) -> u64 {
        (1..=PAYER_MAX).map(|payer| self.charged_to(payer)).sum()
    }

    /// Slots that this one pays for.
    pub fn charged_to(&self, payer: u8) -> u64 {
        self.payers[usize::from(payer)].slots.load(Ordering::Relaxed)
    }

    /// From now on tasks allocate what this one pays for; 1 at first.
    pub fn set_payer(&self, payer: u8) {
        self.payer.store(payer, Ordering::Relaxed);
    }

    /// It may pay for so many slots.
    pub fn limit(&self, payer: u8, slots: u64) {
        self.payers[usize::from(payer)].limit.store(slots, Ordering::Relaxed);
    }

    /// Who pays for the folio in the frame.
    pub fn payer_of(&'static self, frame: u64) -> u8 {
        self.frame(frame).payer.load(Ordering::Relaxed)
    }

    /// What `from` pays for, folios and slots, is paid for by `to`; how many slots these are.
    pub fn recharge(&self, from: u8, to: u8) -> u64 {
        for frame in &self.frames {
            let _ = frame.payer.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
        }
        let slots = self.payers[usize::from(from)].slots.swap(0, Ordering::Relaxed);
        self.payers[usize::from(to)].slots.fetch_add(slots, Ordering::Relaxed);
        slots
    }

    /// A machine with so many frames, which is this thread's from now on.
    pub fn new(frames: usize) -> &'static Self {
        let memory = Box::leak(Box::new(Self {
            frames: (0..frames).map(|_| Frame::new()).collect(),
            free: Mutex::new(vec![true; frames]),
            heap: Failing::default(),
            heap_bytes: AtomicU64::new(0),
            folios: Failing::default(),
            pool: Pool::default(),
            clock: AtomicU64::new(0),
            io: Failing::default(),
            log: Mutex::default(),
            ended_writes: Mutex::default(),
            ended_reads: Mutex::default(),
            disks: Mutex::default(),
            swap: Mutex::default(),
            cpu: AtomicU8::new(0),
            exploring: AtomicBool::new(false),
            relaxed: AtomicU64::new(0),
            cluster_locks: AtomicU64::new(0),
            work_left: AtomicU64::new(0),
            wakes: [const { AtomicU64::new(0) }; EVENTS],
            evictions: AtomicU64::new(0),
            told: Mutex::default(),
            in_file_system: AtomicBool::new(false),
            shadows: Mutex::default(),
            payer: AtomicU8::new(1),
            payers: [const { Payer { slots: AtomicU64::new(0), limit: AtomicU64::new(u64::MAX) } }; PAYERS],
        }));
        memory.enter();
        memory
    }

    fn allocate(&'static self, order: u8, payer: u8) -> Option<FakeFolio> {
        if self.folios.next_fails() {
            return None;
        }
        let mut free = self.free.lock().unwrap();
        let first = (0..free.len())
            .step_by(1 << order)
            .find(|&first| free.get(first..first + (1 << order)).is_some_and(|run| run.iter().all(|free| *free)))?;
        free[first..first + (1 << order)].fill(false);
        for index in 0..1 << order {
            self.frames[first + index].index.store(index as u32, Ordering::Relaxed);
            self.frames[first + index].payer.store(payer, Ordering::Relaxed);
        }
        self.frames[first].order.store(order, Ordering::Relaxed);
        self.frames[first].references.store(1, Ordering::SeqCst);
        Some(FakeFolio { memory: self, number: first as u64 })
    }

    /// Makes it this thread's.
    pub fn enter(&'static self) {
        MEMORY.set(Some(self));
    }

    /// Tasks run on this processor from now on.
    pub fn set_cpu(&self, cpu: u8) {
        self.cpu.store(cpu, Ordering::Relaxed);
    }

    /// Whether tasks are switched by a scheduler from now on.
    #[cfg(feature = "schedules")]
    pub fn explore(&self, exploring: bool) {
        self.exploring.store(exploring, Ordering::Relaxed);
    }

    /// Others may go on here.
    fn overtaken(&self) {
        if self.exploring.load(Ordering::Relaxed) && !std::thread::panicking() {
            yield_now();
        }
    }

    /// Another task has to let this one look before it goes on. Until then others run, or devices work.
    fn sleep(&self, wakes: &AtomicU64, before: u64, why: &dyn fmt::Display) {
        while wakes.load(Ordering::SeqCst) == before {
            if self.exploring.load(Ordering::Relaxed) {
                yield_now();
            } else {
                assert!(self.run_one(), "{why} for ever");
            }
        }
    }

    /// A folio is about to be evicted, and leaves a new shadow in the slots that stay in use.
    pub fn note_evicted(&self, folio: &FakeFolio) -> u64 {
        let shadow = self.evictions.fetch_add(1, Ordering::Relaxed) + 1;
        self.shadows.lock().unwrap().extend(entries_of(folio).map(|entry| (entry, shadow)));
        shadow
    }

    /// What [`Memory::note_evicted`] said for the first of a folio's slots, if that was told since there was a folio.
    fn take_shadow(&self, folio: &FakeFolio) -> Option<u64> {
        let mut shadows = self.shadows.lock().unwrap();
        let left: Vec<_> = entries_of(folio).map(|entry| shadows.remove(&entry)).collect();
        left.first().copied().flatten()
    }

    /// Forgets the devices and what was recorded, for another round.
    pub fn forget(&self) {
        self.disks.lock().unwrap().clear();
        self.log.lock().unwrap().clear();
        self.ended_writes.lock().unwrap().clear();
        self.ended_reads.lock().unwrap().clear();
    }

    /// Frames that are free.
    pub fn free_frames(&self) -> usize {
        self.free.lock().unwrap().iter().filter(|free| **free).count()
    }

    /// Whether a line of the log has these words.
    pub fn logged(&self, words: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.contains(words))
    }

    /// Completes one request of one device; false if there is none.
    pub fn run_one(&self) -> bool {
        let disks = self.disks.lock().unwrap().clone();
        disks.iter().any(|disk| disk.run_one())
    }

    /// Completes all requests of all devices.
    pub fn run_all(&self) {
        while self.run_one() {}
    }

    fn frame(&self, number: u64) -> &Frame {
        &self.frames[number as usize]
    }

    /// The folio that a frame is part of, and its place in it, by the frame's number.
    pub fn folio_of(&'static self, frame: u64) -> (FakeFolio, usize) {
        let index = self.frame(frame).index.load(Ordering::Relaxed);
        let number = frame - u64::from(index);
        (FakeFolio::try_from_number(number).expect("a mapped frame is in use"), index as usize)
    }
}

/// The machine of this thread.
pub fn memory() -> &'static Memory {
    MEMORY.get().expect("the test has made its machine")
}

/// Frames for compressed pages.
#[derive(Default)]
pub struct Pool {
    /// The frames that are in use, by their numbers.
    pub frames: Mutex<Vec<Option<Arc<Mutex<Page>>>>>,
    /// Allocations of them.
    pub allocations: Failing,
    /// Long work looks whether its task was killed; the look that fails finds that it was.
    pub looks: Failing,
    /// How often the thread was woken that makes room in the pool.
    pub shrinker_wakes: AtomicU64,
}

impl Pool {
    /// Frames that are in use.
    pub fn used(&self) -> usize {
        self.frames.lock().unwrap().iter().flatten().count()
    }
}

impl Frame {
    fn new() -> Self {
        Self {
            state: FrameState::new(),
            references: AtomicU32::new(0),
            order: AtomicU8::new(0),
            wakes: [const { AtomicU64::new(0) }; 2],
            index: AtomicU32::new(0),
            payer: AtomicU8::new(0),
            page: Mutex::new(None),
        }
    }
}

/// A cached folio's slots.
fn entries_of(folio: &FakeFolio) -> impl Iterator<Item = Entry> {
    let first = folio.state().entry().into_iter();
    let slots = first.flat_map(|first| (0..1 << folio.order()).map(move |index| (first.area(), first.slot() + index)));
    slots.filter_map(|(area, slot)| Entry::new(area, slot))
}

fn junk() -> Box<Page> {
    Box::new([0xdd; PAGE_SIZE])
}

/// In a count of references.
const FROZEN: u32 = 1 << 31;

/// A counted reference.
pub struct FakeFolio {
    memory: &'static Memory,
    number: u64,
}

impl fmt::Debug for FakeFolio {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "folio {}", self.number)
    }
}

impl FakeFolio {
    fn frame(&self) -> &'static Frame {
        self.memory.frame(self.number)
    }

    fn wakes(&self, flag: FolioFlag) -> &'static AtomicU64 {
        &self.frame().wakes[usize::from(flag == FolioFlag::Writeback)]
    }

    /// Turns this reference into a number, as a PTE has it.
    pub fn into_number(self) -> u64 {
        let number = self.number;
        std::mem::forget(self);
        number
    }

    /// The reference that [`Self::into_number`] turned into a number.
    pub fn from_number(number: u64) -> Self {
        Self { memory: memory(), number }
    }

    /// As a task that has the page mapped reads it.
    pub fn with_page<R>(&self, index: usize, read: impl FnOnce(&Page) -> R) -> R {
        assert!(index < 1 << self.order());
        read(self.memory.frame(self.number + index as u64).page.lock().unwrap().get_or_insert_with(junk))
    }

    /// As a task that has the page mapped, or a device, writes it.
    pub fn with_page_mut<R>(&self, index: usize, write: impl FnOnce(&mut Page) -> R) -> R {
        assert!(index < 1 << self.order());
        write(self.memory.frame(self.number + index as u64).page.lock().unwrap().get_or_insert_with(junk))
    }

    /// A page of a folio is a repeated word, in the tests.
    pub fn fill(&self, index: usize, word: u64) {
        self.with_page_mut(index, |page| page.as_chunks_mut().0.fill(word.to_le_bytes()));
    }

    /// The word that a page repeats.
    pub fn word(&self, index: usize) -> u64 {
        self.with_page(index, |page| {
            let (words, _) = page.as_chunks();
            assert!(words.iter().all(|word| *word == words[0]), "a page is torn");
            u64::from_le_bytes(words[0])
        })
    }
}

impl Clone for FakeFolio {
    fn clone(&self) -> Self {
        let before = self.frame().references.fetch_add(1, Ordering::SeqCst);
        assert!(before > 0, "{self:?} was used after it was freed");
        Self { memory: self.memory, number: self.number }
    }
}

impl Drop for FakeFolio {
    fn drop(&mut self) {
        // Others may find this reference, which its task has no more use for.
        self.memory.overtaken();
        let frame = self.frame();
        let before = frame.references.fetch_sub(1, Ordering::SeqCst);
        if std::thread::panicking() {
            return;
        }
        assert!(before > 0, "{self:?} was dropped too often");
        if before == 1 {
            frame.state.reset();
            let order = frame.order.load(Ordering::Relaxed);
            let mut free = self.memory.free.lock().unwrap();
            for number in self.number..self.number + (1 << order) {
                *self.memory.frame(number).page.lock().unwrap() = None;
                assert!(!std::mem::replace(&mut free[number as usize], true), "frame {number} was freed twice");
            }
        }
    }
}

impl Folio for FakeFolio {
    fn number(&self) -> u64 {
        self.number
    }

    fn order(&self) -> u8 {
        self.frame().order.load(Ordering::Relaxed)
    }

    fn take_up(&self, forgotten: Forgotten<'_, Self>) -> Self {
        forgotten.check(self.state());
        Self { memory: self.memory, number: self.number }
    }

    fn try_from_number(number: u64) -> Option<Self> {
        let memory = memory();
        let references = &memory.frames.get(number as usize)?.references;
        let raise = |count| (1..FROZEN).contains(&count).then(|| count + 1);
        references.fetch_update(Ordering::SeqCst, Ordering::SeqCst, raise).ok()?;
        Some(Self { memory, number })
    }

    fn try_freeze(&self, expected: u32) -> bool {
        let frozen = expected | FROZEN;
        self.memory.overtaken();
        self.frame().references.compare_exchange(expected, frozen, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    fn thaw(&self) {
        let before = self.frame().references.fetch_and(!FROZEN, Ordering::SeqCst);
        assert!(before & FROZEN != 0, "{self:?} was not frozen");
    }

    fn state(&self) -> &FolioState<Self> {
        self.frame().state.state()
    }

    fn read_page<R>(&self, index: usize, access: &ReadAccess<'_, Self>, read: impl FnOnce(&Page) -> R) -> R {
        access.check(self.state());
        self.with_page(index, read)
    }

    fn write_page<R>(&self, index: usize, access: &mut WriteAccess<'_, Self>, write: impl FnOnce(&mut Page) -> R) -> R {
        access.check(self.state());
        self.with_page_mut(index, write)
    }

    fn is_zero(&self, index: usize) -> bool {
        self.with_page(index, page::is_zero)
    }

    fn wait_while(&self, flag: FolioFlag) {
        assert!(RANKS.with_borrow(Vec::is_empty), "sleeps under a spinning lock");
        let before = self.wakes(flag).load(Ordering::SeqCst);
        if self.state().is(flag) {
            self.memory.sleep(self.wakes(flag), before, &format_args!("{self:?} would wait for {flag:?}"));
        }
    }

    fn wake(&self, flag: FolioFlag) {
        let what = if flag == FolioFlag::Locked { "a folio is unlocked, as when a read ends," } else { "a write ends" };
        RANKS.with_borrow(|held| assert!(held.is_empty(), "{what} under a spinning lock, {held:?}"));
        self.wakes(flag).fetch_add(1, Ordering::SeqCst);
        self.memory.overtaken();
    }

    fn orphaned(&self) {
        let swap = *self.memory.swap.lock().unwrap();
        swap.expect("the test has made its swap").drop_if_unused(self);
    }
}

impl Machine for Fake {
    type Folio = FakeFolio;

    fn lock_enter(rank: Rank) {
        if memory().exploring.load(Ordering::Relaxed) {
            return yield_now();
        }
        if rank == Rank::Cluster {
            memory().cluster_locks.fetch_add(1, Ordering::Relaxed);
        }
        RANKS.with_borrow_mut(|ranks| {
            assert!(ranks.last().is_none_or(|last| rank < *last), "{rank:?} is taken under {ranks:?}");
            ranks.push(rank);
        });
    }

    fn lock_leave(rank: Rank) {
        if memory().exploring.load(Ordering::Relaxed) {
            // A task that was to be preempted while it held the lock is preempted here.
            return Self::overtaken();
        }
        assert_eq!(RANKS.with_borrow_mut(Vec::pop), Some(rank));
    }

    fn relax() {
        memory().relaxed.fetch_add(1, Ordering::Relaxed);
        if memory().exploring.load(Ordering::Relaxed) {
            yield_now();
        } else {
            memory().run_one();
            std::thread::yield_now();
        }
    }

    fn overtaken() {
        memory().overtaken();
    }

    fn note(occurrence: Occurrence) {
        let (area, first, count, change) = match occurrence {
            Occurrence::SlotsAllocated { area, first, count } => (area, first, count, 1),
            Occurrence::SlotsFreed { area, first, count } => (area, first, count, -1),
            _ => return,
        };
        let mut told = memory().told.lock().unwrap();
        for slot in first..first + count {
            let times = told.remove(&(area, slot)).unwrap_or(0) + change;
            if times != 0 {
                told.insert((area, slot), times);
            }
        }
    }

    fn may_enter_file_systems() -> bool {
        !memory().in_file_system.load(Ordering::Relaxed)
    }

    fn charge_slots(folio: &FakeFolio, slots: u32) -> Option<u8> {
        let payer = folio.frame().payer.load(Ordering::Relaxed);
        let Payer { slots: charged, limit } = &memory().payers[usize::from(payer)];
        if payer != 0
            && charged.fetch_add(slots.into(), Ordering::Relaxed) + u64::from(slots) > limit.load(Ordering::Relaxed)
        {
            charged.fetch_sub(slots.into(), Ordering::Relaxed);
            return None;
        }
        Some(payer)
    }

    fn uncharge_slots(payer: u8, slots: u32) {
        assert_ne!(payer, 0);
        let before = memory().payers[usize::from(payer)].slots.fetch_sub(slots.into(), Ordering::Relaxed);
        assert!(before >= slots.into(), "{payer} paid for {before} slots, and {slots} are given back");
    }

    fn added_to_cache(folio: &FakeFolio, shadow: u64) {
        let left = memory().take_shadow(folio);
        assert_eq!(left.unwrap_or(shadow), shadow, "{folio:?} has another shadow than its eviction left");
        Self::overtaken();
    }

    fn cpu() -> usize {
        memory().cpu.load(Ordering::Relaxed).into()
    }

    fn may_allocate(bytes: usize) -> bool {
        Self::overtaken();
        memory().heap_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        !memory().heap.next_fails()
    }

    fn allocate_folio(order: u8, folio_use: FolioUse) -> Option<FakeFolio> {
        let payer = match folio_use {
            FolioUse::Demand { payer, .. } => payer,
            FolioUse::Readahead(entry) => memory().swap.lock().unwrap().map_or(0, |swap| swap.payer(entry)),
            FolioUse::Writeback => 0,
        };
        memory().allocate(order, payer)
    }

    fn now() -> Duration {
        Duration::from_millis(memory().clock.load(Ordering::Relaxed))
    }

    fn writes_ended(folios: impl Iterator<Item = FakeFolio>, result: Result<(), IoError>) {
        for folio in folios {
            memory().ended_writes.lock().unwrap().push((folio.number(), result));
        }
    }

    fn read_ended(folio: &FakeFolio, result: Result<(), IoError>) {
        memory().ended_reads.lock().unwrap().push((folio.number(), result));
    }

    fn wait(event: Event, ready: &dyn Fn() -> bool) {
        let wakes = &memory().wakes[event as usize];
        loop {
            let before = wakes.load(Ordering::SeqCst);
            if ready() {
                return;
            }
            memory().sleep(wakes, before, &format_args!("would wait for {event:?}"));
        }
    }

    fn wake(event: Event) {
        memory().wakes[event as usize].fetch_add(1, Ordering::SeqCst);
        if event == Event::Work {
            memory().work_left.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn log(_level: Level, message: fmt::Arguments<'_>) {
        memory().log.lock().unwrap().push(message.to_string());
    }
}

/// A folio with contents, unlocked and dirty, as a task that wrote to its memory would have it.
pub fn new_folio(order: u8, word: u64) -> Option<FakeFolio> {
    let folio = memory().allocate(order, memory().payer.load(Ordering::Relaxed))?;
    for index in 0..1 << order {
        folio.fill(index, word + index as u64);
    }
    folio.frame().state.set_filled();
    folio.state().set(FolioFlag::Dirty);
    Some(folio)
}

/// Locks a folio that no other task has locked.
pub fn lock(folio: &FakeFolio) -> Locked<FakeFolio> {
    Locked::try_lock(folio.clone()).expect("no other task has it locked")
}

/// A disk in memory that remembers what it was asked.
pub struct FakeDisk {
    name: String,
    driver: DriverId,
    pages: u64,
    properties: DiskProperties,
    store: Mutex<HashMap<u64, Box<Page>>>,
    /// Pages that cannot be read or written.
    pub broken: Mutex<HashSet<u64>>,
    queue: Mutex<VecDeque<DiskRequest<Fake>>>,
    /// Every request: direction, first page, pages.
    pub requests: Mutex<Vec<(Direction, u64, u64)>>,
    /// Pages that it was told to forget.
    pub discarded: Mutex<Vec<Range<u64>>>,
    /// What others do once, while it forgets pages.
    pub while_discarding: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    device_state: Arc<DeviceState>,
    /// How many more pages it has room for.
    pub room: AtomicU64,
    memory: &'static Memory,
}

impl FakeDisk {
    /// A disk with a swap header for all of its pages.
    pub fn new(name: &str, pages: u64) -> Arc<Self> {
        Self::with(name, pages, DiskProperties::default(), &[])
    }

    /// A disk without a whole page.
    pub fn empty(name: &str) -> Arc<Self> {
        Arc::new(Self::blank(name, 0, DiskProperties::default()))
    }

    fn blank(name: &str, pages: u64, properties: DiskProperties) -> Self {
        Self {
            name: name.to_owned(),
            driver: DriverId("fake"),
            pages,
            properties,
            store: Mutex::default(),
            broken: Mutex::default(),
            queue: Mutex::default(),
            requests: Mutex::default(),
            discarded: Mutex::default(),
            while_discarding: Mutex::default(),
            device_state: Arc::default(),
            room: AtomicU64::new(u64::MAX),
            memory: memory(),
        }
    }

    /// A disk with these properties and a swap header that names these bad pages.
    pub fn with(name: &str, pages: u64, properties: DiskProperties, bad_pages: &[u32]) -> Arc<Self> {
        let disk = Arc::new(Self::blank(name, pages, properties));
        let header = Header {
            last_page: u32::try_from(pages - 1).unwrap(),
            uuid: [0; 16],
            label: [0; 16],
            bad_pages: BadPages::new(bad_pages),
        };
        let mut page = Box::new([0; PAGE_SIZE]);
        header.encode(&mut page).unwrap();
        disk.store.lock().unwrap().insert(0, page);
        memory().disks.lock().unwrap().push(Arc::clone(&disk));
        disk
    }

    /// Puts a page on the disk.
    pub fn set_page(&self, page: u64, contents: &Page) {
        self.store.lock().unwrap().insert(page, Box::new(*contents));
    }

    /// A page of the disk.
    pub fn page(&self, page: u64) -> Page {
        **self.store.lock().unwrap().get(&page).expect("it was written")
    }

    /// Requests that it has not done.
    pub fn pending(&self) -> usize {
        self.queue.lock().unwrap().len()
    }

    /// Does the oldest request; false if there is none.
    pub fn run_one(&self) -> bool {
        let Some(request) = self.queue.lock().unwrap().pop_front() else { return false };
        self.run(request);
        true
    }

    /// Takes the pending requests, for a device that does others first.
    pub fn take_pending(&self) -> VecDeque<DiskRequest<Fake>> {
        std::mem::take(&mut *self.queue.lock().unwrap())
    }

    /// Puts requests back that [`Self::take_pending`] took.
    pub fn resume(&self, requests: VecDeque<DiskRequest<Fake>>) {
        self.queue.lock().unwrap().extend(requests);
    }

    /// Loses every pending request, as a broken driver would.
    pub fn drop_requests(&self) {
        let lost = std::mem::take(&mut *self.queue.lock().unwrap());
        drop(lost);
    }

    fn run(&self, request: DiskRequest<Fake>) {
        if !self.take_room(&request) {
            return request.complete(Err(IoError::NoSpace));
        }
        let first = request.first_sector() / 8;
        let pages = first..first + request.pages();
        let failed =
            self.memory.io.next_fails() || pages.clone().any(|page| self.broken.lock().unwrap().contains(&page));
        if !failed {
            let mut page = first;
            for folio in request.folios() {
                for index in 0..1 << folio.order() {
                    self.transfer(request.direction(), page, folio, index);
                    page += 1;
                }
            }
            assert_eq!(page, pages.end);
        }
        request.complete(if failed { Err(IoError::Device) } else { Ok(()) });
    }

    /// Whether the pages still fit.
    fn take_room(&self, request: &DiskRequest<Fake>) -> bool {
        let take = |room: u64| room.checked_sub(request.pages());
        request.direction() == Direction::Read
            || self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }

    fn transfer(&self, direction: Direction, page: u64, folio: &FakeFolio, index: usize) {
        if self.properties.stable_writes && direction == Direction::Write {
            let before = folio.with_page(index, |page| *page);
            Fake::overtaken();
            assert!(folio.with_page(index, |page| *page == before), "a page changed while it was written");
        }
        let mut store = self.store.lock().unwrap();
        let stored = store.entry(page).or_insert_with(|| Box::new([0xee; PAGE_SIZE]));
        match direction {
            Direction::Read => folio.with_page_mut(index, |memory| memory.copy_from_slice(&**stored)),
            Direction::Write => folio.with_page(index, |memory| stored.copy_from_slice(memory)),
        }
    }
}

impl Disk<Fake> for FakeDisk {
    fn name(&self) -> &str {
        &self.name
    }

    fn driver(&self) -> DriverId {
        self.driver
    }

    fn pages(&self) -> u64 {
        self.pages
    }

    fn properties(&self) -> DiskProperties {
        self.properties
    }

    fn device_state(&self) -> &Arc<DeviceState> {
        &self.device_state
    }

    fn read_page(&self, page: u64, buffer: &mut Page) -> Result<(), IoError> {
        assert!(RANKS.with_borrow(Vec::is_empty), "I/O under a spinning lock");
        Fake::overtaken();
        if self.memory.io.next_fails() || self.broken.lock().unwrap().contains(&page) {
            return Err(IoError::Device);
        }
        buffer.copy_from_slice(&**self.store.lock().unwrap().get(&page).unwrap_or(&Box::new([0; PAGE_SIZE])));
        Ok(())
    }

    fn read_pages(&self, first: u64, pages: &mut [Page]) -> Result<(), IoError> {
        self.requests.lock().unwrap().push((Direction::Read, first, pages.len() as u64));
        (first..).zip(pages).try_for_each(|(page, buffer)| self.read_page(page, buffer))
    }

    fn write_pages(&self, first: u64, pages: &[Page]) -> Result<(), IoError> {
        assert!(RANKS.with_borrow(Vec::is_empty), "I/O under a spinning lock");
        self.requests.lock().unwrap().push((Direction::Write, first, pages.len() as u64));
        Fake::overtaken();
        if self.memory.io.next_fails() {
            return Err(IoError::Device);
        }
        for (place, page) in (first..).zip(pages) {
            if self.broken.lock().unwrap().contains(&place) || place >= self.pages {
                return Err(IoError::Device);
            }
            self.set_page(place, page);
        }
        Ok(())
    }

    fn submit(&self, request: DiskRequest<Fake>) {
        assert!(RANKS.with_borrow(Vec::is_empty), "I/O under a spinning lock");
        self.requests.lock().unwrap().push((request.direction(), request.first_sector() / 8, request.pages()));
        if self.properties.synchronous {
            self.run(request);
        } else {
            self.queue.lock().unwrap().push_back(request);
        }
    }

    fn discard(&self, pages: Range<u64>) -> Result<(), IoError> {
        assert!(RANKS.with_borrow(Vec::is_empty), "I/O under a spinning lock");
        Fake::overtaken();
        let meanwhile = self.while_discarding.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        let mut store = self.store.lock().unwrap();
        store.retain(|page, _| !pages.contains(page));
        self.discarded.lock().unwrap().push(pages);
        Ok(())
    }
}

/// Swap without any area, for the whole test; the machine's folios go there from now on.
pub fn new_swap() -> &'static Swap<Fake> {
    let swap = Box::leak(Box::new(Swap::new()));
    *memory().swap.lock().unwrap() = Some(swap);
    swap
}

/// Swap with one disk on it, for the whole test.
pub fn swap_on(disk: &Arc<FakeDisk>) -> (&'static Swap<Fake>, u8) {
    let swap = new_swap();
    let index = enable(swap, disk, None).unwrap();
    (swap, index)
}

/// Enables a disk.
///
/// # Errors
/// As [`Swap::swapon`].
pub fn enable(swap: &Swap<Fake>, disk: &Arc<FakeDisk>, priority: Option<i16>) -> Result<u8, quire_swap::SwapOnError> {
    let disk: Arc<dyn Disk<Fake>> = disk.clone();
    swap.swapon(&disk, SwapOnOptions { priority, ..SwapOnOptions::default() })
}
