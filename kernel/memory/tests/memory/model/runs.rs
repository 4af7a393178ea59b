//! Runs of the model.

use std::sync::atomic::Ordering;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use quire_machine::task;
use quire_memory::counters::COUNTERS;
use quire_memory::fault::served;
use quire_memory::large_folio::{Count, FOR_SIZE, Setting, count};
use quire_memory::lru;
use quire_memory::policy::NAMES;

use super::World;
use super::operation::{Operation, operation};
use crate::computer::Computer;
use crate::disk::Disk;
use crate::process::Conductor;

/// The operations of one run.
const LENGTH: usize = 1000;

/// Nothing is on its way after so many: what goes on at the same time would not meet if that were often.
const LOOK_EVERY: usize = 100;

/// Says which run it was if it fails: `QUIRE_SEED=N cargo test -p quire-memory` runs that one alone.
struct Run {
    seed: u64,
    done: usize,
    operation: Option<Operation>,
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("QUIRE_SEED={}: operation {}, {:?}", self.seed, self.done, self.operation);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().expect("the variable is a number"))
}

/// The operations of a run, which are always the same for one seed.
fn operations(seed: u64) -> impl Iterator<Item = Operation> {
    let mut random = TestRunner::new(Config { rng_seed: RngSeed::Fixed(seed), ..Config::default() });
    std::iter::repeat_with(move || operation().new_tree(&mut random).expect("nothing is filtered").current())
}

/// One run; `begin` is called as it begins, and what `end` returns as it ends is returned.
fn run<T: Send + 'static>(
    seed: u64,
    length: usize,
    computer: Computer,
    begin: impl FnOnce() + Send + 'static,
    end: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (value, computer) = Conductor::conduct(move |conductor| {
        let mut run = Run { seed, done: 0, operation: None };
        let mut world = World::new(conductor, computer);
        begin();
        for operation in operations(seed).take(length) {
            if std::env::var_os("QUIRE_TRACE").is_some() {
                eprintln!("{} {operation:?}", run.done);
            }
            run.operation = Some(operation.clone());
            world.step(&operation);
            run.done += 1;
            if run.done.is_multiple_of(20) {
                world.look_at_owners();
            }
            if run.done.is_multiple_of(LOOK_EVERY) {
                world.look_at_frames();
            }
        }
        let value = end();
        (value, world.end())
    });
    drop(computer);
    value
}

/// Runs the model so many times, under one policy after another, or `QUIRE_RUNS` times, on what `make` makes. Pages have to have come to swap and back.
fn agree(runs: u64, make: fn() -> Computer) {
    let seeds = number("QUIRE_SEED").map_or(0..number("QUIRE_RUNS").unwrap_or(runs), |seed| seed..seed + 1);
    let counted = || {
        [
            COUNTERS.written.load(Ordering::Relaxed),
            served::major_faults(),
            count(Count::AnonFaultAlloc),
            count(Count::Split),
        ]
    };
    let before = counted();
    for seed in seeds {
        let computer = make();
        lru::set_policy(NAMES[seed as usize % NAMES.len()]).expect("it is a policy");
        // Half of the runs, and so every policy, have large folios.
        let is_large = (seed as usize / NAMES.len() + seed as usize).is_multiple_of(2);
        FOR_SIZE.set(if is_large { Setting::Always } else { Setting::Never });
        run(seed, LENGTH, computer, || (), || ());
    }
    assert!(std::iter::zip(before, counted()).all(|(before, now)| now > before), "nothing was swapped, or large");
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

/// Every allocation of a short run fails, one in each.
#[test]
fn programs_find_what_the_model_has_whichever_allocation_fails() {
    const SHORT: usize = 40;
    for seed in 1000..1003 {
        for nth in 1.. {
            let left = run(
                seed,
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
