//! Runs of the model.

use std::fmt;
use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::panic;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, Once};
use std::thread::{self, ThreadId};
use std::time::Instant;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use quire_machine::task;
use quire_memory::counters::COUNTERS;
use quire_memory::fault::served;
use quire_memory::large_folio::{Count, FOR_SIZE, Setting, count};
use quire_memory::lru;
use quire_memory::oom::KILLS;
use quire_memory::policy::NAMES;

use super::World;
use super::counted::{at_limit, killed_in_cgroups};
use super::operation::{Operation, operation};
use crate::computer::{self, Computer};
use crate::disk::Disk;
use crate::process::Conductor;

/// The operations of one run.
const LENGTH: usize = 1000;

/// Nothing is on its way after so many: what goes on at the same time would not meet if that were often.
const LOOK_EVERY: usize = 100;

/// The run that is under way. `QUIRE_SEED=N cargo test -p quire-memory model` does it alone.
struct Run {
    test: ThreadId,
    seed: u64,
    /// The allocation that fails, where each does in turn.
    nth: Option<u32>,
    done: usize,
    operation: Option<Operation>,
}

static UNDER_WAY: Mutex<Option<Run>> = Mutex::new(None);

/// From now on a panic first says during which run it came, whichever thread it ends: what is dropped because of it may end the
/// process, and with that what the tests have printed is lost.
pub(crate) fn say_which_run_fails() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |information| {
            if let Some(run) = UNDER_WAY.try_lock().ok().and_then(|mut run| run.take()) {
                _ = writeln!(std::io::stderr(), "{run}");
            }
            usual(information);
        }));
    });
}

impl Run {
    /// Of the test that runs this.
    fn new(seed: u64, nth: Option<u32>) -> Self {
        Self { test: thread::current().id(), seed, nth, done: 0, operation: None }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QUIRE_SEED={}: ", self.seed)?;
        if let Some(nth) = self.nth {
            write!(f, "allocation {nth} fails, ")?;
        }
        write!(f, "operation {}, {:?}", self.done, self.operation)
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().expect("the variable is a number"))
}

/// The seeds of a test's runs; the one that is asked for instead.
fn seeds(usual: Range<u64>) -> Range<u64> {
    number("QUIRE_SEED").map_or(usual, |seed| seed..seed + 1)
}

/// The operations of a run, which are always the same for one seed.
fn operations(seed: u64, limits: Range<u64>) -> impl Iterator<Item = Operation> {
    let mut random = TestRunner::new(Config { rng_seed: RngSeed::Fixed(seed), ..Config::default() });
    let operation = operation(limits);
    std::iter::repeat_with(move || operation.new_tree(&mut random).expect("nothing is filtered").current())
}

/// One run; `begin` is called as it begins, and what `end` returns as it ends is returned.
fn run<T: Send + 'static>(
    run: Run,
    limits: Range<u64>,
    length: usize,
    computer: Computer,
    begin: impl FnOnce() + Send + 'static,
    end: impl FnOnce() -> T + Send + 'static,
) -> T {
    say_which_run_fails();
    let (seed, own) = (run.seed, run.test);
    *UNDER_WAY.lock().unwrap() = Some(run);
    let (value, computer) = Conductor::conduct(move |conductor| {
        // A run that fails leaves it as it is: what is dropped could wait for locks that are held.
        let mut world = ManuallyDrop::new(World::new(conductor, computer));
        begin();
        for (done, operation) in (1_usize..).zip(operations(seed, limits).take(length)) {
            if std::env::var_os("QUIRE_TRACE").is_some() {
                eprintln!("{} {operation:?}", done - 1);
            }
            if let Some(run) = &mut *UNDER_WAY.lock().unwrap() {
                (run.done, run.operation) = (done - 1, Some(operation.clone()));
            }
            world.step(&operation);
            if done.is_multiple_of(20) {
                world.look_at_owners();
            }
            if done.is_multiple_of(LOOK_EVERY) {
                world.look_at_frames();
            }
        }
        let value = end();
        world.end();
        (value, ManuallyDrop::into_inner(world).computer)
    });
    drop(computer);
    // Another test has the machine by now, and may have begun a run.
    UNDER_WAY.lock().unwrap().take_if(|run| run.test == own);
    value
}

