//! L2, A backend: a RAM disk behind `SwapOps`.
//!
//! The lab's program has the testkit's kernel swap to the student's disk. It is told what to do by [`script`]s; what every
//! page has to hold is known here alone.

mod random;
mod script;

use quire_boot::solution::MODEL;

use super::{
    definition::Lab,
    exam::{Exam, Group},
    seed::Seed,
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

/// A test of the lab: what it is called, its commands, and its file in a student's tree.
struct Test {
    name: &'static str,
    text: &'static str,
    file: &'static str,
    points: u32,
}

macro_rules! test {
    ($name:literal, $file:literal, $points:literal) => {
        Test {
            name: $name,
            text: include_str!(concat!("../../../../labs/L2/stub/", $file)),
            file: $file,
            points: $points,
        }
    };
}

const TESTS: [Test; 5] = [
    test!("pages come back", "tests/pages.txt", 10),
    test!("the merge rule", "tests/merge.txt", 8),
    test!("no room: partial failure", "tests/no-room.txt", 12),
    test!("a lost page", "tests/lost.txt", 5),
    test!("freed slots", "tests/freed.txt", 7),
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
            exam.subject().and_then(|mut subject| script::run(&mut subject, test.text, test.file)).into()
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
    exam.check(Group::OwnTest, "own test", 5, |exam| own_test(exam, bug(own)).into());
}

/// The student's own test passes with a right disk, and fails with the one that has the bug.
fn own_test(exam: &Exam<'_>, (name, what): (&str, &str)) -> Result<(), String> {
    let text = exam.text("own-test.txt");
    if script::expectations(text) == 0 {
        return Err("own-test.txt has no line with `=`, so it expects nothing".to_owned());
    }
    if text.lines().count() > OWN_TEST_MAX {
        return Err(format!("own-test.txt has more than {OWN_TEST_MAX} lines"));
    }
    // In a student's tree there is the student's disk alone.
    let right = exam.reference(MODEL).unwrap_or_else(|| exam.subject());
    script::run(&mut right?, text, "own-test.txt")?;
    let Some(wrong) = exam.reference(name) else { return Ok(()) };
    match script::run(&mut wrong?, text, "own-test.txt") {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("own-test.txt passes although {what}: it does not find your bug")),
    }
}
