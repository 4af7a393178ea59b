//! The table by which threads are found from outside: where each is, and what of it stays the same.
//!
//! # Locks
//!
//! None. A record is changed by the thread's maker, before the thread runs, and by the one that drops its last reference; its sequence
//! says to a reader when. A thread that finds no place is counted, and not shown.

use core::sync::atomic::{AtomicU64, Ordering};

#[cfg(target_os = "none")]
use quire_protocol::observatory::{AtomicPage, AtomicThreads};
use quire_protocol::observatory::{AtomicTask, Task};

use crate::places::Places;

/// Words of [`PLACES`].
const WORDS: usize = 4;
/// The most threads that are shown.
const MOST: usize = WORDS * 64;

static TASKS: [AtomicTask; MOST] = [const { AtomicTask::new() }; MOST];
static PLACES: Places<WORDS> = Places::new();
static LOST: AtomicU64 = AtomicU64::new(0);
#[cfg(target_os = "none")]
static THREADS: AtomicThreads = AtomicThreads::new();

/// A thread's place in the table, which is free again when this is dropped.
pub(super) struct PublishedTask(Option<u64>);

impl PublishedTask {
    /// A place for a thread to come.
    pub(super) fn reserve() -> Self {
        let place = PLACES.take();
        if place.is_none() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Self(place)
    }

    /// Shows the thread.
    pub(super) fn show(&self, task: &Task) {
        if let Some(place) = self.0 {
            TASKS[place as usize].publish(task);
        }
    }
}

impl Drop for PublishedTask {
    fn drop(&mut self) {
        if let Some(place) = self.0 {
            TASKS[place as usize].publish(&Task::default());
            PLACES.free(place);
        }
    }
}

/// Says where the table is; `describe` says where in a thread what changes is.
#[cfg(target_os = "none")]
pub(super) fn publish(page: &AtomicPage, describe: fn(&AtomicThreads)) {
    let set = |word: &AtomicU64, value| word.store(value, Ordering::Relaxed);
    set(&page.tasks, TASKS.as_ptr().addr() as u64);
    set(&page.task_count, TASKS.len() as u64);
    set(&page.tasks_lost, core::ptr::from_ref(&LOST).addr() as u64);
    describe(&THREADS);
    set(&page.threads, core::ptr::from_ref(&THREADS).addr() as u64);
}
