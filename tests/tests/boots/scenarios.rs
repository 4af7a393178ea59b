//! The scenarios that check the kernel itself, and that none is forgotten.

use std::{collections::BTreeSet, fs};

use quire_boot::{Disk, Machine, Size, project};
use quire_tests::Run;

fn small_machine(swap: Size) -> Machine {
    Machine::new().memory(Size::mebibytes(32)).disk(Disk::swap(swap))
}

/// Pages with these contents go out, come back by faults and by `swapoff`, and are what they were.
fn swap(contents: &str) -> Run {
    let run = Run::new(&format!("swap contents={contents}"), small_machine(Size::mebibytes(128)));
    let figures = run.figures();
    let pages = figures.number("pages");
    figures.require_at_least("pages", 1000);
    figures.require_at_least("brought_back_by_swapoff", pages / 2);
    figures.require_at_least("bytes_verified", pages * 4096);
    run
}

#[test]
fn text_is_swapped() {
    let run = swap("text");
    run.figures().require_at_least("swapped_out", run.figures().number("pages"));
    run.figures().require_exactly("zero_out", 0);
}

#[test]
fn zero_pages_are_swapped_without_the_disk() {
    let run = swap("zero");
    run.figures().require_at_least("zero_out", run.figures().number("pages") / 2);
}

#[test]
fn pages_of_one_word_are_swapped() {
    let run = swap("same");
    run.figures().require_at_least("swapped_out", run.figures().number("pages"));
    // Only page 0 of the contents has a word that could be taken for zero, and it is not.
    run.figures().require_exactly("zero_out", 0);
}

#[test]
fn random_pages_are_swapped() {
    swap("random").figures().require_exactly("zero_out", 0);
}

#[test]
fn a_mix_of_contents_is_swapped() {
    let run = swap("mix");
    run.figures().require_at_least("zero_out", run.figures().number("pages") / 16);
    run.figures().require_at_least("swapped_out", run.figures().number("pages") / 2);
}

#[test]
fn areas_are_filled_by_priority_and_go_under_load() {
    let size = Size::mebibytes;
    let machine = small_machine(size(64)).disk(Disk::swap(size(64))).disk(Disk::swap(size(16)));
    let run = Run::new("areas swapon=/dev/vda,1 swapon=/dev/vdb,1 swapon=/dev/vdc,5", machine);
    run.figures().require_at_least("refused_at", 1);
    run.figures().require_at_least("bytes_verified", size(32).in_bytes());
}

#[test]
fn pages_travel_together_when_they_are_used_in_order() {
    let run = Run::new("sequential", small_machine(Size::mebibytes(128)));
    run.figures().require_at_least("pages_out", 24 * run.figures().number("write_requests"));
}

#[test]
fn when_memory_and_swap_run_out_tasks_die_and_the_kernel_lives() {
    let run = Run::new("out-of-memory", small_machine(Size::mebibytes(8)).append("quiet"));
    let killed = run.figures().number("killed");
    run.figures().require_at_least("killed", 1);
    run.figures().require_at_least("survived", 1);
    let named = run.lines_with("killed: out of memory").count() as u64;
    run.require(named == killed, "not every killed task is named");
    run.require(
        run.lines_with("] boot: ").next().is_none(),
        "the console shows what is no error, though it is to be quiet",
    );
}

#[test]
fn memory_is_protected_and_comes_and_goes() {
    let run = Run::new("memory", Machine::new());
    run.figures().require_at_least("pages_audited", 1000);
}

#[test]
fn mappings_are_forked_shared_moved_and_protected() {
    let run = Run::new("mappings", small_machine(Size::mebibytes(128)));
    run.figures().require_at_least("swapped_out", run.figures().number("pages"));
    run.figures().require_at_least("brought_back_by_swapoff", run.figures().number("pages") / 2);
}

#[test]
fn a_trace_of_five_pages_in_four_frames_faults_as_the_policy_implies() {
    for (policy, faults) in [("fifo", 17), ("two-list", 15), ("reuse", 11)] {
        let scenario = format!("trace policy={policy} zram0.disksize=16M swapon=/dev/zram0");
        let run = Run::new(&scenario, Machine::new());
        run.figures().require_exactly("touches", 22);
        run.figures().require_exactly("faults", faults);
    }
}

#[test]
fn a_trace_of_the_command_lines_says_which_touches_fault() {
    // First in, first out, in two frames.
    let words = "trace trace=0,1,0,2,0,1 frames=2 policy=fifo zram0.disksize=16M swapon=/dev/zram0";
    let run = Run::new(words, Machine::new());
    run.figures().require_exactly("touches", 6);
    run.figures().require_exactly("faults", 5);
    run.require(run.log().lines().any(|line| line == "  0! 1! 0 2! 0! 1!"), "the touches that fault are not shown");
}

#[test]
fn scenarios_are_listed_by_kind_with_what_they_need_and_each_has_a_test() {
    let run = Run::new("list", Machine::new());
    run.figures().require_at_least("scenarios", 30);
    for title in ["Experiments", "Checks: ", "Checks that need a faulty disk", "Crashes"] {
        run.require(run.log().contains(&format!("\n{title}")), &format!("there is no heading {title}"));
    }
    let faulty = run.log().split("need a faulty disk").nth(1).and_then(|rest| rest.split("\nCrashes").next());
    let faulty: Vec<&str> = faulty.unwrap_or_default().lines().skip(1).collect();
    run.require(!faulty.is_empty() && faulty.iter().all(|line| line.contains("--fault ")), "a fault is not named");

    let names: BTreeSet<&str> = run
        .log()
        .lines()
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    run.figures().require_exactly("scenarios", names.len() as u64);
    let tests = project().join("tests/tests/boots");
    let tests: String =
        fs::read_dir(tests).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    // As a scenario with or without further words, or inside the launcher's `--append`.
    let forms = |name: &str| [format!("\"{name}\""), format!("\"{name} "), format!("scenario={name}\"")];
    let is_tested = |name: &&&str| forms(name).iter().any(|form| tests.contains(form));
    let untested: Vec<_> = names.iter().filter(|name| !is_tested(name)).collect();
    assert!(untested.is_empty(), "no test boots {untested:?}");
}

#[test]
fn groups_keep_to_their_limits() {
    let run = Run::new("groups", small_machine(Size::mebibytes(64)));
    run.figures().require_at_least("swapped", run.figures().number("limit"));
    run.figures().require_at_least("hits_of_the_limit", 1);
    run.figures().require_exactly("killed", 1);
}

#[test]
fn threads_are_preempted_sleep_and_lock() {
    let run = Run::new("threads", Machine::new());
    run.figures().require_exactly("locked", 16_000);
    run.figures().require_at_least("switches", 100);
}

#[test]
fn an_unknown_scenario_is_named() {
    let run = Run::new("banana", Machine::new());
    run.require(run.failure().contains("scenario=list"), "it does not say how to find the scenarios");
}
