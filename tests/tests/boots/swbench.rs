//! The benchmark program brings back every byte, and takes as many faults as on Linux.

use std::{fmt::Write, process::Command};

use quire_boot::{Disk, Machine, Size};
use quire_tests::{Run, launcher};

/// What a line of the program says.
struct Line {
    bad: u64,
    major: u64,
    minor: u64,
}

/// One boot in which the program runs with each of these arguments, and the lines that it prints.
#[track_caller]
fn swbench<const RUNS: usize>(arguments: [&str; RUNS], machine: Machine) -> (Run, [Line; RUNS]) {
    let mut script = String::from("set -e\n");
    for words in arguments {
        let _ = writeln!(script, "swbench {words}");
    }
    let _ = writeln!(script, "echo; echo 'quire: swbench ok runs={RUNS}'");
    let run = Run::lines("swbench", script, machine);
    run.figures().require_exactly("runs", RUNS as u64);
    let mut lines = run.lines_with("swbench pages=");
    let figures = std::array::from_fn(|_| {
        let line = lines.next().unwrap_or_default();
        let value = |key: &str| {
            let value = line.split_whitespace().find_map(|word| word.strip_prefix(key)?.parse().ok());
            run.require(value.is_some(), &format!("there is no {key} in \"{line}\""));
            value.unwrap_or(u64::MAX)
        };
        Line { bad: value("bad="), major: value("majflt="), minor: value("minflt=") }
    });
    drop(lines);
    (run, figures)
}

#[track_caller]
fn require_near(run: &Run, what: &str, found: u64, linux: u64) {
    run.require(found.abs_diff(linux) * 50 <= linux, &format!("{what}: {found}, on Linux {linux}"));
}

/// Linux 6.1 in the same machine, where zram is read without readahead: each page that comes from zram is one major fault.
#[test]
fn each_page_from_zram_is_one_major_fault() {
    let words = "zram0.comp_algorithm=lz4 zram0.disksize=256M swapon=/dev/zram0";
    let machine = Machine::new().memory(Size::mebibytes(256)).append(words);
    let arguments =
        ["4096 text random", "4096 zero random", "4096 same random", "4096 random random", "4096 mix random"];
    let (run, lines) = swbench(arguments, machine);
    for (arguments, Line { bad, major, minor }) in arguments.iter().zip(lines) {
        run.require(bad == 0, "bytes did not come back");
        require_near(&run, &format!("major faults of {arguments}"), major, 4096);
        run.require(minor <= 4096 / 50, &format!("{minor} minor faults of {arguments}, on Linux 0"));
    }
}

/// Linux 6.1 in the same machine, its disk not rotational, with `page-cluster` 3 and its pages dropped from the swap cache:
/// so many faults of 4,108 read, the others find a page that was read ahead. It has no zero pages in swap and reads them too;
/// Linux 6.12 has, and as many faults.
#[test]
fn pages_from_a_disk_are_read_ahead() {
    let machine = Machine::new().memory(Size::mebibytes(256)).disk(Disk::swap(Size::mebibytes(512)));
    let arguments = ["4096 text seq 300", "4096 zero seq 300", "4096 mix seq 300", "4096 text random 300"];
    let (run, lines) = swbench(arguments, machine.append("swapon=/dev/vda"));
    for ((arguments, linux), Line { bad, major, minor }) in arguments.iter().zip([522, 522, 522, 3907]).zip(lines) {
        run.require(bad == 0, "bytes did not come back");
        require_near(&run, &format!("faults of {arguments}"), major + minor, 4108);
        require_near(&run, &format!("faults of {arguments} that read"), major, linux);
    }
}

/// The simulator and the kernel run the same policies on the same references, a program's touches here and a list there.
#[test]
fn the_simulator_says_how_many_touches_read() {
    const FRAMES: &str = "1000";
    if !quire_tests::are_long() {
        return eprintln!(
            "skipped: QUIRE_TESTS=long records 100,000 touches; the host's tests replay shorter recordings"
        );
    }
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

/// What the simulator says to these options of the policies that are asked for below.
fn simulate(options: &[&str]) -> String {
    let output = Command::new(launcher::program())
        .args(["policy", "--policy", "reuse", "--policy", "fifo"])
        .args(options)
        .output()
        .unwrap();
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
