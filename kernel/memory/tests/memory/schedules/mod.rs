//! Two processors whose turns shuttle chooses: what goes on at the same time as a page's way out or in.
//!
//! Each test runs one race some hundred times, each time from the start of a machine to its end, where frames and slots have to be
//! what they were. A race says what came of it, and each outcome that a test names has to have come at least once: a race in
//! which nothing meets proves nothing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use quire_machine::simulated::{self, program};
use quire_machine::user::Fault;
use quire_memory::AddressSpace;
use quire_memory::address_space::{Backing, MapRequest, Placement};
use quire_memory::advice::Advice;
use quire_memory::counters::COUNTERS;
use quire_memory::fault::served::{self, FaultService};
use quire_memory::object::Object;
use quire_testkit::interrupt::Interrupting;

use crate::computer::{ALONE, Computer, has_process_to_itself};
use crate::disk::Disk;
use crate::model::runs::say_which_run_fails;
use crate::process::Process;

mod advice;
mod end;
mod fork;
mod large_folios;
mod limits;
mod mappings;
mod objects;
mod out_of_memory;
mod page_out;
mod swapoff;

pub(crate) const PAGE: u64 = 4096;
/// Where a program's pages are.
pub(crate) const BASE: u64 = 0x4000_0000;
const FRAMES: usize = 300;
const SCHEDULES: usize = 500;
/// Of the schedules that are run once more, where no machine of another test was before.
const SEEDS: Range<u64> = 0..10;

/// Runs `race` in different schedules; each of `expected` is what came of it at least once. With `QUIRE_SCHEDULE` it runs in that one
/// alone.
fn explore(race: fn() -> Outcome, expected: &[Outcome]) {
    // Shuttle does the same, and what a panic does must not be changed by two at once.
    say_which_run_fails();
    if let Ok(schedule) = std::env::var("QUIRE_SCHEDULE") {
        return simulated::replay(&schedule, move || println!("{:?}", race()));
    }
    let digest = |seed| simulated::digest(seed, move || _ = race());
    let first: Vec<_> = SEEDS.filter(|_| has_process_to_itself()).map(|seed| (seed, digest(seed))).collect();
    let outcomes: &'static Mutex<BTreeMap<Outcome, usize>> = Box::leak(Box::default());
    let noted = move || {
        let outcome = race();
        *outcomes.lock().unwrap().entry(outcome).or_insert(0) += 1;
    };
    simulated::explore(SCHEDULES, noted);
    simulated::run(Interrupting::new(SCHEDULES / 5), noted);
    let outcomes = outcomes.lock().unwrap();
    println!("{outcomes:?}");
    // After others than before.
    for (seed, first) in first.into_iter().rev() {
        assert_eq!(
            digest(seed),
            first,
            "earlier schedules change a later one, which will be another alone: what do they leave?"
        );
    }
    for outcome in expected {
        assert!(outcomes.contains_key(outcome), "{outcome:?} never came, only {outcomes:?}");
    }
}

/// One that fails fails again when it is run alone, whatever was before it.
#[test]
fn no_schedule_changes_a_later_one() {
    const RACES: [&str; 3] = [
        "limits::both_find_their_bytes_and_the_limit_holds",
        "out_of_memory::one_is_killed_and_the_other_goes_on",
        "page_out::two_passes_of_reclaim_share_the_pages_out",
    ];
    for race in RACES.map(|race| format!("schedules::{race}")) {
        let own = std::env::current_exe().expect("a program knows itself");
        let run = Command::new(own).args(["--exact", &race]).env(ALONE, "1").output().expect("it can be run again");
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains("1 passed"), "{race}:\n{said}");
    }
}

/// What came of a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// No page left memory.
    Stayed,
    /// A page left memory, and was not wanted any more.
    WentOut,
    /// A page left memory, and was found while it was on its way.
    MetOnItsWay,
    /// A page left memory and was read again.
    CameBack,
    /// What the race was about was done, or refused.
    Done,
    Refused,
}

/// A machine with two processors, and what was counted before.
struct Scene {
    computer: Computer,
    written: u64,
    read: u64,
    found: u64,
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Scene {
    fn new() -> Self {
        Self::with_disk(Disk::new(64, true))
    }

    fn with_disk(disk: Disk) -> Self {
        Self::of(FRAMES, disk)
    }

    fn of(frames: usize, disk: Disk) -> Self {
        Self {
            computer: Computer::start(frames, 2, disk),
            written: get(&COUNTERS.written),
            read: served::major_faults(),
            found: served::count(FaultService::Cached),
        }
    }

    /// What became of pages since the start.
    fn outcome(&self) -> Outcome {
        Computer::look_at_lists();
        if get(&COUNTERS.written) == self.written {
            Outcome::Stayed
        } else if served::major_faults() > self.read {
            Outcome::CameBack
        } else if served::count(FaultService::Cached) > self.found {
            Outcome::MetOnItsWay
        } else {
            Outcome::WentOut
        }
    }
}

/// A process with so many private pages.
pub(crate) fn process(pages: u64) -> (Arc<Process>, Arc<AddressSpace>) {
    let process = Process::empty();
    let space = process.memory();
    map(&space, pages);
    (process, space)
}

const fn address(page: u64) -> u64 {
    BASE + page * PAGE
}

const fn bytes(pages: Range<u64>) -> Range<u64> {
    address(pages.start)..address(pages.end)
}

/// Maps private pages from the first on.
pub(crate) fn map(space: &AddressSpace, pages: u64) {
    space.map(&MapRequest::anonymous(Placement::Fixed(BASE), pages * PAGE)).expect("there is room");
}

/// Maps the pages of an object.
pub(crate) fn map_object(space: &AddressSpace, object: &Arc<Object>, shared: bool, first: u64) {
    let request = MapRequest {
        backing: Backing::Object { object: Arc::clone(object), offset: 0 },
        shared,
        ..MapRequest::anonymous(Placement::Fixed(address(first)), object.length())
    };
    space.map(&request).expect("there is room");
}

/// Takes pages out of memory, as far as that can be done now.
fn page_out(space: &AddressSpace, pages: Range<u64>) {
    space.advise(bytes(pages), Advice::PageOut).expect("the pages are mapped");
}

/// Writes the first word of a page, as the running thread's program.
pub(crate) fn write(page: u64, word: u64) -> Result<(), Fault> {
    program::write(address(page), &word.to_le_bytes())
}

/// Reads the first word of a page.
pub(crate) fn read(page: u64) -> Result<u64, Fault> {
    let mut bytes = [0; 8];
    program::read(address(page), &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Reads the first word of a page on a thread of the process.
fn read_in(process: &Arc<Process>, page: u64) -> Result<u64, Fault> {
    process.run(move || read(page)).join()
}
