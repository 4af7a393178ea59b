//! Threads: what one is, how it starts and how it ends.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use intrusive_collections::{LinkedListAtomicLink, intrusive_adapter};

use super::scheduler;
use super::wait::WaitQueue;
use crate::arch::context;
use crate::arch::fpu::UserState;
use crate::arch::trap::{self, TrapFrame};
use crate::fallible::{self, NoMemory};
use crate::mm::fail_nth::Countdown;
use crate::mm::group;
use crate::mm::stack::KernelStack;
use crate::mm::{AddressSpace, AllocationError, FrameNumber, kernel_map};
use crate::process::{self, Process};
use crate::sync::{Rank, SpinLock};

/// Why a task cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// A page could not be read back from swap (Linux: SIGBUS).
    ReadFailed(quire_swap::Entry),
    /// No frame could be had for it (Linux: the out-of-memory killer's SIGKILL).
    OutOfMemory,
    /// Its process was killed by then, or its memory has been taken away for that: nothing is served any more.
    Killed,
    /// It touched an address that it has not mapped (Linux: SIGSEGV).
    NotMapped(u64),
    /// It did with an address what its mapping does not allow (Linux: SIGSEGV).
    NotAllowed(u64),
    /// It touched a page that its object has not (Linux: SIGBUS).
    BeyondObject(u64),
    /// The file system of what is mapped there is full.
    NoSpace(u64),
}

/// What the scheduler knows of a thread; changes only under the run-queue lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    Ready,
    Running,
    Parked,
    Dead,
}

/// Whose user half a thread has.
enum Home {
    /// Nobody's: a thread of the kernel.
    Kernel,
    /// That of a task: kernel code with memory of its own.
    Task(Arc<AddressSpace>),
    /// That of a program, whose registers are kept here while it does not run.
    Process(Arc<Process>, UserState),
}

/// What only the thread that it belongs to looks at or changes, once that thread can run.
struct OwnSpace(UnsafeCell<Option<Arc<AddressSpace>>>);

// SAFETY: one thread alone touches the value; whoever drops the thread does so after it has ended.
unsafe impl Sync for OwnSpace {}

/// A thread: of the kernel, or of a process.
pub struct Thread {
    number: u32,
    name: String,
    stack: KernelStack,
    home: Home,
    /// The address space of its user half, of which it has a reference of its own: a fault finds it without a lock.
    space: OwnSpace,
    /// The root of the page tables that it runs on; only the thread itself changes it.
    root: AtomicU64,
    /// May dip into the reserve that reclaim needs to make progress: `kswapd` and the disks' completion threads.
    reclaims: AtomicBool,
    /// Reclaims for itself right now.
    is_reclaiming: AtomicBool,
    /// Disables a swap area.
    disables_swap: AtomicBool,
    fatal: SpinLock<Option<Fatal>>,
    entry: SpinLock<Option<Box<dyn FnOnce() + Send>>>,
    ended: AtomicBool,
    end: WaitQueue,
    pub(super) state: AtomicU8,
    pub(super) unparked: AtomicBool,
    pub(super) stack_pointer: AtomicU64,
    pub(super) held_ranks: AtomicU64,
    pub(super) run_queue_link: LinkedListAtomicLink,
    pub(super) wait_link: LinkedListAtomicLink,
    pub(super) sleep_link: LinkedListAtomicLink,
    /// When it wants to be woken, in nanoseconds since boot.
    pub(super) wake_at: AtomicU64,
    fail_nth: Countdown,
    /// Who has it in a queue has let it go.
    woken: AtomicBool,
}

// The macro's adapters are `Copy` and clone themselves by hand.
#[expect(clippy::expl_impl_clone_on_copy, reason = "inside the library's macro")]
mod adapters {
    use super::{Arc, LinkedListAtomicLink, Thread, intrusive_adapter};

    intrusive_adapter!(pub(in super::super) RunQueueAdapter = Arc<Thread>: Thread { run_queue_link => LinkedListAtomicLink });
    intrusive_adapter!(pub(in super::super) WaitAdapter = Arc<Thread>: Thread { wait_link => LinkedListAtomicLink });
    intrusive_adapter!(pub(in super::super) SleepAdapter = Arc<Thread>: Thread { sleep_link => LinkedListAtomicLink });
}
pub(super) use adapters::{RunQueueAdapter, SleepAdapter, WaitAdapter};

static NEXT_NUMBER: AtomicU32 = AtomicU32::new(0);

