//! Debian's busybox, as it is, as process 1 and as a shell.

use std::sync::Arc;

use quire_boot::{Disk, Machine, Size, observatory::Site};
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
    let device = format!("/dev/zram0: {pages} pages, {original} bytes as {compressed} in {frames} frames: ");
    let rest = format!("{same} of one value, {huge} huge; room for 4096 pages");
    run.require_inspected(&site, &["lists"], &[&device, &rest]);
}

#[test]
fn swapon_and_swapoff_do_and_refuse_what_linux_does() {
    let empty = Image::empty(16384);
    let machine = empty.machine().disk(Disk::swap(Size::mebibytes(64)));
    Run::script("swapon", machine).figures().require_at_least("steps", 20);
}

#[test]
fn process_1_is_the_largest_when_memory_ends_and_stays() {
    let machine = Machine::new().memory(Size::mebibytes(40));
    let site = Arc::new(Site::new(machine.installed_memory()).unwrap());
    let run = Run::script("limits", machine.observed_at(Arc::clone(&site)));
    run.figures().require_exactly("steps", 3);
    let killed: Vec<&str> = run.lines_with("oom: killed ").collect();
    run.require(
        !killed.is_empty() && killed.iter().all(|line| !line.contains("[1]:")),
        "process 1 was killed, or nobody",
    );

    let kswapd = ["\nkswapd[", "quire_memory::reclaim::", "at kernel/memory/src/reclaim.rs:"];
    let said = run.require_inspected(&site, &[], &kswapd);
    run.require(said.contains(&format!("memory ran out: {} killed", killed.len())), &format!("who was killed? {said}"));
    let frames = said.lines().find_map(|line| line.strip_suffix(" heap")?.trim().parse::<u64>().ok());
    let heap = format!("kernel heap: {} frames\n", frames.unwrap_or_default());
    run.require_inspected(&site, &["heap"], &[&heap, "\nup to 64 bytes, in slabs ", "\nlargest: "]);
}
