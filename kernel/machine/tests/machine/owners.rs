//! What a mistake of the rooms above cannot take from its owner.

use std::panic::{catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use quire_machine::address_map::USER_END;
use quire_machine::arch::registers::TrapFrame;
use quire_machine::folio::{Folio, NewFolio};
use quire_machine::frame::Kind;
use quire_machine::pte::Pte;
use quire_machine::simulated::program;
use quire_machine::stack::KernelStack;
use quire_machine::task::{self, WaitQueue, Work, scheduler};
use quire_machine::unique::UniqueFrame;
use quire_machine::user_tables::UserTables;
use quire_machine::watermark::Purpose;

use crate::space::{EXIT, frame, machine};

fn folio() -> NewFolio {
    NewFolio::allocate(Purpose::Kernel).expect("the machine has frames")
}

#[test]
fn a_thread_that_was_not_begun_loses_no_reference_to_those_who_wake_it() {
    static HAS_RUN: AtomicBool = AtomicBool::new(false);
    let _machine = machine(1);
    HAS_RUN.store(false, Ordering::Relaxed);
    program::set_step(|frame| {
        HAS_RUN.store(true, Ordering::Relaxed);
        program::system_call(frame, EXIT, [0; 6]);
    });
    let registers = TrapFrame::starting(program::RUNS_AT, 0);
    let stack = KernelStack::new().unwrap();
    let thread = task::for_program(stack, &registers, Work::default(), |_| ()).unwrap();
    scheduler::unpark(&thread);
    task::yield_now();
    assert_eq!((Arc::strong_count(&thread), HAS_RUN.load(Ordering::Relaxed)), (1, false));
    task::begin(&thread);
    task::begin(&thread);
    thread.wait_for_end();
    task::yield_now();
    assert_eq!((Arc::strong_count(&thread), HAS_RUN.load(Ordering::Relaxed)), (1, true));
}

#[test]
#[should_panic(expected = "waits in two queues")]
fn a_thread_waits_in_one_queue_at_a_time() {
    static INNER: WaitQueue = WaitQueue::new();
    let _machine = machine(1);
    let me = task::current();
    task::spawn("other", move || scheduler::unpark(&me)).unwrap();
    let mut turns = 0;
    WaitQueue::new().wait_until(|| {
        turns += 1;
        if turns == 3 {
            INNER.wait_until(|| false);
        }
        false
    });
}

#[test]
#[should_panic(expected = "threads are started once")]
fn threads_are_not_started_again() {
    let _machine = machine(1);
    let _ = scheduler::start(KernelStack::new().unwrap());
}

#[test]
fn what_goes_on_behind_the_end_of_a_thread_is_not_the_next_one() {
    let _machine = machine(1);
    let (tell, told) = mpsc::channel();
    let run = move || {
        let end = catch_unwind(|| scheduler::exit()).unwrap_err();
        tell.send(scheduler::try_current().map(|thread| thread.number())).unwrap();
        resume_unwind(end);
    };
    task::spawn("ends", run).unwrap();
    task::yield_now();
    assert_eq!(told.recv(), Ok(None));
}

#[test]
#[should_panic(expected = "an earlier machine was not ended")]
fn no_machine_gives_away_the_frames_of_one_that_was_not_ended() {
    let _first = machine(1);
    let _frame = frame(Kind::Device, 0);
    machine(1);
}

#[test]
#[should_panic(expected = "ended by the thread that started it")]
fn no_other_thread_ends_the_machine() {
    let machine = machine(1);
    task::spawn("other", || drop(machine)).unwrap().join();
}

#[test]
#[should_panic(expected = "what is taken is not free")]
fn a_frame_that_has_an_owner_is_not_marked_as_free() {
    let _machine = machine(1);
    frame(Kind::Free, 0);
}

#[test]
#[should_panic(expected = "the key of other tables")]
fn a_key_does_not_fit_later_tables_with_the_same_root() {
    let _machine = machine(1);
    let (first, key) = UserTables::new(frame(Kind::PageTable, 0));
    let root = first.root().frame();
    drop(first);
    let (second, _key) = UserTables::new(frame(Kind::PageTable, 0));
    assert_eq!(second.root().frame(), root, "or the test shows nothing");
    second.leaf(&key, 0);
}

#[test]
#[should_panic(expected = "is for no table")]
fn what_lists_of_pages_may_link_is_not_reserved_for_tables() {
    let _machine = machine(1);
    let (tables, _key) = UserTables::new(frame(Kind::PageTable, 0));
    tables.reserve(UniqueFrame::allocate(0, Kind::Anonymous, Purpose::Kernel).unwrap());
}

#[test]
#[should_panic(expected = "has no contents yet")]
fn no_pte_is_made_of_a_folio_without_contents() {
    let _machine = machine(1);
    drop(Pte::holding(folio().into_empty()));
}

#[test]
#[should_panic(expected = "the bytes are in the page")]
fn bytes_whose_end_wraps_are_not_in_a_page() {
    let _machine = machine(1);
    let folio: Folio = folio().filled();
    folio.read_bytes(usize::MAX, &mut [0; 2]);
}

#[test]
#[should_panic(expected = "goes on in the user half")]
fn a_program_does_not_go_on_in_the_kernel_half() {
    let mut registers = TrapFrame::starting(program::RUNS_AT, 0);
    registers.set_rip(USER_END);
}