impl Thread {
    fn new(
        name: &str,
        stack: KernelStack,
        home: Home,
        entry: Option<Box<dyn FnOnce() + Send>>,
    ) -> Result<Arc<Self>, NoMemory> {
        let space = match &home {
            Home::Kernel => None,
            Home::Task(space) => Some(Arc::clone(space)),
            Home::Process(process, _) => process.space(),
        };
        let root = space.as_ref().map(|space| space.root());
        let name = fallible::text(format_args!("{name}"))?;
        fallible::shared(Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            name,
            stack,
            home,
            space: OwnSpace(UnsafeCell::new(space)),
            root: AtomicU64::new(root.unwrap_or_else(kernel_map::root).address()),
            reclaims: AtomicBool::new(false),
            is_reclaiming: AtomicBool::new(false),
            disables_swap: AtomicBool::new(false),
            fatal: SpinLock::new(Rank::WaitQueue, None),
            entry: SpinLock::new(Rank::WaitQueue, entry),
            ended: AtomicBool::new(false),
            end: WaitQueue::new(),
            state: AtomicU8::new(State::Parked as u8),
            unparked: AtomicBool::new(false),
            stack_pointer: AtomicU64::new(0),
            held_ranks: AtomicU64::new(0),
            run_queue_link: LinkedListAtomicLink::new(),
            wait_link: LinkedListAtomicLink::new(),
            sleep_link: LinkedListAtomicLink::new(),
            wake_at: AtomicU64::new(0),
            fail_nth: Countdown::default(),
            woken: AtomicBool::new(false),
        })
    }

    /// When one of its allocations is to fail.
    pub fn fail_nth(&self) -> &Countdown {
        &self.fail_nth
    }

    /// The thread that runs already, on `stack`.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(super) fn running(name: &str, stack: KernelStack) -> Result<Arc<Self>, NoMemory> {
        let thread = Self::new(name, stack, Home::Kernel, None)?;
        thread.state.store(State::Running as u8, Ordering::Relaxed);
        Ok(thread)
    }

    /// A thread with nothing to do: an idle thread.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(super) fn idle(stack: KernelStack) -> Result<Arc<Self>, NoMemory> {
        let thread = Self::new("idle", stack, Home::Kernel, None)?;
        thread.prepare(thread.stack.top());
        Ok(thread)
    }

    /// Makes the first switch to the thread start it with its stack at `top`.
    fn prepare(&self, top: u64) {
        // SAFETY: the thread has never run, so all of its stack below `top`, a multiple of 16, is free.
        let stack_pointer = unsafe { context::prepare_stack(top, scheduler::start_thread) };
        self.stack_pointer.store(stack_pointer, Ordering::Relaxed);
    }

    /// The thread's number; unique.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The thread's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The end of the thread's stack, where it starts to grow down.
    pub fn stack_top(&self) -> u64 {
        self.stack.top()
    }

    /// The address space of its user half, if it has one.
    ///
    /// # Safety
    /// The thread is the one that runs this.
    #[inline]
    pub(super) unsafe fn space(&self) -> Option<Arc<AddressSpace>> {
        // SAFETY: the value is this thread's alone, and is not borrowed for longer than this.
        unsafe { (*self.space.0.get()).clone() }
    }

    /// Gives it another address space; returns the one before.
    ///
    /// # Safety
    /// The thread is the one that runs this.
    pub(super) unsafe fn replace_space(&self, space: Option<Arc<AddressSpace>>) -> Option<Arc<AddressSpace>> {
        let root = space.as_ref().map_or_else(kernel_map::root, |space| space.root());
        self.root.store(root.address(), Ordering::Relaxed);
        // SAFETY: as in `space`.
        unsafe { core::mem::replace(&mut *self.space.0.get(), space) }
    }

    /// The process whose thread it is.
    pub fn process(&self) -> Option<&Arc<Process>> {
        match &self.home {
            Home::Process(process, _) => Some(process),
            Home::Kernel | Home::Task(_) => None,
        }
    }

    /// The registers that its program has and the kernel does not use.
    pub(super) fn user(&self) -> Option<&UserState> {
        match &self.home {
            Home::Process(_, user) => Some(user),
            Home::Kernel | Home::Task(_) => None,
        }
    }

    /// The memory group that is charged for what it allocates.
    pub fn memory_group(&self) -> u8 {
        match &self.home {
            Home::Kernel => group::ROOT,
            Home::Task(space) => space.group(),
            Home::Process(process, _) => process.memory_group(),
        }
    }

    /// Whether a signal waits for the process whose thread it is; such a thread does not go on sleeping where a sleep may
    /// be interrupted.
    pub fn is_interrupted(&self) -> bool {
        self.process().is_some_and(|process| process.standing().is_interrupted())
    }

    /// Whether the process whose thread it is ends as soon as it can: nothing is worth waiting for any more.
    pub fn is_killed(&self) -> bool {
        self.process().is_some_and(|process| process.standing().is_killed())
    }

    /// Whether it was let go of since it was queued somewhere, see [`Self::set_woken`].
    pub fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    /// Notes that it is about to be queued (`false`), or that it was let go of, which whoever does that says before it
    /// unparks it.
    pub fn set_woken(&self, woken: bool) {
        self.woken.store(woken, Ordering::Release);
    }

    /// Waits until the thread runs no more.
    pub fn wait_for_end(&self) {
        self.end.wait_until(|| self.ended.load(Ordering::Acquire));
    }

    /// The root of the page tables that it runs on.
    pub(super) fn root(&self) -> FrameNumber {
        FrameNumber::containing(self.root.load(Ordering::Relaxed))
    }

    /// Whether it waits for something.
    pub fn is_parked(&self) -> bool {
        self.state.load(Ordering::Relaxed) == State::Parked as u8
    }

    /// Lets the thread dip into the reserve for reclaim.
    pub fn set_reclaims(&self) {
        self.reclaims.store(true, Ordering::Relaxed);
    }

    /// Whether the thread may dip into the reserve for reclaim, and must not start reclaim itself.
    pub fn reclaims(&self) -> bool {
        self.reclaims.load(Ordering::Relaxed)
    }

    /// Notes that the thread begins a pass of reclaim, or has ended it.
    pub fn set_reclaiming(&self, is_reclaiming: bool) {
        self.is_reclaiming.store(is_reclaiming, Ordering::Relaxed);
    }

    /// Whether the thread may take the last frame: what it takes frees others.
    pub fn may_take_reserve(&self) -> bool {
        self.reclaims() || self.is_reclaiming.load(Ordering::Relaxed)
    }

    /// Notes that the thread begins to disable a swap area, or has ended that.
    pub fn set_disables_swap(&self, disables: bool) {
        self.disables_swap.store(disables, Ordering::Relaxed);
    }

    /// Whether the thread disables a swap area, and gives up before a task is killed for memory.
    pub fn disables_swap(&self) -> bool {
        self.disables_swap.load(Ordering::Relaxed)
    }

    /// Why the task cannot go on, if it cannot.
    pub fn fatal(&self) -> Option<Fatal> {
        *self.fatal.lock()
    }

    /// Notes why the task cannot go on; the first reason stays.
    pub fn set_fatal(&self, fatal: Fatal) {
        self.fatal.lock().get_or_insert(fatal);
    }

    pub(super) fn take_entry(&self) -> Option<Box<dyn FnOnce() + Send>> {
        self.entry.lock().take()
    }

    pub(super) fn set_ended(&self) {
        self.ended.store(true, Ordering::Release);
        self.end.wake_all();
    }
}

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process() {
            Some(process) => write!(f, "{process}"),
            None => write!(f, "{}[{}]", self.name, self.number),
        }
    }
}

