//! L2, A backend: a RAM disk behind `SwapOps`.
//!
//! The lab's program has the testkit's kernel swap to the student's disk. It is told what to do by scripts; what every page has
//! to hold is known here alone.

mod random;

use quire_boot::solution::MODEL;

use super::{
    definition::Lab,
    exam::{Exam, Group},
    script::{self, Test, test},
    seed::Seed,
    subject::Subject,
};

pub(super) const LAB: Lab = Lab {
    name: "L2",
    title: "A backend: a RAM disk with banks behind SwapOps",
    week: 2,
    editable: &["lab/src/ram_disk.rs", "own-test.txt", "note.md"],
    from_quire: &["swap/Cargo.toml", "swap/clippy.toml", "swap/src", "swap/testkit"],
    members: &["swap", "swap/testkit"],
    crates: &["quire-swap", "quire-testkit"],
    dependencies: "quire-swap = { path = \"../swap\" }\nquire-testkit = { path = \"../swap/testkit\", default-features = false }\n",
    given: |seed| {
        let text = format!("Your own test has to find this bug, which is yours:\n\n  {}\n", bug(seed).1);
        vec![("bug.txt", text)]
    },
    references: &[MODEL, "leaks", "first-page-only", "all-or-nothing"],
    judge,
};

/// Bugs that a student's own test may have to find: which wrong disk has it, and what it is.
const BUGS: [(&str, &str); 3] = [
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

/// The most lines in a student's own test.
const OWN_TEST_MAX: usize = 40;

fn bug(seed: Seed) -> (&'static str, &'static str) {
    BUGS[seed.random("bug").below(BUGS.len() as u64) as usize]
}

fn judge(exam: &mut Exam<'_>) {
    let (own, hidden) = (exam.seed, exam.hidden);
    for test in &TESTS {
        exam.check(Group::Correctness, test.name, test.points, |exam| {
            exam.subject().and_then(|mut subject| run(&mut subject, test.text, test.file)).into()
        });
    }
    exam.check(Group::Correctness, "random operations", 8, |exam| random::run(exam, own, 2).into());
    if let Some(hidden) = hidden {
        exam.check(Group::HiddenSeeds, "random operations, hidden seeds", 15, |exam| {
            random::run(exam, hidden, 6).into()
        });
    }
    let seed = hidden.unwrap_or(own);
    exam.check(Group::Performance, "batches as long as the rule allows", 15, |exam| random::spare(exam, seed));
    exam.check(Group::OwnTest, "own test", 5, |exam| script::own_test(exam, OWN_TEST_MAX, bug(own), run).into());
}

fn run(subject: &mut Subject, text: &str, file: &str) -> Result<(), String> {
    script::run(text, file, hint, |command| subject.ask_line(command))
}

/// What to look at when a command's answer is not as expected.
fn hint(command: &str) -> &'static str {
    match command.split_whitespace().next().unwrap_or_default() {
        "used" => "\nhint: `used` counts the pages that the disk has taken from its memory and not dropped",
        "slots" | "free-frames" => "\nhint: a folio that no one completes keeps its slot and its frame",
        "wrong-batches" => {
            "\nhint: look at can_merge: where does `previous` end, where does `next` begin, and in which bank is each?"
        }
        "read" => "\nhint: which slot does each page of a folio belong to, and what was told to the core about it?",
        _ => "",
    }
}
