//! Debian's busybox, as it is, as process 1 and as a shell.

use std::{path::Path, sync::Arc};

use quire_boot::{Disk, Machine, Size, observatory::Site};
use quire_tests::{Image, Run, launcher::run_in};

#[test]
fn the_shell_has_pipes_jobs_files_and_signals() {
    Run::script("shell", Machine::new()).figures().require_at_least("steps", 30);
}

#[test]
fn several_people_use_one_machine() {
    Run::script("users", Machine::new()).figures().require_at_least("steps", 20);
}

#[test]
fn zram_is_controlled_by_its_attributes_and_inspect_sees_what_they_say() {
    let machine = Machine::new();
    let site = Arc::new(Site::new(machine.installed_memory()).unwrap());
    let run = Run::script("zram", machine.observed_at(Arc::clone(&site)));
    run.figures().require_at_least("steps", 25);

    let line = run.lines_with("mm_stat: ").next().unwrap_or_default();
    let said: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [original, compressed, used, _, _, same, _, huge, _] = said[..] else {
        panic!("mm_stat has not nine columns: {line}");
    };
    run.require(compressed > 0 && same >= 128 && huge >= 64, "of each kind of page some are stored");
    let (pages, frames) = (original / 4096, used / 4096);
    let inspected = run_in(Path::new("/"), &["inspect", "--machine", site.directory().to_str().unwrap(), "lists"]);
    for part in [
        format!("/dev/zram0: {pages} pages, {original} bytes as {compressed} in {frames} frames: "),
        format!("{same} of one value, {huge} huge; room for 4096 pages"),
    ] {
        run.require(inspected.guest.contains(&part), &format!("inspect does not say \"{part}\":\n{inspected:#?}"));
    }
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
