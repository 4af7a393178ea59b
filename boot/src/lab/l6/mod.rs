//! L6, Less memory for the same pages: a store that keeps equal pages once, and others in fewer bytes than they have.
//!
//! The student's store is asked to keep, give back and free pages, which are known here alone. The lab's program counts all
//! memory that it takes, and each word of pages and of the heap that it reads or writes.

mod bench;
mod pages;
mod random;

use super::{
    definition::Lab,
    exam::{Exam, Found, Group},
    script::{self, Bug, Test, test},
    seed::Seed,
    subject::Subject,
};
use bench::Bench;
use quire_boot::solution::MODEL;

pub(super) const LAB: Lab = Lab {
    name: "L6",
    title: "Less memory for the same pages: a store that finds what is equal, nearly equal, or nearly empty",
    week: 4,
    editable: &["lab/src/store.rs", "own-test.txt", "note.md"],
    from_quire: &["swap/compressed/src/store/mod.rs", "swap/compressed/src/store/geometry.rs"],
    members: &[],
    crates: &[],
    dependencies: "",
    given: |seed| vec![script::bug_file(bug(seed))],
    references: &[MODEL, "believes-the-sum", "forgets-the-others", "leaks-the-last"],
    judge,
};

/// Bugs that a student's own test may have to find: which wrong store has it, and what it is.
const BUGS: [Bug; 3] = [
    ("believes-the-sum", "pages whose words have the same sum are taken to be equal, and are not compared"),
    ("forgets-the-others", "when one of several equal pages is freed, the others are gone too"),
    ("leaks-the-last", "of equal pages, the heap gets nothing back when the last one is stored over by another page"),
];

const TESTS: [Test; 6] = [
    test!("L6", "pages come back", "tests/pages.txt", 8),
    test!("L6", "memory comes back", "tests/freed.txt", 8),
    test!("L6", "one word, again and again", "tests/same.txt", 6),
    test!("L6", "equal pages are there once", "tests/equal.txt", 10),
    test!("L6", "when it is full", "tests/full.txt", 10),
    // Its name says what it is for.
    test!("L6", "pages that are nearly equal", "tests/near.txt", 2),
];

/// For so many bytes of pages in a hundred bytes of memory there are all points, and for that no more than what a copy has.
const DENSE: u64 = 210;
const PLAIN: u64 = 110;
/// Cost has points only for a store that has this density, since copies cost little.
const DENSE_ENOUGH: u64 = 150;

/// For so many words a page there are all points, and none for that.
const CHEAP: u64 = 2000;
const DEAR: u64 = 6000;

fn bug(seed: Seed) -> Bug {
    seed.choose("bug", &BUGS)
}

fn judge(exam: &mut Exam<'_>) {
    let (own, hidden) = (exam.seed, exam.hidden);
    for test in &TESTS {
        exam.check(Group::Correctness, test.name, test.points, |exam| {
            exam.subject().and_then(|mut subject| run(&mut subject, test.text, test.file)).into()
        });
    }
    exam.check(Group::Correctness, "random operations", 6, |exam| random::run(exam, own, 2).into());
    if let Some(hidden) = hidden {
        exam.check(Group::HiddenSeeds, "random operations, hidden seeds", 15, |exam| {
            random::run(exam, hidden, 6).into()
        });
    }
    let measured = random::measure(exam, hidden.unwrap_or(own));
    exam.check(Group::Performance, "density", 10, |_| match &measured {
        Err(words) => Found::Wrong(words.clone()),
        Ok(measured) => {
            let points = 10 * measured.density.clamp(PLAIN, DENSE).abs_diff(PLAIN) / (DENSE - PLAIN);
            let words = format!(
                "a mix of pages takes 100 bytes of memory for {} of pages; for {DENSE} there are all points",
                measured.density
            );
            Found::Part(u32::try_from(points).unwrap_or(0), words)
        }
    });
    exam.check(Group::Performance, "words touched", 5, |_| match &measured {
        Err(words) => Found::Wrong(words.clone()),
        Ok(measured) if measured.density < DENSE_ENOUGH => Found::Wrong(format!(
            "a page that is stored and loaded costs {} words that are read or written, which counts for a store that keeps {DENSE_ENOUGH} bytes of pages in 100 bytes; yours keeps {}",
            measured.words, measured.density
        )),
        Ok(measured) => {
            let points = 5 * measured.words.clamp(CHEAP, DEAR).abs_diff(DEAR) / (DEAR - CHEAP);
            let words = format!(
                "a page that is stored and loaded costs {} words that are read or written; up to {CHEAP} have all points",
                measured.words
            );
            Found::Part(u32::try_from(points).unwrap_or(0), words)
        }
    });
    exam.check(Group::OwnTest, "own test", 5, |exam| script::own_test(exam, bug(own), run).into());
}

fn run(subject: &mut Subject, text: &str, file: &str) -> Result<(), String> {
    let mut bench = Bench::new(subject, 1 << 20).map_err(|words| format!("{file}: your code {words}"))?;
    script::run(text, file, hint, |command| bench.answer(command))
}

/// What to look at when a command's answer is not as expected.
fn hint(command: &str) -> &'static str {
    match command.split_whitespace().next().unwrap_or_default() {
        "used" | "used-at-most" => {
            "\nhint: either more is taken for a page than it needs, or a chunk is held that should have been dropped"
        }
        "held-at-most" => "\nhint: what do your maps and vectors keep?",
        "compared-at-least" => {
            "\nhint: when a sum is found, is the page that it leads to read and compared, word by word?"
        }
        "load" => "\nhint: whose contents does this key lead to, and what was done to them since?",
        _ => "",
    }
}
