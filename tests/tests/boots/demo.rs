//! The demo, a program: memory goes to a disk, to zram and to ghost swap, and comes back.

use quire_boot::{Disk, Machine, Size};
use quire_tests::Run;

/// What the demo's table says about one phase: pages and requests, out and in.
struct Phase {
    out: [u64; 2],
    back: [u64; 2],
}

/// Runs the demo and checks what holds on every machine.
fn demo(memory: Size, swap: Size) -> Run {
    let run = Run::program("demo", Machine::new().memory(memory).disk(Disk::swap(swap)));
    let figures = run.figures();
    let [pages, out, back, verified] =
        ["pages", "swapped_out", "swapped_in", "bytes_verified"].map(|key| figures.number(key));
    let last_line = format!(
        "quire: demo ok pages={pages} swapped_out={out} swapped_in={back} bytes_verified={verified} bytes_wrong=0"
    );
    run.require(run.log().lines().any(|line| line == last_line), "its last line has another form");
    run.require(pages * 4096 >= memory.in_bytes(), "the working sets are not more than the memory");
    run.require(out > 0 && back > 0, "nothing was swapped");
    run.require(verified >= pages * 4096, "not every page was verified");
    run.require(number_after(&run, "zram held ") > 0, "nothing went to zram");
    if memory >= Size::mebibytes(32) {
        run.require(number_after(&run, "byte of its own: ") > 0, "nothing went to ghost swap");
    }
    run
}

/// The number that follows `words` in the log.
#[track_caller]
fn number_after(run: &Run, words: &str) -> u64 {
    let found = run.log().split_once(words).and_then(|(_, rest)| {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    });
    run.require(found.is_some(), &format!("there is no number after \"{words}\""));
    found.unwrap_or_default()
}

/// The first row of the tables that is about `name`.
fn phase(run: &Run, name: &str) -> Phase {
    let row = run.log().lines().find_map(|line| line.strip_prefix(&format!("  {name:16} ")));
    run.require(row.is_some(), &format!("the table has no row \"{name}\""));
    let columns: Vec<u64> = row.into_iter().flat_map(str::split_whitespace).flat_map(str::parse).collect();
    let [out, write_requests, back, read_requests] = columns[..] else {
        panic!("the row \"{name}\" has other columns: {row:?}")
    };
    Phase { out: [out, write_requests], back: [back, read_requests] }
}

#[test]
fn the_demo_swaps_in_long_requests() {
    let run = demo(Size::mebibytes(64), Size::mebibytes(256));
    let Phase { out: [out, writes], back: [back, reads] } = phase(&run, "in order");
    run.require(out > 8 * writes, &format!("in order: {writes} requests wrote {out} pages"));
    // How far ahead is read depends on whose slots lie between, which is the scheduler's and so the machine's.
    run.require(back > reads, &format!("in order: {reads} requests read {back} pages"));
}

#[test]
fn the_demo_runs_with_half_the_memory() {
    demo(Size::mebibytes(32), Size::mebibytes(512));
}

#[test]
fn the_demo_runs_with_the_least_memory() {
    demo(Size::mebibytes(8), Size::mebibytes(64));
}

#[test]
fn the_demo_fails_without_a_swap_disk_and_says_so() {
    let run = Run::program("demo", Machine::new());
    run.require(run.failure().contains("/dev/vda"), "it does not name the disk that is missing");
}
