//! L2, A backend: a RAM disk behind `SwapOps`.
//!
//! The lab's program has the testkit's kernel swap to the student's disk. It is told what to do by scripts; what every page has
//! to hold is known here alone.

mod ask;
mod random;

use quire_boot::solution::MODEL;

use self::ask::{ask, hint, last_batches};
use super::{
    definition::Lab,
    exam::{Exam, Group},
    script::{self, Bug, Test, test},
    seed::Seed,
    subject::Subject,
};

pub(super) const LAB: Lab = Lab {
    name: "L2",
    title: "A backend: a RAM disk with banks behind SwapOps",
    week: 2,
    editable: &["lab/src/ram_disk.rs", "own-test.txt", "note.md"],
    from_quire: &["swap/Cargo.toml", "swap/clippy.toml", "swap/src", "swap/testkit", "docs/glossary.md"],
    members: &["swap", "swap/testkit"],
    crates: &["quire-swap", "quire-testkit"],
    dependencies: "quire-swap = { path = \"../swap\" }\nquire-testkit = { path = \"../swap/testkit\", default-features = false }\n",
    given: |seed| vec![script::bug_file(bug(seed))],
    references: &[MODEL, "leaks", "first-page-only", "all-or-nothing"],
    judge,
};

/// Bugs that a student's own test may have to find: which wrong disk has it, and what it is.
const BUGS: [Bug; 3] = [
    ("leaks", "the disk keeps the pages of slots that were freed"),
    ("first-page-only", "of a folio of several pages the disk stores the first one only"),
    (
        "all-or-nothing",
        "if there is no room for one folio of a batch, the disk says of all of them that there was none",
    ),
];

const TESTS: [Test; 5] = [
    test!("L2", "pages come back", "tests/pages.txt", 10),
    test!("L2", "the merge rule", "tests/merge.txt", 8),
    test!("L2", "no room: partial failure", "tests/no-room.txt", 12),
    test!("L2", "a lost page", "tests/lost.txt", 5),
    test!("L2", "freed slots", "tests/freed.txt", 7),
];

fn bug(seed: Seed) -> Bug {
    seed.choose("bug", &BUGS)
}

fn judge(exam: &mut Exam<'_>) {
    let (own, hidden) = (exam.seed, exam.hidden);
    for test in &TESTS {
        exam.check(Group::Correctness, test.name, test.points, |exam| script::run_each(exam, test, run));
    }
    exam.check(Group::Correctness, "random operations", 8, |exam| random::run(exam, own, 2).into());
    if let Some(hidden) = hidden {
        exam.check(Group::HiddenSeeds, "random operations, hidden seeds", 15, |exam| {
            random::run(exam, hidden, 6).into()
        });
    }
    let seed = hidden.unwrap_or(own);
    exam.check(Group::Performance, "batches as long as the rule allows", 15, |exam| random::spare(exam, seed));
    exam.check(Group::OwnTest, "own test", 5, |exam| script::own_test(exam, bug(own), run).into());
}

fn run(subject: &mut Subject, text: &str, file: &str) -> Result<(), String> {
    let result = script::run(text, file, hint, |command| ask(subject, command));
    result.map_err(|words| words + &last_batches(subject))
}

/// What the disk does on the commands in a file of the student's tree.
///
/// # Errors
/// There is no such file, or the student's code has ended before its time.
pub(super) fn show(exam: &Exam<'_>, file: &str) -> Result<String, String> {
    script::show_file(exam, file, ask)
}
