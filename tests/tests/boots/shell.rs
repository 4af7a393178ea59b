//! Debian's busybox, as it is, as process 1 and as a shell.

use quire_boot::{Disk, Machine, Size};
use quire_tests::{Image, Run};

#[test]
fn the_shell_has_pipes_jobs_files_and_signals() {
    Run::script("shell", Machine::new()).figures().require_at_least("steps", 30);
}

#[test]
fn several_people_use_one_machine() {
    Run::script("users", Machine::new()).figures().require_at_least("steps", 20);
}

#[test]
fn zram_is_controlled_by_its_attributes() {
    Run::script("zram", Machine::new()).figures().require_at_least("steps", 25);
}

#[test]
fn swapon_and_swapoff_do_and_refuse_what_linux_does() {
    let empty = Image::empty(16384);
    let machine = empty.machine().disk(Disk::swap(Size::mebibytes(64)));
    Run::script("swapon", machine).figures().require_at_least("steps", 20);
}

#[test]
fn process_1_is_the_largest_when_memory_ends_and_stays() {
    let run = Run::script("limits", Machine::new().memory(Size::mebibytes(40)));
    run.figures().require_exactly("steps", 3);
    let killed: Vec<&str> = run.lines_with("oom: killed ").collect();
    run.require(
        !killed.is_empty() && killed.iter().all(|line| !line.contains("[1]:")),
        "process 1 was killed, or nobody",
    );
}
