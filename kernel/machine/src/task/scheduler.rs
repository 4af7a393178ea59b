//! Round-robin scheduling of threads on a first-come run queue; threads that reclaim go first when they are woken.
//!
//! A thread is `Ready` exactly while it is in the run queue, and `Running` exactly while a processor's
//! `current` is it. Both change only under the run-queue lock. One counted reference to each thread goes with its state:
//! the run queue's, `current`'s, or, while it is parked, one that nothing names and [`unpark`] takes up again. So a thread
//! lives at least until it is dead and its successor runs. One that was not begun has none, nor has an idle one that does not
//! run: [`unpark`] leaves them where they are.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use intrusive_collections::LinkedList;

use super::owner::UserHalf;
use super::thread::{Entry, RunQueueAdapter, State, Thread};
use crate::arch::enter::enter_program;
use crate::arch::root::Root;
use crate::arch::{context, cpu, interrupts, translations};
use crate::event::{self, EventKind};
use crate::kernel_map;
use crate::no_memory::AllocationError;
use crate::stack::KernelStack;
use crate::sync::{Once, Rank, SpinLock};

struct RunQueue {
    ready: Option<LinkedList<RunQueueAdapter>>,
    switches: u64,
}

static RUN_QUEUE: SpinLock<RunQueue> = SpinLock::new(Rank::RunQueue, RunQueue { ready: None, switches: 0 });
/// The thread that has just been switched away from for good; its successor drops it. Part of what the run-queue lock
/// protects, and apart from it only because that lock has no guard across a switch; so no task ever waits for this one.
static DEAD: spin::Mutex<Option<Arc<Thread>>> = spin::Mutex::new(None);
static IDLE: [Once<Arc<Thread>>; cpu::MAX_CPUS] = [const { Once::new() }; cpu::MAX_CPUS];
/// When each processor had nothing to do last, by the time-stamp counter.
static IDLE_SINCE: [AtomicU64; cpu::MAX_CPUS] = [const { AtomicU64::new(0) }; cpu::MAX_CPUS];
/// How long processors had nothing to do, as far as that is over.
static IDLE_TICKS: AtomicU64 = AtomicU64::new(0);

/// How long processors have had nothing to do, in ticks of the time-stamp counter; a processor that has nothing to do just now
/// counts when that is over.
pub fn idle_ticks() -> u64 {
    IDLE_TICKS.load(Ordering::Relaxed)
}

/// Makes the caller the first thread, running on `stack`, and gives this processor an idle thread.
///
/// # Errors
/// [`AllocationError`] when there is no memory for the idle thread's stack.
///
/// # Panics
/// When the caller is a thread already.
pub fn start(stack: KernelStack) -> Result<(), AllocationError> {
    assert!(cpu::this().current().is_null(), "threads are started once");
    let idle = Thread::idle(KernelStack::new()?)?;
    IDLE[cpu::this().number()].call_once(|| idle);
    let boot = Thread::first("main", stack)?;
    RUN_QUEUE.lock().ready = Some(LinkedList::new(RunQueueAdapter::new()));
    set_current(boot);
    Ok(())
}

/// Makes the caller the idle thread of a processor that is not the first, running on `stack`: it runs what is ready.
///
/// # Errors
/// [`AllocationError`] when there is no memory for the thread.
#[cfg(not(target_os = "none"))]
pub fn join(stack: KernelStack) -> Result<core::convert::Infallible, AllocationError> {
    let thread = Thread::first("idle", stack)?;
    IDLE[cpu::this().number()].call_once(|| Arc::clone(&thread));
    set_current(thread);
    idle()
}

/// Makes `thread` this processor's running one, with the reference that goes with that.
fn set_current(thread: Arc<Thread>) {
    let pointer = Arc::into_raw(thread);
    // SAFETY: the thread lives while its reference is the processor's, which `switch_away` takes back only when another thread
    // has become the running one.
    unsafe { cpu::this().set_current(pointer.cast_mut().cast(), (*pointer).running()) };
}

/// The running thread's address; null before threads are started.
#[inline]
fn current_pointer() -> *const Thread {
    cpu::this().current().cast_const().cast()
}

/// The running thread; `None` before threads are started.
pub fn try_current() -> Option<Arc<Thread>> {
    let pointer = current_pointer();
    if pointer.is_null() {
        return None;
    }
    // SAFETY: `current` holds a counted reference to the running thread, which stays while that thread runs this; the
    // count is raised for the `Arc` made here.
    unsafe {
        Arc::increment_strong_count(pointer);
        Some(Arc::from_raw(pointer))
    }
}

/// The running thread.
///
/// # Panics
/// Before threads are started.
#[inline]
pub fn current() -> Arc<Thread> {
    try_current().expect("threads are started before anything asks for the current one")
}

/// How many context switches there were.
pub fn switches() -> u64 {
    RUN_QUEUE.lock().switches
}

