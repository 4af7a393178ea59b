//! The benchmark program brings back every byte, and takes as many faults as on Linux.

use std::process::Command;

use quire_boot::{Disk, Machine, Size};
use quire_tests::{Run, launcher};

/// The numbers in the line that the program prints.
fn figures(run: &Run) -> [u64; 3] {
    let line = run.lines_with("swbench pages=").next().unwrap_or_default();
    ["bad", "majflt", "minflt"].map(|key| {
        let value = line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        run.require(value.is_some(), &format!("it prints no {key}"));
        value.and_then(|value| value.parse().ok()).unwrap_or(u64::MAX)
    })
}

#[track_caller]
fn require_near(run: &Run, what: &str, found: u64, linux: u64) {
    run.require(found.abs_diff(linux) * 50 <= linux, &format!("{what}: {found}, on Linux {linux}"));
}

/// Linux 6.1 in the same machine, where zram is read without readahead: each page that comes from zram is one major fault.
#[test]
fn each_page_from_zram_is_one_major_fault() {
    for contents in ["text", "zero", "same", "random", "mix"] {
        let words = "zram0.comp_algorithm=lz4 zram0.disksize=256M swapon=/dev/zram0";
        let machine = Machine::new().memory(Size::mebibytes(256)).append(words);
        let run = Run::of(
            "swbench",
            &format!("-- swbench 4096 {contents} random"),
            machine.initramfs(quire_boot::Initramfs::new()),
        );
        let [bad, major, minor] = figures(&run);
        run.require(bad == 0, "bytes did not come back");
        require_near(&run, "major faults", major, 4096);
        run.require(minor <= 4096 / 50, &format!("{minor} minor faults, on Linux 0"));
    }
}

/// Linux 6.1 in the same machine, its disk not rotational, with `page-cluster` 3 and its pages dropped from the swap cache:
/// so many faults of 4,108 read, the others find a page that was read ahead. It has no zero pages in swap and reads them too;
/// Linux 6.12 has, and as many faults.
#[test]
fn pages_from_a_disk_are_read_ahead() {
    for (contents, order, linux) in
        [("text", "seq", 522), ("zero", "seq", 522), ("mix", "seq", 522), ("text", "random", 3907)]
    {
        let machine = Machine::new().memory(Size::mebibytes(256)).disk(Disk::swap(Size::mebibytes(512)));
        let run = Run::program(&format!("swbench 4096 {contents} {order} 300"), machine.append("swapon=/dev/vda"));
        let [bad, major, minor] = figures(&run);
        run.require(bad == 0, "bytes did not come back");
        require_near(&run, "faults", major + minor, 4108);
        require_near(&run, &format!("faults that read {contents} {order}"), major, linux);
    }
}

/// The simulator and the kernel run the same policies on the same references, a program's touches here and a list there.
#[test]
fn the_simulator_says_how_many_touches_read() {
    const FRAMES: &str = "1000";
    let simulated = simulate(&["--generate", "zipf-0.8", "--frames", FRAMES]);
    // The references are recorded, among them those to the program's own text and stack.
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("touches.gz");
    let machine = Machine::new().disk(Disk::swap(Size::mebibytes(64))).icount().record_trace(&trace);
    let found = reads_in_guest("reuse", FRAMES, machine);
    let replayed = simulate(&["--trace", trace.to_str().unwrap(), "--frames", FRAMES]);
    let about = |one: u64, other: u64| one.abs_diff(other) * 20 <= other;
    let expected = reads_of("reuse", &simulated);
    assert!(about(found, expected), "{expected} reads were simulated, {found} came");
    let [replayed, expected] = [&replayed, &simulated].map(|text| reads_of("fifo", text));
    assert!(
        about(replayed, expected),
        "{replayed} reads of the recording under another policy, {expected} of its source"
    );
}

/// What the simulator says to these options.
fn simulate(options: &[&str]) -> String {
    let output = Command::new(launcher::program()).arg("policy").args(options).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How many reads it says that the policy makes.
fn reads_of(policy: &str, simulated: &str) -> u64 {
    let reads = simulated.split("with readahead: reads").nth(1).unwrap_or_else(|| panic!("{simulated}"));
    let line = reads.lines().find_map(|line| line.trim().strip_prefix(policy)).unwrap();
    line.trim().parse().unwrap()
}

/// How many it makes in the guest.
fn reads_in_guest(policy: &str, frames: &str, machine: Machine) -> u64 {
    let command = format!("touches zipf-0.8 {frames}");
    let run = Run::program(&command, machine.append(&format!("policy={policy} swapon=/dev/vda")));
    let line = run.lines_with("touches trace=").next().unwrap_or_default();
    let word = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key)).unwrap().to_owned();
    assert_eq!(word("wrong="), "0", "{line}");
    word("majflt=").parse().unwrap()
}
