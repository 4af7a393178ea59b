//! L7, When disks fail: a mirror of two disks behind `SwapOps`, a race in a given piece of code, and the review of another's store.
//!
//! The lab's program has the testkit's kernel swap to the student's mirror, whose disks fail when a script says so. The race is
//! found by a schedule, which the lab's program runs line by line.

mod ask;
mod random;

use quire_boot::solution::MODEL;

use super::{
    definition::Lab,
    exam::{Exam, Found, Group},
    script::{self, Bug, Test, test},
    seed::Seed,
};
use ask::{ask, run};

pub(super) const LAB: Lab = Lab {
    name: "L7",
    title: "When disks fail: a mirror of two disks, a race found by a schedule, a review",
    week: 4,
    editable: &["lab/src/mirror.rs", "schedule.txt", "own-test.txt", "note.md"],
    from_quire: &["swap/Cargo.toml", "swap/clippy.toml", "swap/src", "swap/testkit", "docs/glossary.md"],
    members: &["swap", "swap/testkit"],
    crates: &["quire-swap", "quire-testkit"],
    dependencies: "quire-swap = { path = \"../swap\" }\nquire-testkit = { path = \"../swap/testkit\", default-features = false }\n",
    given: |seed| {
        let piece = piece(seed);
        let text =
            format!("Your schedule has to break this piece of lab/src/pieces.rs, which is yours:\n\n  piece {piece}\n");
        vec![script::bug_file(bug(seed)), ("piece.txt", text)]
    },
    references: &[MODEL, "reads-what-is-old", "mends-nothing", "all-or-nothing"],
    judge,
};

/// Bugs that a student's own test may have to find: which wrong mirror has it, and what it is.
const BUGS: [Bug; 3] = [
    ("reads-what-is-old", "a copy that could not be written is read later, though it is old"),
    ("mends-nothing", "a page that one disk could not read is not written to it again"),
    (
        "all-or-nothing",
        "if one folio of a batch can be written to no disk, the mirror says of all of them that they failed",
    ),
];

const TESTS: [Test; 4] = [
    test!("L7", "each page on both disks", "tests/pages.txt", 6),
    test!("L7", "reads that fail", "tests/reads.txt", 9),
    test!("L7", "writes that fail", "tests/writes.txt", 9),
    test!("L7", "a disk that is gone, and swapoff", "tests/gone.txt", 8),
];

const SCHEDULE: &str = "schedule.txt";

/// Pieces with a race in `lab/src/pieces.rs`.
const PIECES: [usize; 4] = [1, 2, 3, 4];

/// A schedule that is understood has not more turns than this.
const TURNS: usize = 5;

/// Hundredths of one disk's time: so much of it has all points for performance, and that none.
const FAST: u64 = 25;
const SLOW: u64 = 100;

fn bug(seed: Seed) -> Bug {
    seed.choose("bug", &BUGS)
}

fn piece(seed: Seed) -> usize {
    seed.choose("piece", &PIECES)
}

fn judge(exam: &mut Exam<'_>) {
    let (own, hidden) = (exam.seed, exam.hidden);
    for test in &TESTS {
        exam.check(Group::Correctness, test.name, test.points, |exam| script::run_each(exam, test, run));
    }
    exam.check(Group::Correctness, "random failures", 8, |exam| random::run(exam, own, 4).into());
    exam.check(Group::Correctness, "a schedule that breaks your piece", 10, |exam| schedule(exam, piece(own)).into());
    if let Some(hidden) = hidden {
        exam.check(Group::HiddenSeeds, "random failures, hidden seeds", 15, |exam| random::run(exam, hidden, 8).into());
    }
    let seed = hidden.unwrap_or(own);
    exam.check(Group::Performance, "two disks read faster than one", 15, |exam| speed(exam, seed).into());
    exam.check(Group::OwnTest, "own test", 5, |exam| script::own_test(exam, bug(own), run).into());
}

/// What the mirror does on the commands in a file of the student's tree.
///
/// # Errors
/// There is no such file, or the student's code has ended before its time.
pub(super) fn show(exam: &Exam<'_>, file: &str) -> Result<String, String> {
    script::show_file(exam, file, ask)
}