/// Whether a thread could run if a processor had time for it.
#[cfg(not(target_os = "none"))]
pub(crate) fn has_ready() -> bool {
    RUN_QUEUE.lock().ready.as_ref().is_some_and(|ready| !ready.is_empty())
}

/// Forgets all threads, of which only the caller still runs: it is none from now on.
#[cfg(not(target_os = "none"))]
pub(crate) fn forget_all() {
    let current = current_pointer();
    // SAFETY: no thread runs from now on; its reference was the processor's.
    unsafe {
        cpu::this().set_current(core::ptr::null_mut(), core::ptr::null());
        drop(Arc::from_raw(current));
    }
    let ready = RUN_QUEUE.lock().ready.take();
    drop(ready);
    *DEAD.lock() = None;
}

/// Stops the current thread until another task unparks it; returns at once if that has happened since the last park.
/// May return without any unpark: callers check what they wait for.
pub fn park() {
    let thread = current();
    debug_assert!(cpu::this().preemption_is_on(), "{thread} sleeps with preemption off");
    switch_away(State::Parked);
}

/// Parks a new thread, with the reference that goes with that, and lets it run; nothing if that was done before.
pub(super) fn begin(thread: &Arc<Thread>) {
    let queue = RUN_QUEUE.lock();
    if thread.state.load(Ordering::Relaxed) != State::New as u8 {
        return;
    }
    thread.state.store(State::Parked as u8, Ordering::Relaxed);
    core::mem::forget(Arc::clone(thread));
    drop(queue);
    unpark(thread);
}

/// Lets `thread` go on if it is parked, or makes its next park return at once.
///
/// # Panics
/// Before threads are started, when there is none to unpark.
pub fn unpark(thread: &Arc<Thread>) {
    let mut queue = RUN_QUEUE.lock();
    if thread.state.load(Ordering::Relaxed) == State::Parked as u8 {
        thread.state.store(State::Ready as u8, Ordering::Relaxed);
        // SAFETY: a parked thread has one reference that nothing names; here it becomes the run queue's.
        let reference = unsafe { Arc::from_raw(Arc::as_ptr(thread)) };
        let ready = queue.ready.as_mut().expect("the run queue is made before threads are");
        if reference.running().reclaims() {
            // It frees memory, or ends the wait for it, and does not run for long.
            ready.push_front(reference);
        } else {
            ready.push_back(reference);
        }
        drop(queue);
        cpu::this().request_reschedule();
        cpu::wake_idle();
    } else {
        thread.unparked.store(true, Ordering::Relaxed);
    }
}

/// Calls `look` with the running thread, without counting a reference to it; `None` before threads are started.
#[inline]
pub fn with_current<R>(look: impl FnOnce(&Thread) -> R) -> Option<R> {
    let pointer = current_pointer();
    // SAFETY: `current` holds a counted reference to the running thread, which is the one that looks.
    unsafe { pointer.as_ref() }.map(look)
}

/// The address space of the running thread's user half, if it has one and that is an `S`.
#[inline]
pub fn space_as<S: UserHalf>() -> Option<Arc<S>> {
    // SAFETY: the current thread is the one that runs this.
    with_current(|thread| unsafe { thread.space_as() }).flatten()
}

/// Gives the current thread another address space, or none but the kernel's half.
pub fn set_space(space: Option<Arc<dyn UserHalf>>) {
    let before = with_current(|thread| {
        // A switch meanwhile would take the new root for the one in use.
        cpu::disable_preemption();
        // SAFETY: the current thread is the one that runs this.
        let before = unsafe { thread.replace_space(space) };
        // SAFETY: as above.
        translations::activate(before.as_ref().map(|space| space.root()), unsafe { thread.root() });
        cpu::enable_preemption();
        before
    });
    // Perhaps the last reference: its tables are not in use any more.
    drop(before);
}

/// Lets other ready threads run first.
pub fn yield_now() {
    if !cpu::this().current().is_null() && cpu::this().preemption_is_on() {
        switch_away(State::Ready);
        // What is waited for may run on another processor.
        cpu::relax();
    }
}

/// Called on the way out of a trap, with interrupts off: switches if a switch was asked for and is allowed.
#[inline]
pub fn preempt() {
    let cpu = cpu::this();
    if cpu.preemption_is_on() && !cpu.current().is_null() && cpu.take_reschedule() {
        switch_away(State::Ready);
    }
}

/// Ends the current thread. Its frames hold nothing that has to be dropped.
///
/// # Panics
/// Where no thread runs: before threads are started, or on the host behind a thread's end.
pub fn exit() -> ! {
    assert!(!current_pointer().is_null(), "a thread ends once");
    event::note(EventKind::TaskEnd, 0, 0);
    switch_away(State::Dead);
    unreachable!("a dead thread was continued");
}

