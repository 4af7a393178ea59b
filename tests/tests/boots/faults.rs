//! Disks that fail: what cannot come back costs no more than it must.

use std::fmt::Write;

use quire_boot::{Disk, Machine, Size};
use quire_tests::Run;

const SECTORS_PER_SLOT: u64 = 8;

/// A machine with little memory whose swap disk fails every request that touches one of `slots`.
fn machine(operation: &str, slots: &[u64]) -> Machine {
    let mut rules = String::new();
    for (number, slot) in slots.iter().enumerate() {
        let rule = format!("inject-error.{number}");
        let sector = slot * SECTORS_PER_SLOT;
        write!(rules, "{rule}.event=none,{rule}.errno=5,{rule}.iotype={operation},{rule}.sector={sector},").unwrap();
    }
    let disk = Disk::swap(Size::mebibytes(128)).faults(rules.trim_end_matches(','));
    Machine::new().memory(Size::mebibytes(32)).disk(disk)
}

#[test]
fn failed_writes_leave_their_pages_in_memory() {
    let run = Run::new("write-error", machine("write", &[100, 101, 700, 2000]));
    run.figures().require_at_least("failed_writes", 4);
    run.figures().require_at_least("swapped_out", 1000);
    run.require(run.lines_with("write to /dev/vda failed at slot ").next().is_some(), "the log does not name the slot");
    run.require(run.lines_with(" killed: ").next().is_none(), "a task was killed");
}

#[test]
fn a_failed_read_kills_the_one_task_that_needs_the_page() {
    let run = Run::new("read-error", machine("read", &[1000]));
    run.figures().require_exactly("slot", 1000);
    run.figures().require_exactly("killed", 1);
    run.figures().require_exactly("survived", 3);
    let killed: Vec<&str> = run.lines_with(" killed: ").collect();
    run.require(killed.len() == 1, "not one task is named as killed");
    let names_all =
        ["fault: task-", "cannot be read from slot 1000 of /dev/vda"].iter().all(|part| killed[0].contains(part));
    run.require(names_all, "the line does not name the task and the slot");
}

#[test]
fn swapoff_loses_only_the_page_that_cannot_be_read() {
    let run = Run::new("poison", machine("read", &[1000]));
    run.figures().require_exactly("slot", 1000);
    let killed: Vec<&str> = run.lines_with(" killed: ").collect();
    run.require(killed.len() == 1 && killed[0].contains("slot 1000 "), "not one task is named with the slot");
}

#[test]
fn a_swap_disk_that_takes_no_write_at_all_is_as_good_as_none() {
    let dead = "inject-error.0.event=none,inject-error.0.errno=5,inject-error.0.iotype=write";
    let disk = Disk::swap(Size::mebibytes(8)).faults(dead);
    let run = Run::new("out-of-memory", Machine::new().memory(Size::mebibytes(32)).disk(disk));
    run.figures().require_at_least("killed", 1);
    run.figures().require_at_least("survived", 1);
}

#[test]
fn a_header_that_cannot_be_read_is_refused() {
    let run = Run::new("swapon", machine("read", &[0]));
    run.require(run.failure().contains("EIO: the swap header cannot be read"), "it does not say why");
}
