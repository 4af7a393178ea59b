//! The demo, a program: memory goes to a disk, a file, zram, ghost swap and an encrypted disk, and comes back.

use std::process::Command;

use quire_boot::{Disk, Machine, Size};
use quire_tests::{Image, Run, launcher};
use rexpect::session::{PtySession, spawn_command};

/// Against a show that never ends, in milliseconds.
const LIMIT: u64 = 1_200_000;

/// What the demo's table says about one phase: pages and requests, out and in.
struct Phase {
    out: [u64; 2],
    back: [u64; 2],
}

/// A person at the launcher.
struct Terminal(PtySession);

impl Terminal {
    /// Waits for `text`; returns what came before.
    fn sees(&mut self, text: &str) -> String {
        self.0.exp_string(text).unwrap_or_else(|error| panic!("waiting for {text:?}: {error}"))
    }

    fn types(&mut self, keys: &str) {
        self.0.send(keys).and_then(|_| self.0.flush()).expect("the launcher listens");
    }
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
        run.require(number_after(&run, "the disk saw ") == 0, "a disk saw pages of ghost swap");
    }
    let story = run.log().lines().skip_while(|line| !line.starts_with("Act 1"));
    let wide = story.take_while(|line| !line.starts_with("quire: demo ")).find(|line| line.len() > 79);
    run.require(wide.is_none(), &format!("a line has more than 79 columns: {wide:?}"));
    run
}

/// The number that follows `words` in the log, wherever its lines are broken.
#[track_caller]
fn number_after(run: &Run, words: &str) -> u64 {
    let log = run.log().split_whitespace().collect::<Vec<_>>().join(" ");
    let found = log.split_once(words).and_then(|(_, rest)| {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    });
    run.require(found.is_some(), &format!("there is no number after \"{words}\""));
    found.unwrap_or_default()
}

/// The first row of the tables that is about `name`.
fn phase(run: &Run, name: &str) -> Phase {
    let row = run.log().lines().find_map(|line| line.strip_prefix(&format!("  {name} ")));
    run.require(row.is_some(), &format!("the table has no row \"{name}\""));
    let columns: Vec<&str> = row.into_iter().flat_map(str::split_whitespace).collect();
    let [out, write_requests, _, back, read_requests, _, _] = columns[..] else {
        panic!("the row \"{name}\" has other columns: {row:?}")
    };
    let number = |column: &str| column.parse().unwrap_or_else(|_| panic!("{column} is no number: {row:?}"));
    Phase { out: [out, write_requests].map(number), back: [back, read_requests].map(number) }
}

#[test]
fn the_demo_swaps_in_long_requests() {
    let run = demo(Size::mebibytes(64), Size::mebibytes(256));
    let Phase { out: [out, writes], back: [back, reads] } = phase(&run, "read in order");
    run.require(out > 8 * writes, &format!("in order: {writes} requests wrote {out} pages"));
    // How far ahead is read depends on whose slots lie between, which is the scheduler's and so the machine's.
    run.require(back > reads, &format!("in order: {reads} requests read {back} pages"));
}

#[test]
fn the_demo_runs_with_the_least_memory() {
    demo(Size::mebibytes(8), Size::mebibytes(64));
}

/// What a person sees: acts that need disks of the launcher's, in a terminal. The first show is interrupted, and the second one killed
/// with all its processes: the next finds nothing in its way.
#[test]
fn the_show_in_a_terminal_has_one_bar_fits_and_can_be_ended_at_any_time() {
    const PROMPT: &str = "quire:~# ";
    let image = Image::made_by_mkswap(64 << 8, &[]);
    let mut show = Command::new(launcher::program());
    show.args(["--memory", "48M", "--disk"]).arg(image.path());
    show.args(["--act", "2"]);
    let mut show = Terminal(spawn_command(show, Some(LIMIT)).expect("the launcher starts"));
    let boot = show.sees("Act 2 of 7");
    assert!(!boot.contains("ENOSYS"), "what every program of glibc's asks for is named as missing:\n{boot}");
    show.sees("write all");
    show.types("\x03");
    show.sees("What it had set up is undone:");
    show.sees("swapoff /tmp/demo/swapfile");
    show.sees(PROMPT);
    show.types("cat /proc/swaps; grep -c /tmp/demo /proc/mounts\r");
    let left = show.sees(PROMPT);
    let words = left.split_whitespace().skip_while(|word| *word != "Priority");
    assert!(words.eq(["Priority", "0"]), "areas or mounts are left:\n{left}");
    show.types("demo --act 2 >/dev/null & until grep -q swapfile /proc/swaps; do :; done; kill -9 -$!; wait\r");
    show.sees(PROMPT);
    show.types("demo --act 2 --act 5 --act 6 --act 7\r");
    show.sees("What it left is undone:");
    show.sees("swapoff /tmp/demo/swapfile");
    let said = show.sees(PROMPT);
    show.types("exit\r");
    let said = said + &show.0.exp_eof().expect("the launcher ends");
    let require = |holds: bool, what: &str| assert!(holds, "{what}:\n{said}");
    let story = said.split_once("Act 2 of 7: a swap file").map_or("", |(_, story)| story);
    let lines: Vec<&str> =
        story.split('\n').map(|line| line.trim_end_matches('\r').rsplit('\r').next().unwrap_or("")).collect();
    require(story.contains("\r  [#"), "there is no bar");
    require(lines.iter().all(|line| line.len() < 80), "a line is too wide for a terminal");
    let logged = |line: &&str| line.starts_with('[') && line.contains("] ");
    let until_end = lines.iter().take_while(|line| !line.starts_with("quire: demo ")).filter(|line| logged(line));
    require(until_end.count() == 0, "the kernel's log cuts into the story");
    let words = story.split_whitespace().collect::<Vec<_>>().join(" ");
    require(!words.contains("left out"), "an act was left out");
    require(words.contains("To remember: the file system was asked once, for "), "no swap file");
    require(words.contains("faults had to read in the one, 0 in the other"), "a process without a limit paid for one");
    require(words.contains("To remember: 0 of 300 pages came back wrong"), "a damaged page came back");
    require(!words.contains("it got SIGBUS: the page was changed 0 "), "no damaged page was noticed");
    let reads = |policy: usize| -> u64 {
        let row = lines.iter().find_map(|line| line.trim().strip_prefix("touches that had to read"));
        row.and_then(|row| row.split_whitespace().nth(policy)?.parse().ok()).unwrap_or_default()
    };
    require(
        reads(1) > 0 && reads(0) > 3 * reads(1) / 2,
        "fifo reads less than half as often again as the usual policy",
    );
    require(said.contains("quire: demo ok pages="), "the demo did not end well");
    require(said.contains("quire: success"), "the launcher did not end well");
}