/// Where a new thread begins, with the run-queue lock held on its behalf.
pub(super) extern "C-unwind" fn start_thread() -> ! {
    // SAFETY: the thread before this one left the lock to this one.
    unsafe { finish_switch(true) };
    interrupts::enable();
    let entry = current().take_entry();
    match entry {
        Some(Entry::Kernel(run)) => run(),
        // SAFETY: the thread was made for a program; nothing here is used after that.
        Some(Entry::Program(first)) => unsafe { enter_program(first) },
        None => idle(),
    }
    exit()
}

fn idle() -> ! {
    loop {
        interrupts::enable_and_hlt();
        yield_now();
    }
}

#[inline(never)]
fn switch_away(next_state: State) {
    let mut queue = RUN_QUEUE.lock();
    let cpu = cpu::this();
    let previous_pointer = current_pointer();
    // SAFETY: `current` holds a counted reference, which is moved into `previous` here and given to a new owner below.
    let previous = unsafe { Arc::from_raw(previous_pointer) };
    let idle = IDLE[cpu.number()].get().expect("a processor has its idle thread before it switches");
    if next_state == State::Parked && previous.unparked.swap(false, Ordering::Relaxed) {
        let _ = Arc::into_raw(previous);
        return;
    }
    let ready = queue.ready.as_mut().expect("the run queue is made before threads switch");
    let is_idle = Arc::ptr_eq(&previous, idle);
    let next = match ready.pop_front() {
        Some(next) => next,
        // No other: each that can go on goes on.
        None if next_state == State::Ready => {
            let _ = Arc::into_raw(previous);
            return;
        }
        None => Arc::clone(idle),
    };
    let idle_since = &IDLE_SINCE[cpu.number()];
    if is_idle {
        // Tests start one machine after another, and each counts from 0.
        let ticks = cpu::counter().saturating_sub(idle_since.load(Ordering::Relaxed));
        IDLE_TICKS.fetch_add(ticks, Ordering::Relaxed);
    }
    if Arc::ptr_eq(&next, idle) {
        idle_since.store(cpu::counter(), Ordering::Relaxed);
    }
    previous.state.store(if is_idle { State::Idle } else { next_state } as u8, Ordering::Relaxed);
    next.state.store(State::Running as u8, Ordering::Relaxed);
    queue.switches += 1;
    event::note(EventKind::TaskSwitch, 0, next.number().into());

    let run_queue_rank = cpu.held_ranks() & 1 << Rank::RunQueue as u8;
    previous.held_ranks.store(cpu.held_ranks() & !run_queue_rank, Ordering::Relaxed);
    cpu.set_held_ranks(next.held_ranks.load(Ordering::Relaxed) | run_queue_rank);
    // A thread without an address space does not stay in another's, which may be freed meanwhile.
    // SAFETY: the one thread runs this, the other does not run yet.
    let (old, new) = unsafe { (previous.root(), next.root()) };
    if new.map_or_else(kernel_map::root, Root::frame) != translations::active_root() {
        translations::activate(old, new);
    }

    if let Some(user) = previous.user() {
        // SAFETY: the registers are still those of the thread that is switched from.
        unsafe { user.save() };
    }
    if let Some(user) = next.user() {
        // SAFETY: from here on the next thread runs, as far as these registers are concerned: the kernel uses none.
        unsafe { user.restore() };
    }
    cpu.set_kernel_stack(next.stack_top());
    let save = previous.stack_pointer.as_ptr();
    let load = next.stack_pointer.load(Ordering::Relaxed);
    match next_state {
        State::Dead => *DEAD.lock() = Some(previous),
        State::Ready if !is_idle => {
            queue.ready.as_mut().expect("checked above").push_back(previous);
            cpu::wake_idle();
        }
        State::Parked if !is_idle => core::mem::forget(previous),
        // `IDLE` keeps the idle thread.
        _ => drop(previous),
    }
    set_current(next);
    let interrupts_were_on = queue.forget_for_switch();
    // SAFETY: the run-queue lock is held until the next thread releases it, so `load` is the saved state of a thread
    // that nothing else continues, and `save` belongs to a thread that lives at least until then.
    unsafe {
        if next_state == State::Dead {
            context::switch_for_good(save, load);
        }
        context::switch(save, load);
        finish_switch(interrupts_were_on);
    }
}

/// Releases the run-queue lock after a switch, and says of the thread that ended with it that it has.
///
/// # Safety
/// This thread was just switched to.
unsafe fn finish_switch(interrupts_were_on: bool) {
    let dead = DEAD.lock().take();
    // SAFETY: the thread before this one forgot its guard and left the lock to this one.
    unsafe { RUN_QUEUE.unlock_forgotten(false) };
    if let Some(dead) = dead {
        // Only now is its stack out of use: the task that joins it frees the stack with the last reference.
        dead.set_ended();
    }
    if interrupts_were_on {
        interrupts::enable();
    }
}
