//! Threads: what one is, how it starts and how it ends.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
#[cfg(target_os = "none")]
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

use intrusive_collections::{LinkedListAtomicLink, intrusive_adapter};
use quire_protocol::observatory::Task;
#[cfg(target_os = "none")]
use quire_protocol::observatory::{AtomicThreads, Threads};

use super::known::Known;
use super::owner::{Owner, Shown, UserHalf};
use super::published::PublishedTask;
use super::scheduler;
use super::wait::WaitQueue;
use crate::arch::context;
#[cfg(target_os = "none")]
use crate::arch::cpu::{self, PerCpu};
use crate::arch::enter::program_frame;
use crate::arch::fpu::UserState;
use crate::arch::registers::TrapFrame;
use crate::arch::root::Root;
use crate::event::{self, EventKind};
use crate::fallible;
use crate::no_memory::AllocationError;
use crate::no_memory::NoMemory;
use crate::running::Running;
use crate::stack::KernelStack;
use crate::sync::{Rank, SpinLock};

/// What the scheduler knows of a thread; changes only under the run-queue lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    Ready,
    Running,
    Parked,
    Dead,
    /// It was not begun: no reference goes with that.
    New,
    /// The idle thread of a processor that runs another: no reference goes with that.
    Idle,
}

/// What a thread does when it runs for the first time.
pub(super) enum Entry {
    /// Work of the kernel's; then it ends.
    Kernel(Box<dyn FnOnce() + Send>),
    /// This, and then its program, from which it does not come back here.
    Program(fn(&Cell<TrapFrame>)),
}

/// What only the thread that it belongs to looks at or changes, once that thread can run.
struct OwnSpace(UnsafeCell<Option<Known<dyn UserHalf>>>);

// SAFETY: one thread alone touches the value; the one that drops the thread does so after it has ended.
unsafe impl Sync for OwnSpace {}

/// A thread: of the kernel, or of an owner.
pub struct Thread {
    // Declared first, so dropped first: what it shows is still there.
    published: PublishedTask,
    number: u32,
    name: String,
    stack: KernelStack,
    owner: Option<Known<dyn Owner>>,
    /// The registers that its program has and the kernel does not use, while it does not run.
    user: Option<UserState>,
    /// The address space of its user half, of which it has a reference of its own: a fault finds it without a lock.
    space: OwnSpace,
    /// The root of `space`; null for the kernel's. Only the thread itself changes it.
    root: AtomicPtr<Root>,
    running: Running,
    /// Disables a swap area.
    disables_swap: AtomicBool,
    entry: SpinLock<Option<Entry>>,
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
    /// Who has it in a queue has let it go.
    woken: AtomicBool,
}

// The macro's adapters are `Copy` and clone themselves by hand.
#[expect(clippy::expl_impl_clone_on_copy, reason = "inside the library's macro")]
mod adapters {
    use super::{Arc, LinkedListAtomicLink, Thread, intrusive_adapter};

    intrusive_adapter!(pub(crate) RunQueueAdapter = Arc<Thread>: Thread { run_queue_link => LinkedListAtomicLink });
    intrusive_adapter!(pub(crate) WaitAdapter = Arc<Thread>: Thread { wait_link => LinkedListAtomicLink });
    intrusive_adapter!(pub(crate) SleepAdapter = Arc<Thread>: Thread { sleep_link => LinkedListAtomicLink });
}
pub(super) use adapters::{RunQueueAdapter, SleepAdapter, WaitAdapter};

static NEXT_NUMBER: AtomicU32 = AtomicU32::new(0);

fn root_of(space: Option<&Arc<dyn UserHalf>>) -> *mut Root {
    space.map_or(ptr::null_mut(), |space| ptr::from_ref(space.root()).cast_mut())
}

impl Thread {
    fn new(name: &str, stack: KernelStack, work: Work, entry: Option<Entry>) -> Result<Arc<Self>, NoMemory> {
        let Work { owner, space, user } = work;
        let root = root_of(space.as_ref());
        let name = fallible::text(format_args!("{name}"))?;
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        let thread = fallible::shared(Self {
            published: PublishedTask::reserve(),
            number,
            name,
            stack,
            owner: owner.map(Known::from),
            user,
            space: OwnSpace(UnsafeCell::new(space.map(Known::from))),
            root: AtomicPtr::new(root),
            running: Running::of(number),
            disables_swap: AtomicBool::new(false),
            entry: SpinLock::new(Rank::WaitQueue, entry),
            ended: AtomicBool::new(false),
            end: WaitQueue::new(),
            state: AtomicU8::new(State::New as u8),
            unparked: AtomicBool::new(false),
            stack_pointer: AtomicU64::new(0),
            held_ranks: AtomicU64::new(0),
            run_queue_link: LinkedListAtomicLink::new(),
            wait_link: LinkedListAtomicLink::new(),
            sleep_link: LinkedListAtomicLink::new(),
            wake_at: AtomicU64::new(0),
            woken: AtomicBool::new(false),
        })?;
        thread.publish();
        Ok(thread)
    }

