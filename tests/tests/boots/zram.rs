//! Compressed memory as swap, without any disk.

use quire_boot::{Disk, Machine, Size};
use quire_tests::Run;

fn machine() -> Machine {
    Machine::new().memory(Size::mebibytes(32))
}

#[test]
fn zram_fills_and_empties_three_times_and_loses_nothing() {
    let run = Run::new("zram", machine());
    let figures = run.figures();
    figures.require_exactly("cycles", 3);
    let stored = figures.number("stored_kib");
    figures.require_at_least("stored_kib", 3 * 1024);
    // A mix of text, zero and random pages takes less room than it would uncompressed.
    run.require(figures.number("pool_kib") < stored * 9 / 10, "the pool is smaller than what it holds");
    figures.require_at_least("bytes_verified", stored * 1024);
}

#[test]
fn the_command_line_makes_zram_a_swap_area() {
    let words = "swap contents=text pages=1500 zram0.comp_algorithm=lz4 zram0.disksize=64M swapon=/dev/zram0,100";
    let run = Run::new(words, machine());
    run.figures().require_at_least("swapped_out", run.figures().number("pages"));
    run.require(
        run.lines_with("/dev/zram0, priority 100").next().is_some(),
        "the area has the priority that was asked for",
    );
}

#[test]
fn a_value_that_zram_refuses_stops_the_kernel_with_a_line_that_names_it() {
    let run = Run::new("swap zram0.comp_algorithm=banana zram0.disksize=64M swapon=/dev/zram0", machine());
    run.require(run.log().contains("zram0.comp_algorithm=banana: EINVAL"), "the word and the error are named");
}

#[test]
fn linux_tests_of_zram_pass_step_by_step() {
    let run = Run::new("zram-linux", Machine::new().memory(Size::mebibytes(128)));
    run.figures().require_exactly("tests", 5);
    for test in ["fill", "swap", "100 GiB", "letters", "every page"] {
        run.require(run.lines_with(&format!("zram: {test}: ")).next().is_some(), &format!("{test} says nothing"));
    }
}

/// Three cycles of swap through zram to a disk.
fn written_back(words: &str, disk: Disk) -> Run {
    let run = Run::new(&format!("zram-writeback {words}"), machine().disk(disk));
    run.figures().require_exactly("cycles", 3);
    run.figures().require_at_least("bytes_verified", 3 * 900 * 4096);
    run.require(run.lines_with(" killed: ").next().is_none(), "a task was killed");
    run
}

#[test]
fn pages_are_written_back_and_come_back_from_the_disk() {
    let run = written_back("compressed=0", Disk::swap(Size::mebibytes(64)));
    run.figures().require_at_least("blocks", run.figures().number("pages"));
}

#[test]
fn pages_are_written_back_as_they_are_stored_several_to_a_block() {
    let run = written_back("compressed=1", Disk::swap(Size::mebibytes(64)));
    run.require(run.figures().number("blocks") < run.figures().number("pages"), "every block holds one page");
}

#[test]
fn blocks_that_are_read_together_are_read_by_few_requests() {
    let run = Run::new("zram-backing-cost pages=512", machine().disk(Disk::swap(Size::mebibytes(64))));
    for way in ["swap_ops_0", "swap_ops_1", "block_0", "block_1"] {
        let figure = |name| run.figures().number(&format!("{way}_{name}"));
        let (blocks, requests) = (figure("blocks"), figure("requests"));
        run.require(blocks >= 3 * requests, &format!("{way}: {blocks} blocks by {requests} requests"));
    }
}

#[test]
fn a_backing_device_that_fails_costs_nothing() {
    for compressed in [0, 1] {
        let rules: Vec<String> = [8, 800, 2000]
            .iter()
            .enumerate()
            .map(|(number, sector)| {
                let rule = format!("inject-error.{number}");
                format!("{rule}.event=none,{rule}.errno=5,{rule}.iotype=write,{rule}.sector={sector}")
            })
            .collect();
        let disk = Disk::swap(Size::mebibytes(64)).faults(rules.join(","));
        let run = written_back(&format!("compressed={compressed} errors=1"), disk);
        run.figures().require_at_least("refused", 3);
    }
}

#[test]
fn a_damaged_page_costs_only_the_task_that_needs_it() {
    let run = Run::new("zram-damage", machine());
    run.figures().require_exactly("killed", 1);
    run.figures().require_exactly("survived", 2);
    let killed: Vec<&str> = run.lines_with(" killed: ").collect();
    run.require(killed.len() == 1 && killed[0].contains("/dev/zram0"), "not one task is named with the device");
}

#[test]
fn a_block_that_cannot_be_read_costs_only_the_task_that_needs_it() {
    let bad = "inject-error.0.event=none,inject-error.0.errno=5,inject-error.0.iotype=read,inject-error.0.sector=800";
    let disk = Disk::swap(Size::mebibytes(64)).faults(bad);
    let run = Run::new("zram-read-error", machine().disk(disk));
    run.figures().require_exactly("killed", 1);
    run.figures().require_exactly("survived", 2);
    let killed: Vec<&str> = run.lines_with(" killed: ").collect();
    run.require(killed.len() == 1 && killed[0].contains("/dev/zram0"), "not one task is named with the device");
}

#[test]
fn pages_that_zram_has_no_room_for_go_to_the_disk() {
    let words = "pool-full zram0.disksize=64M zram0.mem_limit=1M swapon=/dev/zram0,100 swapon=/dev/vda";
    let run = Run::new(words, machine().disk(Disk::swap(Size::mebibytes(128))));
    let figures = run.figures();
    figures.require_at_least("to_zram", 256);
    figures.require_at_least("to_disk", 1000);
    figures.require_at_least("refused", 1);
    run.require(figures.number("pool_pages") <= 256, "the pool kept to its limit");
    run.require(run.lines_with("/dev/zram0 takes no pages for now").next().is_some(), "the log does not say why");
    run.require(run.lines_with(" killed: ").next().is_none(), "a task was killed");
}
