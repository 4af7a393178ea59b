//! What the kernel promises programs. Each check runs in a process of its own in the guest, and its parent sees how it
//! ends; on the host the same checks are held against Linux (`boot/programs/tests`).

use quire_boot::{Disk, Machine, Size};
use quire_tests::{Image, Run, image};

/// Runs these checks, of which there are at least `least`.
fn check(names: &str, least: u64, machine: Machine) -> Run {
    let run = Run::program(&format!("check {names}"), machine);
    run.figures().require_at_least("checks", least);
    run
}

fn with_swap(memory: Size, swap: Size) -> Machine {
    Machine::new().memory(memory).disk(Disk::swap(swap)).append("swapon=/dev/vda")
}

#[test]
fn pages_are_mapped_protected_copied_moved_and_counted() {
    check("pages kpage console", 23, Machine::new());
}

#[test]
fn limits_hold_and_what_cannot_be_had_is_refused_at_every_call() {
    check("bounds mappings rules", 18, with_swap(Size::mebibytes(64), Size::mebibytes(16)));
}

#[test]
fn memory_is_promised_as_far_as_the_mode_lets_it_and_given_back() {
    check("commit", 4, with_swap(Size::mebibytes(96), Size::mebibytes(8)));
}

#[test]
fn signals_are_delivered_masked_and_waited_for() {
    check("signals handlers frames", 24, Machine::new());
}

#[test]
fn time_passes_sleeps_end_and_alarms_come() {
    check("times", 6, Machine::new());
}

#[test]
fn files_and_pipes_are_written_and_read_and_numbers_at_the_edges_are_refused() {
    check(
        "files descriptors answers found numbers disk limited busy",
        55,
        Machine::new().disk(Disk::swap(Size::mebibytes(8))),
    );
}

#[test]
fn tasks_wait_for_words_of_memory_and_for_locks_on_files() {
    check("futexes locks memory-files", 26, with_swap(Size::mebibytes(40), Size::mebibytes(16)));
}

#[test]
fn users_are_kept_apart() {
    check("users permissions", 11, Machine::new());
}

#[test]
fn executables_run_or_are_refused() {
    let run = check("elf", 6, Machine::new());
    run.require(run.lines_with("exec: /tmp/check-elf: ").count() >= 10, "what is refused is not named");
}

#[test]
fn a_program_that_does_what_none_should_is_ended_alone() {
    let names = [
        "bad-jump-to-0",
        "bad-write-to-code",
        "bad-execute-stack",
        "bad-kernel-address",
        "bad-instruction",
        "bad-system-call-pointer",
        "bad-system-call-number",
        "bad-thread",
        "bad-random-system-calls",
        "bad-exhaust-stack",
    ];
    let run = check(&names.join(" "), 10, Machine::new());
    run.require(run.lines_with("asked for a thread").count() == 1, "who wants threads is not told");
}

#[test]
fn every_call_and_every_request_ends_with_an_answer() {
    check("calls", 3, Machine::new().disk(Disk::swap(Size::mebibytes(16))));
}

#[test]
fn whatever_the_kernel_takes_for_itself_may_be_refused() {
    check("heap", 5, with_swap(Size::mebibytes(64), Size::mebibytes(256)));
}

#[test]
fn programs_that_take_all_memory_are_ended_and_others_live() {
    let machine = with_swap(Size::mebibytes(40), Size::mebibytes(16));
    let run = check("bad-fork-until-memory-ends bad-touch-1-tib limits-memory-ends", 3, machine);
    run.require(run.lines_with("oom: killed check[").count() >= 2, "those who were killed are not named");
    run.require(run.lines_with("badness").next().is_some(), "the choice is not explained");
}

#[test]
fn programs_that_use_up_what_the_kernel_has_for_itself_are_refused() {
    check("limits-open-files limits-mappings-listed limits-names-listed", 3, Machine::new());
}