    /// Shows the thread to those who look from outside.
    fn publish(self: &Arc<Self>) {
        let shown = self.owner.as_ref().map_or_else(Shown::default, |owner| owner.shown());
        let (name, name_length) = match shown.name {
            0 => (self.name.as_ptr().addr() as u64, self.name.len() as u64),
            name => (name, shown.name_length),
        };
        self.published.show(&Task {
            sequence: 0,
            thread: Arc::as_ptr(self).addr() as u64,
            number: self.number.into(),
            pid: shown.pid.into(),
            name,
            name_length,
            cgroup: shown.cgroup,
            stack_top: self.stack.top(),
        });
    }

    /// Says where in a thread, and in a processor's data, what changes is.
    #[cfg(target_os = "none")]
    pub(super) fn describe(threads: &AtomicThreads) {
        let processors = cpu::all();
        threads.set(&Threads {
            state: offset_of!(Self, state) as u64,
            stack_pointer: offset_of!(Self, stack_pointer) as u64,
            held_ranks: offset_of!(Self, held_ranks) as u64,
            root: offset_of!(Self, root) as u64,
            root_frame: Root::FRAME_OFFSET as u64,
            processors: processors.as_ptr().addr() as u64,
            processor_bytes: size_of::<PerCpu>() as u64,
            processor_count: processors.len() as u64,
            current: PerCpu::CURRENT_OFFSET as u64,
            current_ranks: PerCpu::HELD_RANKS_OFFSET as u64,
        });
    }