/// Something that is counted.
type Counter = (&'static str, fn() -> u64);

/// What comes where pages are swapped.
const SWAPPED: [Counter; 2] =
    [("pages written", || COUNTERS.written.load(Ordering::Relaxed)), ("pages read again", served::major_faults)];

/// What comes where there is room for them.
const LARGE: [Counter; 2] =
    [("large folios", || count(Count::AnonFaultAlloc)), ("large folios split", || count(Count::Split))];

/// What comes with zswap.
const ZSWAP: [Counter; 3] = [
    ("pages stored", || computer::zswap_counter("zswpout")),
    ("pages loaded", || computer::zswap_counter("zswpin")),
    ("pages written back", || computer::zswap_counter("zswpwb")),
];

/// The limits that cgroups get, in pages.
const LIMITS: Range<u64> = 24..100;

/// Runs the model so many times, under one policy after another, or `QUIRE_RUNS` times, on what `make` makes.
fn agree(runs: u64, make: fn() -> Computer) {
    agree_where(runs, LIMITS, &[SWAPPED, LARGE].concat(), make);
}

/// As [`agree`], with other limits for cgroups; what has to have come is in `counters`.
fn agree_where(runs: u64, limits: Range<u64>, counters: &[Counter], make: fn() -> Computer) {
    let before: Vec<_> = counters.iter().map(|(_, counted)| counted()).collect();
    let (seeds, start) = (seeds(0..number("QUIRE_RUNS").unwrap_or(runs)), Instant::now());
    for seed in seeds.clone() {
        let computer = make();
        lru::set_policy(NAMES[seed as usize % NAMES.len()]).expect("it is a policy");
        // Half of the runs, and so every policy, have large folios.
        let is_large = (seed as usize / NAMES.len() + seed as usize).is_multiple_of(2);
        FOR_SIZE.set(if is_large { Setting::Always } else { Setting::Never });
        run(Run::new(seed, None), limits.clone(), LENGTH, computer, || (), || ());
    }
    let operations = u128::from(seeds.end - seeds.start) * LENGTH as u128;
    let a_second = operations * 1000 / start.elapsed().as_millis().max(1);
    println!("seeds {seeds:?}: {operations} operations, {a_second} a second");
    // One run need not have it all.
    if number("QUIRE_SEED").is_none() {
        for ((name, counted), before) in std::iter::zip(counters, before) {
            assert!(counted() > before, "{name}: none");
        }
    }
}

#[test]
fn programs_find_what_the_model_has_with_room() {
    agree(25, || Computer::start(1024, 1, Disk::new(256, false)));
}

#[test]
fn programs_find_what_the_model_has_when_memory_is_short() {
    agree(25, || Computer::start(350, 1, Disk::new(512, false)));
}

#[test]
fn programs_find_what_the_model_has_when_requests_take_long() {
    agree(25, || Computer::start(350, 1, Disk::new(512, true)));
}

#[test]
fn programs_find_what_the_model_has_when_pages_may_not_change_on_their_way() {
    agree(25, || Computer::start(350, 1, Disk::with_stable_writes(512)));
}

#[test]
fn programs_find_what_the_model_has_when_swap_is_full() {
    agree(25, || Computer::start(350, 1, Disk::new(64, true)));
}

#[test]
fn programs_find_what_the_model_has_when_it_is_compressed() {
    agree(25, || Computer::with_zram(400, 1, 128, Disk::new(256, true)));
}

#[test]
fn programs_find_what_the_model_has_when_swap_is_a_file_in_pieces() {
    agree(100, || Computer::start(350, 1, Disk::with_file(70)));
}

#[test]
fn programs_find_what_the_model_has_when_it_is_encrypted() {
    agree(100, || Computer::start(350, 1, Disk::of_type(512, "crypt", "")));
}

#[test]
fn programs_find_what_the_model_has_when_it_is_a_log() {
    agree(100, || Computer::start(350, 1, Disk::of_type(256, "crypt", "over=log,segment=32")));
}

#[test]
fn programs_find_what_the_model_has_when_cgroups_are_small() {
    let limited: [Counter; 2] = [("limits reached", at_limit), ("processes killed in cgroups", killed_in_cgroups)];
    agree_where(25, 4..40, &[SWAPPED, limited].concat(), || Computer::start(350, 1, Disk::new(512, true)));
}

#[test]
fn programs_find_what_the_model_has_when_some_are_killed() {
    let killed: Counter = ("processes killed", || KILLS.load(Ordering::Relaxed));
    agree_where(25, LIMITS, &[&SWAPPED[..], &[killed]].concat(), || Computer::start(130, 1, Disk::new(24, true)));
}

#[test]
fn programs_find_what_the_model_has_when_zswap_is_before_the_disk() {
    agree_where(25, LIMITS, &[&SWAPPED[..], &LARGE, &ZSWAP].concat(), || {
        Computer::with_zswap(350, false, Disk::new(256, true))
    });
}

#[test]
fn programs_find_what_the_model_has_when_swap_is_a_ghost() {
    agree_where(25, LIMITS, &[&SWAPPED[..], &LARGE, &ZSWAP].concat(), || {
        Computer::with_zswap(350, true, Disk::new(256, true))
    });
}

/// Every allocation of a short run fails, one in each.
#[test]
fn programs_find_what_the_model_has_whichever_allocation_fails() {
    const SHORT: usize = 40;
    for seed in seeds(1000..1003) {
        for nth in 1.. {
            let left = run(
                Run::new(seed, Some(nth)),
                LIMITS,
                SHORT,
                Computer::start(350, 1, Disk::new(128, false)),
                move || task::current().running().fail_nth.set(nth),
                || {
                    let thread = task::current();
                    let left = thread.running().fail_nth.get();
                    thread.running().fail_nth.set(0);
                    left
                },
            );
            if left > 0 {
                break;
            }
        }
    }
}