#[test]
fn a_user_at_all_limits_leaves_root_to_go_on() {
    check("starve-root-goes-on", 1, Machine::new().memory(Size::mebibytes(40)));
}

#[test]
fn what_files_took_of_the_kernels_memory_comes_back() {
    check("starve-files-come-back", 1, Machine::new().memory(Size::mebibytes(256)));
}

#[test]
fn a_group_pays_for_what_it_uses() {
    let names = "limits-group limits-kernel-memory-of-group";
    check(names, 12, with_swap(Size::mebibytes(40), Size::mebibytes(64)));
}

#[test]
fn a_group_pays_for_what_it_uses_without_any_swap() {
    let names = "limits-group-without-swap limits-group-locked";
    let run = check(names, 2, Machine::new().memory(Size::mebibytes(40)));
    run.require(run.lines_with("none left in its cgroup").next().is_some(), "the log does not say why");
}

#[test]
fn who_is_killed_in_a_long_call_does_no_more_of_it() {
    check("killed", 10, with_swap(Size::mebibytes(64), Size::mebibytes(128)));
}

#[test]
fn any_value_may_be_written_to_a_setting() {
    check("settings", 2, with_swap(Size::mebibytes(64), Size::mebibytes(64)));
}

#[test]
fn many_mappings_cost_as_much_as_they_are() {
    check("links", 2, Machine::new().memory(Size::mebibytes(128)).icount());
}

#[test]
fn what_was_never_touched_costs_nothing_to_walk() {
    check("huge", 5, with_swap(Size::mebibytes(40), Size::mebibytes(16)));
}

#[test]
fn who_needs_what_a_disk_has_lost_is_ended_alone() {
    // From the first page on that is written, nothing can be read.
    let image = Image::of(&image::header(16_383, &[]));
    let drive = format!(
        "driver=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename={},file.set-state.0.event=write_aio,\
         file.set-state.0.new_state=2,file.inject-error.0.event=read_aio,file.inject-error.0.state=2,\
         file.inject-error.0.iotype=read,file.inject-error.0.errno=5",
        image.path().display()
    );
    let machine = Machine::new().memory(Size::mebibytes(40)).disk(Disk::drive(drive)).append("swapon=/dev/vda");
    let run = check("trouble-lost-pages", 1, machine);
    run.require(run.lines_with("SIGBUS at instruction").count() == 1, "not one process got SIGBUS");
}

#[test]
fn a_swapoff_that_cannot_end_leaves_everything_as_it_was() {
    // So slow that a signal comes before the end.
    let disk = Disk::swap(Size::mebibytes(64)).options("throttling.iops-total=300");
    let machine = Machine::new().memory(Size::mebibytes(40)).disk(disk);
    // The ghost has slots, and nowhere to keep a page.
    let run = check("trouble-swapoff", 2, machine.append("swapon=/dev/vda,5 swapon=/dev/ghostswap"));
    run.require(run.lines_with("/dev/vda stays enabled: interrupted").next().is_some(), "the signal is not named");
    run.require(
        run.lines_with("/dev/vda stays enabled: its pages do not fit").next().is_some(),
        "no room is not named",
    );
    run.require(run.lines_with("oom: ").next().is_none(), "a process was killed for it");
}

#[test]
fn swapped_pages_survive_whatever_is_done_to_them() {
    let names = "swapped-and-back swapped-over-fork swapped-shared swapped-given-up swapped-resized swapped-locked \
                 swapped-files swapped-registers swapped-noswap reclaim large-folios";
    check(names, 16, with_swap(Size::mebibytes(40), Size::mebibytes(128)));
}

#[test]
fn ten_children_use_twice_the_memory_and_leave_no_slot() {
    let run = check("swapped-ten-children", 1, with_swap(Size::mebibytes(40), Size::mebibytes(128)));
    run.require(run.lines_with("slots were used").all(|line| !line.contains("most 0 ")), "no swap was used");
}