/// A started thread, to wait for.
pub struct JoinHandle<T> {
    thread: Arc<Thread>,
    result: Arc<SpinLock<Option<T>>>,
}

impl<T> JoinHandle<T> {
    /// The thread.
    pub fn thread(&self) -> &Arc<Thread> {
        &self.thread
    }

    /// Waits until the thread has ended; returns what it returned.
    ///
    /// # Panics
    /// If the thread ended without a result, which no thread can.
    pub fn join(self) -> T {
        self.thread.wait_for_end();
        self.result.lock().take().expect("a thread stores its result before it ends")
    }
}

/// Starts a kernel thread.
///
/// # Errors
/// [`AllocationError`] when there is no memory for its stack.
pub fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, AllocationError> {
    start(name, Home::Kernel, work)
}

/// Starts a task: a kernel thread with an address space of its own in the user half, which is emptied when the thread
/// ends.
///
/// # Errors
/// [`AllocationError`] when there is no memory for its stack.
pub fn spawn_in<T: Send + 'static>(
    name: &str,
    space: Arc<AddressSpace>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, AllocationError> {
    let own = Arc::clone(&space);
    start(name, Home::Task(space), move || {
        let value = work();
        own.tear_down();
        value
    })
}

fn start<T: Send + 'static>(
    name: &str,
    home: Home,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, AllocationError> {
    let result = fallible::shared(SpinLock::new(Rank::WaitQueue, None))?;
    let place = Arc::clone(&result);
    let entry = fallible::boxed(move || {
        let value = work();
        *place.lock() = Some(value);
    })?;
    let thread = Thread::new(name, KernelStack::new()?, home, Some(entry))?;
    thread.prepare(thread.stack.top());
    begin(&thread);
    Ok(JoinHandle { thread, result })
}

/// Makes a thread for `process` that will enter its program with the registers of `frame` and `user`. It does not run before
/// [`begin`].
///
/// # Errors
/// [`NoMemory`]
pub fn for_process(
    process: Arc<Process>,
    stack: KernelStack,
    frame: &TrapFrame,
    user: UserState,
) -> Result<Arc<Thread>, NoMemory> {
    // Whoever ends here never returns, so what starts it must own nothing.
    let enter = || {
        process::begin();
        // SAFETY: the thread is a process's, and its frame is written below, before the thread can run.
        unsafe { trap::enter_program() }
    };
    let thread = Thread::new("", stack, Home::Process(process, user), Some(fallible::boxed(enter)?))?;
    let place = trap::program_frame(thread.stack.top());
    // SAFETY: the stack is mapped and nobody uses it yet.
    unsafe { place.write(frame.clone()) };
    thread.prepare(place as u64);
    Ok(thread)
}

/// Lets a new thread run.
pub fn begin(thread: &Arc<Thread>) {
    // The reference that goes with being parked, see `scheduler`.
    core::mem::forget(Arc::clone(thread));
    scheduler::unpark(thread);
}
