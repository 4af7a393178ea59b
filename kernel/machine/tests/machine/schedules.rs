//! Several processors, whose turns shuttle chooses.

#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the methods are for one lifetime, the closures for any"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use quire_machine::arch::translations::flush_stale;
use quire_machine::folio::{Folio, NewFolio};
use quire_machine::protection::Protection;
use quire_machine::pte::{Mapping, Pte};
use quire_machine::simulated::{explore, program};
use quire_machine::sync::{Rank, SpinLock};
use quire_machine::task::{self, JoinHandle, Mutex, UserHalf, WaitQueue, Work, spawn_for};
use quire_machine::user_tables::PteCell;
use quire_machine::watermark::Purpose;

use crate::space::{Space, machine, read};

const SCHEDULES: usize = 1000;

#[test]
fn no_wake_up_is_lost() {
    for processors in [1, 2, 4] {
        explore(SCHEDULES, move || {
            let _machine = machine(processors);
            let (queue, value) = (Arc::new(WaitQueue::new()), Arc::new(AtomicU32::new(0)));
            let waiters: Vec<_> = (1..=2)
                .map(|wanted| {
                    let (queue, value) = (Arc::clone(&queue), Arc::clone(&value));
                    task::spawn("waiter", move || queue.wait_until(|| value.load(Ordering::Relaxed) >= wanted)).unwrap()
                })
                .collect();
            for _ in 0..2 {
                value.fetch_add(1, Ordering::Relaxed);
                queue.wake_all();
            }
            waiters.into_iter().for_each(JoinHandle::join);
        });
    }
}

#[test]
fn both_kinds_of_lock_exclude() {
    explore(SCHEDULES, || {
        let _machine = machine(3);
        let locks = Arc::new((SpinLock::new(Rank::Heap, 0), Mutex::new(Rank::Vmas, 0)));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let locks = Arc::clone(&locks);
                task::spawn("locker", move || {
                    let mut sleeping = locks.1.lock();
                    let before = *sleeping;
                    *locks.0.lock() += 1;
                    task::yield_now();
                    *sleeping = before + 1;
                })
                .unwrap()
            })
            .collect();
        threads.into_iter().for_each(JoinHandle::join);
        assert_eq!(*locks.0.lock(), 3);
        assert_eq!(*locks.1.lock(), 3);
    });
}

/// A folio that is full of `byte`.
fn folio(byte: u8) -> Folio {
    let mut folio = NewFolio::allocate(Purpose::Task).expect("the machine has frames");
    folio.page_mut().fill(byte);
    folio.filled()
}

/// Maps page 0 to a folio of ones; returns what says so on the way back.
fn map(space: &Space, folio: Folio) -> Pte {
    let pte = Pte::mapping(folio, Protection::READ_WRITE, Mapping::ReadOnly);
    space.tables.lock().find(0).expect("the table is there").replace(pte)
}

/// Two processors; one changes the PTE of a page that the other one reads, by `change`, and says that it has done so. Whether the
/// reader found the old page after that.
fn read_while_it_changes(change: fn(PteCell<'_>, Pte) -> Pte) -> bool {
    let _machine = machine(2);
    let space = Arc::new(Space::new());
    drop(map(&space, folio(1)));
    let changed = Arc::new(AtomicBool::new(false));
    let work = Work { space: Some(Arc::clone(&space) as Arc<dyn UserHalf>), ..Work::default() };
    let seen = Arc::clone(&changed);
    let reader = spawn_for("reader", work, move || {
        (0..4).any(|_| {
            let is_changed = seen.load(Ordering::Relaxed);
            read(0) == 1 && is_changed
        })
    });
    let new = Pte::mapping(folio(2), Protection::READ_WRITE, Mapping::ReadOnly);
    let old = change(space.tables.lock().find(0).expect("the table is there"), new);
    changed.store(true, Ordering::Relaxed);
    let is_stale = reader.unwrap().join();
    drop(old);
    drop(map(&space, folio(3)));
    drop(space.tables.lock().find(0).expect("the table is there").take());
    is_stale
}

#[test]
fn a_flush_reaches_the_other_processor() {
    explore(SCHEDULES, || {
        assert!(!read_while_it_changes(|cell, new| cell.replace_and_flush(new)), "a stale translation");
    });
    explore(SCHEDULES, || {
        let change = |cell: PteCell<'_>, new| {
            let old = cell.replace(new);
            flush_stale();
            old
        };
        assert!(!read_while_it_changes(change), "a stale translation");
    });
}

#[test]
fn without_a_flush_the_other_processor_reads_the_old_page() {
    static STALE: AtomicU32 = AtomicU32::new(0);
    explore(SCHEDULES, || {
        STALE.fetch_add(read_while_it_changes(|cell, new| cell.replace(new)).into(), Ordering::Relaxed);
    });
    assert!(STALE.load(Ordering::Relaxed) > 0, "no schedule found the missing flush");
}

#[test]
fn tables_are_freed_when_no_processor_uses_them() {
    explore(SCHEDULES, || {
        let machine = machine(2);
        let space = Arc::new(Space::new());
        drop(map(&space, folio(1)));
        let work = Work { space: Some(Arc::clone(&space) as Arc<dyn UserHalf>), ..Work::default() };
        let reader = spawn_for("reader", work, || program::read(0, &mut [0])).unwrap();
        task::yield_now();
        drop(space.tables.lock().find(0).map(PteCell::take));
        let _ = reader.join();
        drop(space);
        machine.check_frames();
    });
}
