//! Processes that fork, send signals and end at random while memory is short: nothing is lost and nothing is left.

use std::env;

use quire_boot::{Disk, Machine, Size};
use quire_tests::Run;

/// Ten seconds of it, and three times sixty with `QUIRE_STRESS=long` in the environment.
#[test]
fn nothing_is_left_after_processes_came_and_went_at_random() {
    let is_long = env::var("QUIRE_STRESS").is_ok_and(|how| how == "long");
    let (rounds, seconds) = if is_long { (3, 60) } else { (1, 10) };
    for seed in 1..=rounds {
        let machine = Machine::new().memory(Size::mebibytes(40)).disk(Disk::swap(Size::mebibytes(256)));
        let run = Run::program(&format!("stress {seconds} {seed}"), machine.append("swapon=/dev/vda"));
        let figures = run.figures();
        figures.require_at_least("processes", 10);
        figures.require_at_least("signals", 10);
        figures.require_at_least("swapped_out", 1000);
        // The program that watches may have touched a few pages of its own meanwhile; slots and page tables it compares
        // exactly.
        figures.require_at_least("free_kib_after", figures.number("free_kib_before") - 64);
    }
}