/// The student's schedule breaks the rule of the piece.
fn schedule(exam: &Exam<'_>, piece: usize) -> Result<Found, String> {
    let text = exam.text(SCHEDULE);
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let begin = format!("piece {piece}");
    if lines.first() != Some(&begin.as_str()) || lines[1..].iter().any(|line| !line.starts_with("run ")) {
        return Err(format!(
            "{SCHEDULE} has to begin with `{begin}`, as piece.txt says, and then has only lines `run TASK LINES`"
        ));
    }
    let mut subject = exam.subject()?;
    run(&mut subject, text, SCHEDULE)?;
    let answer = ask(&mut subject, "sound")?;
    if !answer.starts_with("no") {
        return Err(format!(
            "{SCHEDULE}: after it, and when all tasks have come to their ends, nothing is wrong: a line has to come between two of another task that belong together"
        ));
    }
    let turns = lines.len() - 1;
    Ok(if turns <= TURNS {
        Found::Right
    } else {
        Found::Part(7, format!("{SCHEDULE} breaks the piece in {turns} turns: {TURNS} are enough for each piece"))
    })
}

/// How long the disks take for reads of two tasks, beside one disk that has to do all of them.
fn speed(exam: &Exam<'_>, seed: Seed) -> Result<Found, String> {
    let mut subject = exam.subject()?;
    run(&mut subject, &random::streams(seed), "reads of two tasks")?;
    let mut number = |question| {
        let answer = ask(&mut subject, question)?;
        answer.parse::<u64>().map_err(|_| format!("`{question}` says `{answer}`"))
    };
    let (own, one) = (number("time")?, number("one-disk-time")?);
    let share = 100 * own / one.max(1);
    let points = 15 * SLOW.saturating_sub(share.max(FAST)) / (SLOW - FAST);
    Ok(if points == 15 {
        Found::Right
    } else {
        Found::Part(
            points as u32,
            format!(
                "the disks take {own}, one disk alone {one}: {share} %; {FAST} % have all points\nhint: which disk has its head before the slot, and which one has had less to do?"
            ),
        )
    })
}

#[cfg(test)]
#[path = "../../../../labs/L7/stub/lab/src/pieces.rs"]
#[rustfmt::skip]
#[expect(unreachable_pub, reason = "in the lab it is a crate's")]
mod pieces;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{
        PIECES, TURNS,
        pieces::{self, Running},
    };

    /// The fewest turns in which what follows breaks, if anything does. `left` are the tasks' lines that were not run.
    fn turns_to_break(
        running: &Running,
        left: &[(&'static str, usize)],
        most: usize,
        known: &mut HashMap<(Vec<usize>, usize, String), Option<usize>>,
    ) -> Option<usize> {
        if running.clone().end().is_err() {
            return Some(0);
        }
        let key = (left.iter().map(|(_, lines)| *lines).collect(), most, format!("{running:?}"));
        if let Some(turns) = known.get(&key) {
            return *turns;
        }
        let mut fewest = None;
        for task in 0..left.len() {
            for lines in 1..=left[task].1.min(if most == 0 { 0 } else { usize::MAX }) {
                let (mut after, mut rest) = (running.clone(), left.to_vec());
                after.run(left[task].0, lines).unwrap();
                rest[task].1 -= lines;
                let turns = turns_to_break(&after, &rest, most - 1, known).map(|turns| turns + 1);
                fewest = fewest.into_iter().chain(turns).min();
            }
        }
        known.insert(key, fewest);
        fewest
    }

    #[test]
    fn each_piece_breaks_in_a_few_turns_and_not_in_whole_ones() {
        for (number, piece) in PIECES.into_iter().zip(&pieces::PIECES) {
            let left: Vec<_> = piece.tasks.iter().map(|(name, lines)| (*name, lines.len())).collect();
            let running = Running::new(number).unwrap();
            let turns = turns_to_break(&running, &left, TURNS, &mut HashMap::new());
            assert!(turns.is_some_and(|turns| (1..=TURNS).contains(&turns)), "piece {number}: {turns:?}");
            for first in &left {
                for second in &left {
                    let mut running = running.clone();
                    _ = running.run(first.0, first.1);
                    _ = running.run(second.0, second.1);
                    assert_eq!(running.end(), Ok(()), "piece {number}: {} before {}", first.0, second.0);
                }
            }
        }
    }
}
