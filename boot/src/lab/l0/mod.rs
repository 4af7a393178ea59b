//! L0, Where did my page go?: a student follows one page out of memory and in again, and says what he found in numbers.
//!
//! The machine and what it does follow from the seed. The grader boots the same one and looks at what its kernel has noted
//! ([`truth`]); nothing that the guest prints is read.

mod truth;
mod walk;

use super::{
    answers::value,
    definition::Lab,
    exam::{Exam, Found, Group},
};
use truth::{Came, Truth};
use walk::Walk;

pub(super) const LAB: Lab = Lab {
    name: "L0",
    title: "Where did my page go? One page out of memory and in again, followed from outside",
    week: 1,
    editable: &["answers.txt", "note.md"],
    from_quire: &[
        "boot/programs/src/walk.rs",
        "kernel/memory/src/fault/mod.rs",
        "swap/src/take.rs",
        "swap/src/write.rs",
        "swap/src/read.rs",
        "swap/src/readahead.rs",
        "docs/glossary.md",
    ],
    members: &[],
    crates: &[],
    dependencies: "",
    given: |seed| vec![("machine.txt", Walk::new(seed).text())],
    references: &[],
    judge,
};

/// A question: its name in answers.txt, its answer, its points, and what to look at when that is wrong.
type Question = (&'static str, fn(&Walk, &Truth) -> u64, u32, &'static str);

const OUT: [Question; 3] = [
    ("slot", |_, truth| truth.slot, 10, "`inspect page` behind step 2: the PTE says where the page is"),
    (
        "slots taken",
        |_, truth| truth.slots,
        8,
        "`inspect` behind step 2: the swap area's slots in use; which pages have one?",
    ),
    ("pages in its batch", |_, truth| truth.batch, 10, "how many pages went, and which of them had to be written?"),
];

const BACK: [Question; 2] = [
    (
        "major faults",
        |_, truth| count(truth, Came::Major),
        12,
        "faults of steps 3 and 4 that had to read; others found their page in memory",
    ),
    (
        "minor faults",
        |_, truth| count(truth, Came::Minor),
        10,
        "faults of steps 3 and 4 that found their page in the swap cache",
    ),
];

const COST: [Question; 2] = [
    (
        "read batches",
        |_, truth| truth.reads.len() as u64,
        8,
        "a batch is what one plug hands to the disk: a gap between slots ends it",
    ),
    (
        "longest read batch",
        |_, truth| truth.reads.iter().copied().max().unwrap_or(0),
        7,
        "the most pages that came by one of them",
    ),
];

const WITHOUT: [Question; 1] = [(
    "major faults without readahead",
    |walk, _| walk.range().filter(|page| !walk.is_zero(*page)).count() as u64,
    5,
    "with `vm.page-cluster` at 0 nothing is read but the page that is wanted; which pages are never read?",
)];

/// Pages that the grader asks about, and points for each.
const ASKED: u64 = 5;
const ASKED_POINTS: u32 = 3;

fn count(truth: &Truth, how: Came) -> u64 {
    truth.came.iter().filter(|came| **came == how).count() as u64
}

/// The number behind `name =`, in hexadecimal with 0x before it.
fn number(text: &str, name: &str) -> Result<u64, String> {
    let value = value(text, name).ok_or_else(|| format!("answers.txt: there is no number after `{name} =`"))?;
    let parsed = match value.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => value.parse(),
    };
    parsed.map_err(|_| format!("answers.txt: `{value}` after `{name} =` is no number, as in 4711 or 0x1267"))
}

fn judge(exam: &mut Exam<'_>) {
    let walk = Walk::new(exam.seed);
    // In a student's tree there is no kernel: only the form is judged.
    let truth = exam.hidden.map(|_| truth::of(walk));
    let text = exam.text("answers.txt").to_owned();
    exam.check(Group::Correctness, "the way out", 28, |_| ask(&text, &walk, truth.as_ref(), &OUT));
    exam.check(Group::Correctness, "the way in", 22, |_| ask(&text, &walk, truth.as_ref(), &BACK));
    exam.check(Group::Performance, "what it cost", 15, |_| ask(&text, &walk, truth.as_ref(), &COST));
    exam.check(Group::OwnTest, "a machine that you did not see", 5, |_| ask(&text, &walk, truth.as_ref(), &WITHOUT));
    let letters = letters(&text, &walk);
    match (exam.hidden, truth) {
        (Some(hidden), Some(truth)) => exam.check(Group::HiddenSeeds, "how each page came", 15, |_| {
            let (letters, truth) = match (letters, truth) {
                (Ok(letters), Ok(truth)) => (letters, truth),
                (Err(words), _) | (_, Err(words)) => return Found::Wrong(words),
            };
            let mut random = hidden.random("pages");
            let asked: Vec<u64> = (0..ASKED).map(|_| random.below(walk.count)).collect();
            let wrong: Vec<String> = asked
                .iter()
                .filter(|index| letters[**index as usize] != truth.came[**index as usize].letter())
                .map(|index| (walk.first + index).to_string())
                .collect();
            if wrong.is_empty() {
                return Found::Right;
            }
            let points = ASKED_POINTS * (ASKED as u32 - wrong.len() as u32);
            Found::Part(
                points,
                format!("answers.txt: page {} came in another way than `how each came` says", wrong.join(", ")),
            )
        }),
        _ => exam.check(Group::Correctness, "how each page came: the form", 1, |_| letters.map(drop).into()),
    }
}

/// A letter for each page that went.
fn letters(text: &str, walk: &Walk) -> Result<Vec<char>, String> {
    let letters: Vec<char> =
        value(text, "how each came").unwrap_or_default().chars().filter(|letter| !letter.is_whitespace()).collect();
    if letters.len() as u64 == walk.count && letters.iter().all(|letter| "Mm0".contains(*letter)) {
        return Ok(letters);
    }
    Err(format!(
        "answers.txt: after `how each came =` there are {} letters; {} are asked for, M, m or 0 for each page from {} on",
        letters.len(),
        walk.count,
        walk.first
    ))
}

/// Asks these questions. Without the truth each answer that is a number counts.
fn ask(text: &str, walk: &Walk, truth: Option<&Result<Truth, String>>, questions: &[Question]) -> Found {
    let (mut points, mut words) = (0, Vec::new());
    for (name, answer, worth, hint) in questions {
        match (number(text, name), truth) {
            (Err(why), _) => words.push(why),
            (Ok(_), Some(Err(why))) => return Found::Wrong(why.clone()),
            (Ok(said), Some(Ok(truth))) if said != answer(walk, truth) => {
                words.push(format!("answers.txt: `{name}` is not {said}. Look: {hint}"));
            }
            (Ok(_), _) => points += worth,
        }
    }
    Found::Part(points, words.join("\n"))
}
