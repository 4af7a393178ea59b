//! The machine's start and end.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
use quire_swap::header::PAGE_SIZE;

use super::cpu::MOST_PROCESSORS;
use super::lock::locked;
use super::{context, cpu, flow, interrupt_flag, memory, mmu, once, processor, time};
use crate::frame::Kind;
use crate::stack::KernelStack;
use crate::task::{self, scheduler};
use crate::upcall::{self, Upcalls};
use crate::{kernel_map, physical, random, stack};

/// How large a machine is.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    /// Frames of RAM, the kernel's own included: up to [`MOST_FRAMES`](memory::MOST_FRAMES).
    pub frames: usize,
    /// Processors: up to four while shuttle explores schedules, otherwise one.
    pub processors: usize,
}

/// The test that has the machine.
static ALONE: Mutex<()> = Mutex::new(());
/// There is an earlier machine, whose frames have owners: it was not ended, or its test failed under shuttle, which leaves its
/// threads where they are, with the locks that they hold.
static IS_LEFT: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Held by the thread of a test while it has the machine, and until it ends if it fails.
    static HELD: RefCell<Option<MutexGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// A machine that runs, and the test that made it on its first processor. Dropping it ends the machine.
#[derive(Debug)]
pub struct Machine {
    used: [usize; Kind::ALL.len()],
}

impl Machine {
    /// Starts a machine; the caller becomes its first thread.
    ///
    /// # Panics
    /// When the configuration cannot be had, an earlier machine was not ended, or an earlier test of this process failed under shuttle.
    pub fn start(configuration: Configuration, upcalls: &'static Upcalls) -> Self {
        let Configuration { frames, processors } = configuration;
        assert!(frames <= memory::MOST_FRAMES, "no machine has {frames} frames");
        let most = if flow::is_exploring() { MOST_PROCESSORS } else { 1 };
        assert!((1..=most).contains(&processors), "{processors} processors, where {most} can be");
        HELD.with_borrow_mut(|held| {
            held.get_or_insert_with(|| locked(&ALONE));
        });
        assert!(
            !IS_LEFT.swap(true, Ordering::Relaxed),
            "an earlier machine was not ended, or its test failed and its threads hold what they held: run this one alone"
        );

        once::forget_all();
        memory::start();
        upcall::install(upcalls);
        cpu::start(processors, time::pass);
        interrupt_flag::start(task::preempt);
        mmu::start(frames);
        context::start();
        time::start();
        stack::forget_all();
        random::forget();
        let ram = MemoryRegion { start: 0, end: (frames * PAGE_SIZE) as u64, kind: MemoryRegionKind::Usable };
        // SAFETY: the machine's memory is so large, and what an earlier machine had of it has ended with that.
        unsafe { physical::start(&[ram], u64::MAX) }.expect("the machine has room for its frames' metadata");
        let root = kernel_map::begin().expect("the machine has room for the kernel's tables");
        // SAFETY: the root was just made.
        unsafe { mmu::load(root) };
        let first = KernelStack::new().expect("the machine has room for a stack");
        scheduler::start(first).expect("the machine has room for a stack");
        for processor in 1..processors {
            context::begin(processor, move || {
                // SAFETY: as above.
                unsafe { mmu::load(root) };
                let stack = KernelStack::new().expect("the machine has room for a stack");
                match scheduler::join(stack) {
                    Ok(never) => match never {},
                    Err(error) => panic!("an idle thread: {error}"),
                }
            });
        }
        let mut machine = Self { used: [0; Kind::ALL.len()] };
        machine.settle();
        machine
    }

    /// Takes what is in use now for what stays in use, such as a room's own frames and threads, which are there until the end.
    pub fn settle(&mut self) {
        Self::wait_for_others();
        self.used = Self::used();
    }

    /// Waits until no thread but the caller can go on.
    pub fn wait_for_others() {
        while !cpu::others_are_idle() || scheduler::has_ready() {
            scheduler::yield_now();
            cpu::relax();
        }
    }

    /// Checks that the same frames are in use as at the start, or when it was settled.
    ///
    /// # Panics
    /// When they are not.
    pub fn check_frames(&self) {
        Self::wait_for_others();
        let now = Self::used();
        let differences: Vec<_> = Kind::ALL
            .iter()
            .filter(|kind| !matches!(kind, Kind::KernelTable))
            .map(|&kind| (kind, self.used[kind as usize], now[kind as usize]))
            .filter(|(_, before, after)| before != after)
            .map(|(kind, before, after)| format!("{kind:?}: {before} before, {after} now"))
            .collect();
        assert!(differences.is_empty(), "frames in use have changed: {}", differences.join("; "));
    }

    fn used() -> [usize; Kind::ALL.len()] {
        let mut counts = physical::frames_by_kind();
        counts[Kind::Free as usize] = 0;
        counts[Kind::FreeTail as usize] = 0;
        counts
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // First: what follows fails the test where it fails.
        IS_LEFT.store(flow::is_exploring(), Ordering::Relaxed);
        if std::thread::panicking() {
            return;
        }
        let is_first = flow::Flow::current().number() == 0 && HELD.with_borrow(Option::is_some);
        assert!(is_first, "a machine is ended by the thread that started it");
        self.check_frames();
        context::stop_all(cpu::take_idle());
        scheduler::forget_all();
        processor::set_number(None);
        IS_LEFT.store(false, Ordering::Relaxed);
        HELD.take();
    }
}
