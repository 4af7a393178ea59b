//! One processor, without shuttle: the threads' turns are the scheduler's alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use quire_machine::arch::bases;
use quire_machine::arch::fpu::UserState;
use quire_machine::arch::registers::TrapFrame;
use quire_machine::frame::Kind;
use quire_machine::simulated::{program, time};
use quire_machine::stack::KernelStack;
use quire_machine::sync::{Rank, SpinLock};
use quire_machine::task::{self, Mutex, WaitQueue, Work};
use quire_machine::{clock, fallible, log, physical};

use crate::space::{EXIT, frame, machine};

#[test]
fn a_thread_runs_when_it_is_waited_for() {
    let _machine = machine(1);
    let value = Arc::new(AtomicU32::new(0));
    let other = Arc::clone(&value);
    let thread = task::spawn("other", move || other.fetch_add(1, Ordering::Relaxed) + 41).unwrap();
    assert_eq!(value.load(Ordering::Relaxed), 0, "nothing else runs before the first thread waits");
    assert_eq!(thread.join(), 41);
    assert_eq!(value.load(Ordering::Relaxed), 1);
}

#[test]
fn threads_that_end_give_their_frames_back() {
    let machine = machine(1);
    let free = physical::free_frames();
    for _ in 0..if cfg!(miri) { 2 } else { 100 } {
        let thread = task::spawn("short", || drop(frame(Kind::Anonymous, 0))).unwrap();
        assert!(physical::free_frames() < free);
        thread.join();
    }
    machine.check_frames();
}

#[test]
#[should_panic(expected = "Anonymous: 0 before, 1 now")]
fn a_frame_that_is_kept_is_found_at_the_end() {
    let _machine = machine(1);
    frame(Kind::Anonymous, 0).into_number();
}

#[test]
fn time_passes_when_it_is_told_to_and_when_all_wait() {
    let _machine = machine(1);
    assert_eq!(clock::since_boot(), Duration::ZERO);
    time::advance(Duration::from_secs(1));
    assert_eq!(clock::since_boot(), Duration::from_secs(1));
    task::time::sleep(Duration::from_secs(3));
    assert_eq!(clock::since_boot(), Duration::from_secs(4));
    log!("test", "this is in the test's output");
}

#[test]
fn time_passes_for_those_who_spin() {
    let _machine = machine(1);
    let sleeper = task::spawn("sleeper", || task::time::sleep(Duration::from_secs(1))).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let own = Arc::clone(&is_over);
    task::spawn("other", move || {
        sleeper.join();
        own.store(true, Ordering::Relaxed);
    })
    .unwrap();
    while !is_over.load(Ordering::Relaxed) {
        task::yield_now();
    }
    assert_eq!(clock::since_boot(), Duration::from_secs(1));
}

#[test]
#[should_panic(expected = "spins for what no other can change")]
fn spinning_for_nothing_is_a_deadlock() {
    let _machine = machine(1);
    loop {
        task::yield_now();
    }
}

#[test]
fn the_nth_allocation_of_a_thread_fails_when_it_is_to() {
    let _machine = machine(1);
    task::current().running().fail_nth.set(3);
    let asked = [(); 4].map(|()| fallible::ask(16).is_ok());
    assert_eq!(asked, [true, true, false, true]);
    task::current().running().fail_nth.set(1);
    assert!(fallible::boxed_in_need(0).is_err());
    let other = task::spawn("other", || fallible::ask(16).is_ok()).unwrap();
    assert!(other.join());
}

#[test]
#[should_panic(expected = "every thread waits")]
fn waiting_for_nothing_is_a_deadlock() {
    let _machine = machine(1);
    WaitQueue::new().wait_until(|| false);
}

#[test]
#[should_panic(expected = "lock order: taking Heap while holding Frames")]
fn locks_are_taken_in_the_order_of_their_ranks() {
    let _machine = machine(1);
    let (low, high) = (SpinLock::new(Rank::Frames, ()), SpinLock::new(Rank::Heap, ()));
    let _low = low.lock();
    let _high = high.lock();
}

#[test]
#[should_panic(expected = "the only processor waits for a lock")]
fn a_lock_that_is_not_given_back_is_not_waited_for() {
    let _machine = machine(1);
    let lock = SpinLock::new(Rank::Heap, ());
    std::mem::forget(lock.lock());
    quire_machine::sync::release_rank(Rank::Heap as u8);
    let _ = lock.lock();
}

#[test]
#[should_panic(expected = "in the other thread")]
fn a_panic_of_any_thread_fails_the_test() {
    let _machine = machine(1);
    task::spawn("other", || panic!("in the other thread")).unwrap().join();
}

#[test]
fn threads_that_never_end_end_with_the_machine() {
    /// Of a room above: it is there for the next machine, too.
    static QUEUE: WaitQueue = WaitQueue::new();
    static DROPPED: AtomicBool = AtomicBool::new(false);
    struct Noticed;
    impl Drop for Noticed {
        fn drop(&mut self) {
            DROPPED.store(true, Ordering::Relaxed);
        }
    }
    {
        let mut machine = machine(1);
        let daemon = || {
            let _noticed = Noticed;
            QUEUE.wait_until(|| false);
        };
        task::spawn("daemon", daemon).unwrap();
        task::yield_now();
        machine.settle();
    }
    assert!(DROPPED.load(Ordering::Relaxed));
    let _machine = machine(1);
    QUEUE.wake_all();
    assert_eq!(task::spawn("again", || 5).unwrap().join(), 5);
}

#[test]
fn programs_run_until_the_call_that_ends_them_with_registers_of_their_own() {
    static SEEN: SpinLock<Vec<(u64, u64)>> = SpinLock::new(Rank::Scenario, Vec::new());
    let _machine = machine(1);
    program::set_step(|frame| {
        bases::set_fs(frame.rdi);
        assert_eq!(program::system_call(frame, 7, [0; 6]), 8);
        task::yield_now();
        SEEN.lock().push((frame.rdi, bases::fs()));
        program::system_call(frame, EXIT, [0; 6]);
    });
    let threads = [1, 2].map(|number| {
        let work = Work { user: Some(UserState::starting().unwrap()), ..Work::default() };
        let mut frame = TrapFrame::starting(program::RUNS_AT, 0);
        frame.rdi = number;
        let thread = task::for_program(KernelStack::new().unwrap(), &frame, work, |_| ()).unwrap();
        task::begin(&thread);
        thread
    });
    for thread in &threads {
        thread.wait_for_end();
    }
    assert_eq!(*SEEN.lock(), [(1, 1), (2, 2)]);
}

#[test]
fn a_sleeping_lock_is_handed_on() {
    let _machine = machine(1);
    let lock = Arc::new(Mutex::new(Rank::Vmas, 0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let lock = Arc::clone(&lock);
            task::spawn("locker", move || {
                for _ in 0..10 {
                    let mut value = lock.lock();
                    let before = *value;
                    task::yield_now();
                    *value = before + 1;
                }
            })
            .unwrap()
        })
        .collect();
    threads.into_iter().for_each(task::JoinHandle::join);
    assert_eq!(*lock.lock(), 40);
}