    /// What its allocations look at.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// The thread that runs already, on `stack`.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(super) fn first(name: &str, stack: KernelStack) -> Result<Arc<Self>, NoMemory> {
        let thread = Self::new(name, stack, Work::default(), None)?;
        thread.state.store(State::Running as u8, Ordering::Relaxed);
        Ok(thread)
    }

    /// A thread with nothing to do: an idle thread.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(super) fn idle(stack: KernelStack) -> Result<Arc<Self>, NoMemory> {
        let thread = Self::new("idle", stack, Work::default(), None)?;
        thread.state.store(State::Idle as u8, Ordering::Relaxed);
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

    /// The address space of its user half, if it has one and that is an `S`.
    ///
    /// # Safety
    /// The thread is the one that runs this.
    #[inline]
    pub(super) unsafe fn space_as<S: UserHalf>(&self) -> Option<Arc<S>> {
        // SAFETY: the value is this thread's alone, and is not borrowed for longer than this.
        unsafe { (*self.space.0.get()).as_ref()?.share_as() }
    }

    /// Gives it another address space; returns the one before.
    ///
    /// # Safety
    /// The thread is the one that runs this.
    pub(super) unsafe fn replace_space(&self, space: Option<Arc<dyn UserHalf>>) -> Option<Known<dyn UserHalf>> {
        self.root.store(root_of(space.as_ref()), Ordering::Relaxed);
        // SAFETY: as in `space_as`.
        unsafe { core::mem::replace(&mut *self.space.0.get(), space.map(Known::from)) }
    }

    /// Who it works for, if that is not the kernel.
    pub fn owner(&self) -> Option<Arc<dyn Owner>> {
        self.owner.as_ref().map(Known::share)
    }

    /// The same, if that is an `O`.
    pub fn owner_shared<O: Owner>(&self) -> Option<Arc<O>> {
        self.owner.as_ref()?.share_as()
    }

    /// Who it works for, if that is an `O`.
    #[inline]
    pub fn owner_as<O: Owner>(&self) -> Option<&O> {
        self.owner.as_ref()?.downcast()
    }

    /// The registers that its program has and the kernel does not use.
    pub(super) fn user(&self) -> Option<&UserState> {
        self.user.as_ref()
    }

    /// Whether it works for a process.
    pub fn works_for_process(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.is_process())
    }

    /// The memory cgroup that is charged for what it allocates; 0, the root, for the kernel.
    #[inline]
    pub fn memory_cgroup(&self) -> u8 {
        self.owner.as_ref().map_or(0, |owner| owner.memory_cgroup())
    }

    /// Whether a signal waits for its owner.
    pub fn is_interrupted(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.is_interrupted())
    }

    /// Whether its owner ends as soon as it can.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.is_killed())
    }

    /// Whether `address` lies in the gap below its stack.
    pub fn is_guard(&self, address: u64) -> bool {
        self.stack.is_guard(address)
    }

    /// Whether it was let go of since it was queued somewhere, see [`Self::set_woken`].
    pub fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    /// Notes that it is about to be queued (`false`), or that it was let go of, which the task that does that says before it
    /// unparks it.
    pub fn set_woken(&self, woken: bool) {
        self.woken.store(woken, Ordering::Release);
    }

    /// Waits until the thread runs no more.
    pub fn wait_for_end(&self) {
        self.end.wait_until(|| self.ended.load(Ordering::Acquire));
    }

    /// The root of the user half's page tables that it runs on, if it has one.
    ///
    /// # Safety
    /// The thread is the one that runs this, or does not run while the reference lives.
    pub(super) unsafe fn root(&self) -> Option<&Root> {
        // SAFETY: the root is part of the space, of which the thread, or its call of `replace_space`, has a reference.
        unsafe { self.root.load(Ordering::Relaxed).as_ref() }
    }

    /// Whether it waits for something.
    pub fn is_parked(&self) -> bool {
        self.state.load(Ordering::Relaxed) == State::Parked as u8
    }

    /// Notes that the thread begins to disable a swap area, or has ended that.
    pub fn set_disables_swap(&self, disables: bool) {
        self.disables_swap.store(disables, Ordering::Relaxed);
    }

    /// Whether the thread disables a swap area, and gives up before a task is killed for memory.
    pub fn disables_swap(&self) -> bool {
        self.disables_swap.load(Ordering::Relaxed)
    }

    pub(super) fn take_entry(&self) -> Option<Entry> {
        self.entry.lock().take()
    }

    pub(super) fn set_ended(&self) {
        self.ended.store(true, Ordering::Release);
        self.end.wake_all();
    }
}

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.owner.as_ref().and_then(|owner| owner.title()) {
            Some(title) => title.fmt(f),
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

/// Who a thread works for; the kernel alone until said otherwise.
#[derive(Default)]
pub struct Work {
    /// Who is asked what becomes of it.
    pub owner: Option<Arc<dyn Owner>>,
    /// The user half that it runs on.
    pub space: Option<Arc<dyn UserHalf>>,
    /// Its program's registers that the kernel does not use, if it has a program.
    pub user: Option<UserState>,
}

/// Starts a kernel thread.
///
/// # Errors
/// [`AllocationError`] when there is no memory for its stack.
pub fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, AllocationError> {
    spawn_for(name, Work::default(), run)
}

/// Starts a thread that does its `work` in the kernel.
///
/// # Errors
/// [`AllocationError`] when there is no memory for its stack.
pub fn spawn_for<T: Send + 'static>(
    name: &str,
    work: Work,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, AllocationError> {
    start(name, KernelStack::new()?, work, run)
}

/// Starts a kernel thread on this stack.
///
/// # Errors
/// [`AllocationError`] when there is no memory for it.
pub fn spawn_on<T: Send + 'static>(
    name: &str,
    stack: KernelStack,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, AllocationError> {
    start(name, stack, Work::default(), run)
}

fn start<T: Send + 'static>(
    name: &str,
    stack: KernelStack,
    work: Work,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, AllocationError> {
    let result = fallible::shared(SpinLock::new(Rank::WaitQueue, None))?;
    let place = Arc::clone(&result);
    let entry = fallible::boxed(move || {
        let value = run();
        *place.lock() = Some(value);
    })?;
    let thread = Thread::new(name, stack, work, Some(Entry::Kernel(entry)))?;
    thread.prepare(thread.stack.top());
    begin(&thread);
    Ok(JoinHandle { thread, result })
}

/// Makes a thread that does what it does `first`, which may change its program's registers, and enters its program with them;
/// they are those of `frame` before. It does not run before [`begin`].
///
/// # Errors
/// [`NoMemory`]
pub fn for_program(
    stack: KernelStack,
    frame: &TrapFrame,
    work: Work,
    first: fn(&Cell<TrapFrame>),
) -> Result<Arc<Thread>, NoMemory> {
    let thread = Thread::new("", stack, work, Some(Entry::Program(first)))?;
    let place = program_frame(thread.stack.top());
    // SAFETY: the stack is mapped and not used yet.
    unsafe { place.write(*frame) };
    thread.prepare(place as u64);
    Ok(thread)
}

/// Lets a new thread run.
pub fn begin(thread: &Arc<Thread>) {
    event::note(EventKind::TaskStart, 0, thread.number.into());
    scheduler::begin(thread);
}
