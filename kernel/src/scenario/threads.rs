//! Threads, and the ways to wait.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use quire_machine::clock;
use quire_machine::frame::Kind;
use quire_machine::physical;
use quire_machine::sync::Rank;
use quire_machine::task::{self, Mutex, WaitQueue, scheduler, time};

use super::failure::Failure;
use crate::command_line::CommandLine;
use crate::require;

pub(super) fn threads(_: CommandLine<'static>) -> Result<String, Failure> {
    let stacks_before = physical::frames_of(Kind::Stack);
    preemption()?;
    let locked = contention()?;
    sleeping()?;
    let stacks = physical::frames_of(Kind::Stack);
    require!(stacks == stacks_before, "{stacks} stack frames in use, {stacks_before} before");
    Ok(format!("switches={} locked={locked}", scheduler::switches()))
}

fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<task::JoinHandle<T>, Failure> {
    task::spawn("worker", work).map_err(|_| Failure("no memory for a thread".into()))
}

/// A thread that never gives the processor away does not keep it.
fn preemption() -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let rounds = Arc::new(AtomicU64::new(0));
    let (seen, counted) = (Arc::clone(&stop), Arc::clone(&rounds));
    let spinner = spawn(move || {
        while !seen.load(Ordering::Relaxed) {
            counted.fetch_add(1, Ordering::Relaxed);
            core::hint::spin_loop();
        }
    })?;
    // Each time it runs, this thread has to get the processor back.
    for _ in 0..3 {
        let before = rounds.load(Ordering::Relaxed);
        while rounds.load(Ordering::Relaxed) == before {
            time::sleep(Duration::from_millis(5));
        }
    }
    stop.store(true, Ordering::Relaxed);
    spinner.join();
    Ok(())
}

/// A sleeping lock lets one thread in at a time, also when threads are preempted inside.
fn contention() -> Result<u64, Failure> {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 2000;
    let counter = Arc::new(Mutex::new(Rank::Scenario, 0_u64));
    let mut workers = Vec::new();
    for worker in 0..THREADS {
        let counter = Arc::clone(&counter);
        workers.push(spawn(move || {
            for round in 0..ROUNDS {
                let mut value = counter.lock();
                let read = core::hint::black_box(*value);
                if round % 64 == worker {
                    task::yield_now();
                }
                *value = read + 1;
            }
        })?);
    }
    for worker in workers {
        worker.join();
    }
    let value = *counter.lock();
    require!(value == THREADS * ROUNDS, "{value} of {} increments arrived", THREADS * ROUNDS);
    Ok(value)
}

/// Sleepers wake no earlier than they asked to, and a wait with a deadline ends either way.
fn sleeping() -> Result<(), Failure> {
    let start = clock::since_boot();
    time::sleep(Duration::from_millis(20));
    let slept = clock::since(start);
    require!(slept >= Duration::from_millis(20), "slept only {slept:?}");

    let queue = Arc::new(WaitQueue::new());
    let rung = Arc::new(AtomicU64::new(0));
    let in_time =
        queue.wait_until_or(clock::since_boot() + Duration::from_millis(10), || rung.load(Ordering::Acquire) > 0);
    require!(!in_time, "a wait for nothing succeeded");
    let (their_queue, their_rung) = (Arc::clone(&queue), Arc::clone(&rung));
    let ringer = spawn(move || {
        their_rung.store(1, Ordering::Release);
        their_queue.wake_all();
    })?;
    let in_time =
        queue.wait_until_or(clock::since_boot() + Duration::from_mins(10), || rung.load(Ordering::Acquire) > 0);
    require!(in_time, "a thread missed its wake-up");
    ringer.join();
    Ok(())
}
