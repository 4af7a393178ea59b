//! System calls at random, as root and as an ordinary user, while memory is short: no call ends the machine, no page that a
//! verifier keeps is changed, and nothing is left.

use std::env;

use quire_boot::{Disk, Machine, Size};
use quire_tests::Run;

/// Two thousand calls, and ten times 200,000 with `QUIRE_FUZZ=long` in the environment. A run is made again with its seed,
/// which is in each line of the log.
#[test]
fn calls_at_random_end_no_machine_and_change_no_page() {
    let is_long = env::var("QUIRE_FUZZ").is_ok_and(|how| how == "long");
    let (seeds, count) = if is_long { (11..=20, 200_000) } else { (1..=1, 2000) };
    for seed in seeds {
        let machine = Machine::new().disk(Disk::swap(Size::mebibytes(256))).append("swapon=/dev/vda");
        let run = Run::program(&format!("fuzz {seed} {count}"), machine);
        let figures = run.figures();
        figures.require_exactly("calls", count);
        figures.require_at_least("verified", 1);
        figures.require_at_least("swapped_out", 100);
        for user in ["root", "guest"] {
            run.require(run.lines_with(&format!("fuzz {seed} {user} ")).count() > 500, "a user made no calls");
        }
        // The watcher may have touched a few pages of its own meanwhile, and the kernel's tables grow once.
        figures.require_at_least("free_kib_after", figures.number("free_kib_before") - 256);
    }
}
