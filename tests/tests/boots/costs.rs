//! What paths cost, in instructions, is what `tests/costs.txt` says, and flat where it has nothing to do with what else there is.
//!
//! The instructions of one kernel are the same on every machine. `QUIRE_COSTS=write cargo test -p quire-tests costs` writes the file
//! anew: with a change that is meant to cost what it does.

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::PathBuf};

use quire_boot::{Disk, Machine, Size};
use quire_tests::Run;

/// A figure may differ by one in so many.
const TOLERANCE: u64 = 50;

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("costs.txt")
}

/// Every figure of the scenario's last line that is an amount of instructions.
fn measured(words: &str, machine: Machine) -> Vec<(String, u64)> {
    let run = Run::new(words, machine.icount());
    run.figures().require_exactly("ticks_an_instruction", 16);
    let figures = run.figures().numbers();
    figures.into_iter().filter(|(name, _)| !["ticks_an_instruction", "others"].contains(&name.as_str())).collect()
}

#[test]
fn costs_are_what_they_were() {
    let disk = || Machine::new().memory(Size::mebibytes(128)).disk(Disk::swap(Size::mebibytes(64)));
    let found: BTreeMap<String, u64> = [
        measured("memory-cost", disk()),
        measured("flat-cost swapon=/dev/vda", disk()),
        measured("zram-cost contents=mix pages=256", Machine::new()),
    ]
    .concat()
    .into_iter()
    .collect();
    for (name, small) in found.iter().filter_map(|(name, cost)| Some((name.strip_suffix("_small")?, *cost))) {
        let large = found[&format!("{name}_large")];
        assert!(large <= small + small / 10, "{name} costs {small} instructions a page at first, then {large}");
    }
    let lines = found.iter().fold(String::new(), |mut lines, (name, cost)| {
        let _ = writeln!(lines, "{name} {cost}");
        lines
    });
    if env::var("QUIRE_COSTS").is_ok_and(|value| value == "write") {
        return fs::write(file(), lines).unwrap();
    }
    let said = fs::read_to_string(file()).unwrap();
    let said: BTreeMap<&str, u64> = said
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, cost)| (name, cost.parse().unwrap()))
        .collect();
    let mut wrong = String::new();
    for (name, cost) in &found {
        match said.get(name.as_str()) {
            Some(before) if cost.abs_diff(*before) * TOLERANCE <= *before => {}
            Some(before) => _ = writeln!(wrong, "  {name} was {before} and is {cost}"),
            None => _ = writeln!(wrong, "  {name} is new: {cost}"),
        }
    }
    assert!(
        wrong.is_empty() && said.len() == found.len(),
        "instructions a page that are not those of tests/costs.txt:\n{wrong}If that is meant: QUIRE_COSTS=write cargo test -p quire-tests costs"
    );
}
