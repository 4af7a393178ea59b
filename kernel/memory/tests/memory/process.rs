//! Processes, as far as memory knows of them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quire_machine::task::{JoinHandle, Owner, UserHalf, Work, spawn_for};
use quire_memory::fatal::Fatal;
use quire_memory::{AddressSpace, cgroup, tasks, upcall};

static PROCESSES: Mutex<BTreeMap<u32, Arc<Process>>> = Mutex::new(BTreeMap::new());
static FATAL: Mutex<Option<Fatal>> = Mutex::new(None);

/// A process: an address space, and whether it was killed.
pub(crate) struct Process {
    number: u32,
    pub(crate) space: Mutex<Option<Arc<AddressSpace>>>,
    cgroup: AtomicU8,
    is_killed: AtomicBool,
}

/// Notes why an access failed.
pub(crate) fn note(fatal: Fatal) {
    *FATAL.lock().unwrap_or_else(PoisonError::into_inner) = Some(fatal);
}

/// Why the last access that failed did, since it was asked last.
pub(crate) fn take_fatal() -> Option<Fatal> {
    FATAL.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Every process ends that has not ended.
pub(crate) fn forget_all() {
    tasks::set_space(None);
    let processes = std::mem::take(&mut *PROCESSES.lock().unwrap());
    drop(processes);
    take_fatal();
}

/// The process with the next larger number.
pub(crate) fn after(number: u32) -> Option<Arc<dyn upcall::Process>> {
    let processes = PROCESSES.lock().unwrap();
    let (_, process) = processes.range((Bound::Excluded(number), Bound::Unbounded)).next()?;
    Some(Arc::clone(process) as _)
}

impl Process {
    /// A process with this memory, in a cgroup.
    pub(crate) fn new(space: Arc<AddressSpace>, cgroup: u8) -> Arc<Self> {
        let mut processes = PROCESSES.lock().unwrap();
        // Process 1 cannot be killed.
        let number = processes.last_key_value().map_or(2, |(last, _)| last + 1);
        let process = Arc::new(Self {
            number,
            space: Mutex::new(Some(space)),
            cgroup: AtomicU8::new(cgroup),
            is_killed: AtomicBool::new(false),
        });
        processes.insert(number, Arc::clone(&process));
        process
    }

    /// A process with empty memory, in no cgroup.
    pub(crate) fn empty() -> Arc<Self> {
        Self::new(AddressSpace::new().expect("there is memory for an address space"), cgroup::ROOT)
    }

    /// Its cgroup.
    pub(crate) fn cgroup(&self) -> u8 {
        self.cgroup.load(Ordering::Relaxed)
    }

    /// It goes to another cgroup; what it has stays.
    pub(crate) fn join(&self, cgroup: u8) {
        self.cgroup.store(cgroup, Ordering::Relaxed);
    }

    /// Its memory.
    pub(crate) fn memory(&self) -> Arc<AddressSpace> {
        Arc::clone(self.space.lock().unwrap().as_ref().expect("it has not ended"))
    }

    /// The process ends.
    pub(crate) fn end(&self) {
        PROCESSES.lock().unwrap().remove(&self.number);
        let space = self.space.lock().unwrap().take();
        if let (Some(space), Some(current)) = (&space, tasks::space())
            && Arc::ptr_eq(space, &current)
        {
            tasks::set_space(None);
        }
        drop(space);
    }

    /// Runs `work` on a thread of the process.
    pub(crate) fn run<T: Send + 'static>(self: &Arc<Self>, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let half: Arc<dyn UserHalf> = self.memory();
        let work_for = Work { owner: Some(Arc::clone(self) as Arc<dyn Owner>), space: Some(half), user: None };
        spawn_for("program", work_for, work).expect("there is memory for a thread")
    }

    /// Whether it was killed.
    pub(crate) fn is_over(&self) -> bool {
        self.is_killed.load(Ordering::Relaxed)
    }
}

/// A thread's owner that is one process after the other: what a test does in the place of several programs.
#[derive(Default)]
pub(crate) struct Conductor(Mutex<Option<Arc<Process>>>);

impl Conductor {
    /// Runs `work` on a thread that is the conductor's, and waits for its end.
    pub(crate) fn conduct<T: Send + 'static>(work: impl FnOnce(&Arc<Self>) -> T + Send + 'static) -> T {
        let conductor = Arc::new(Self::default());
        let work_for = Work { owner: Some(Arc::clone(&conductor) as Arc<dyn Owner>), space: None, user: None };
        spawn_for("conductor", work_for, move || work(&conductor)).expect("there is memory for a thread").join()
    }

    /// The thread is this process's from now on, or none's.
    pub(crate) fn enter(&self, process: Option<&Arc<Process>>) {
        tasks::set_space(process.map(|process| process.memory()));
        *self.0.lock().unwrap() = process.map(Arc::clone);
    }

    fn ask<T>(&self, ask: impl FnOnce(&Process) -> T) -> Option<T> {
        self.0.lock().unwrap().as_deref().map(ask)
    }
}

impl Owner for Conductor {
    fn title(&self) -> Option<&dyn fmt::Display> {
        None
    }

    fn memory_cgroup(&self) -> u8 {
        self.ask(Process::cgroup).unwrap_or(cgroup::ROOT)
    }

    fn is_killed(&self) -> bool {
        self.ask(Process::is_over).unwrap_or(false)
    }

    fn is_interrupted(&self) -> bool {
        self.is_killed()
    }

    fn is_process(&self) -> bool {
        self.ask(|_| ()).is_some()
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program[{}]", self.number)
    }
}

impl Owner for Process {
    fn title(&self) -> Option<&dyn fmt::Display> {
        Some(self)
    }

    fn memory_cgroup(&self) -> u8 {
        self.cgroup()
    }

    fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::Relaxed)
    }

    fn is_interrupted(&self) -> bool {
        self.is_killed.load(Ordering::Relaxed)
    }
}

impl upcall::Process for Process {
    fn pid(&self) -> u32 {
        self.number
    }

    fn memory(&self) -> Option<Arc<dyn upcall::Memory>> {
        self.space.lock().unwrap().clone().map(|space| space as _)
    }

    fn memory_cgroup(&self) -> u8 {
        self.cgroup()
    }

    fn oom_score_adjustment(&self) -> i32 {
        0
    }

    fn is_immortal(&self) -> bool {
        false
    }

    fn borrows_memory(&self) -> bool {
        false
    }

    fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::Relaxed)
    }

    fn kill(&self) {
        self.is_killed.store(true, Ordering::Relaxed);
    }
}
