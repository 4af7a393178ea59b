//! L3, Counts: six machines whose cores have a planted bug each, of which the student has the programs and the source of the core
//! that is right.
//!
//! A hand-in has no code: tests that are commands for the machines, and a file that says where the bugs are. So a comparison
//! of sources finds none.

mod findings;

use std::{fmt::Write as _, path::Path};

use super::{
    definition::Lab,
    exam::{Exam, Found, Group},
    planted::{self, Bug},
    script,
    seed::{Random, Seed},
    words::counted,
};

use findings::Findings;

pub(super) const LAB: Lab = Lab {
    name: "L3",
    title: "Counts: six machines with a fault each, of which you find out what and where",
    week: 2,
    editable: &[
        "findings.txt",
        "tests/a.txt",
        "tests/b.txt",
        "tests/c.txt",
        "tests/d.txt",
        "tests/e.txt",
        "tests/f.txt",
        "suite.txt",
        "note.md",
    ],
    from_quire: &["swap/Cargo.toml", "swap/clippy.toml", "swap/src", "swap/testkit", "docs/glossary.md"],
    members: &["swap", "swap/testkit"],
    crates: &["quire-swap", "quire-testkit"],
    dependencies: "quire-swap = { path = \"../swap\" }\nquire-testkit = { path = \"../swap/testkit\", default-features = false }\n",
    given: |_| Vec::new(),
    references: &[],
    judge,
};

/// A machine of a student's: its letter, the name of its check, and its test.
const MACHINES: [(&str, &str, &str); 6] = [
    ("A", "machine A", "tests/a.txt"),
    ("B", "machine B", "tests/b.txt"),
    ("C", "machine C", "tests/c.txt"),
    ("D", "machine D", "tests/d.txt"),
    ("E", "machine E", "tests/e.txt"),
    ("F", "machine F", "tests/f.txt"),
];

/// Bugs are of three kinds, so many of each, one kind after the other: counts of PTEs; who has a folio; order and failures.
const KINDS: u32 = 3;
const OF_A_KIND: u32 = 6;
/// So many of each are a student's.
const CHOSEN: usize = MACHINES.len() / KINDS as usize;

/// Machines that a student has never seen.
const UNSEEN: usize = 5;

/// Points for a test that finds its machine's bug, and for the place.
const TEST: u32 = 5;
const PLACE: u32 = 3;

/// The most lines in a test, and in the suite.
const TEST_MAX: usize = 40;
const SUITE_MAX: usize = 120;

/// Commands of the six tests together for which all points are given, and for which none.
const SHORT: usize = 90;
const LONG: usize = 240;

fn shuffle(random: &mut Random, numbers: &mut [u32]) {
    for last in (1..numbers.len()).rev() {
        numbers.swap(last, random.below(last as u64 + 1) as usize);
    }
}

/// The bugs of a student's machines, and the others.
fn chosen(seed: Seed) -> (Vec<u32>, Vec<u32>) {
    let mut random = seed.random("machines");
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for kind in 0..KINDS {
        let mut numbers: Vec<u32> = (1..=OF_A_KIND).map(|number| kind * OF_A_KIND + number).collect();
        shuffle(&mut random, &mut numbers);
        others.extend(numbers.split_off(CHOSEN));
        own.extend(numbers);
    }
    shuffle(&mut random, &mut own);
    (own, others)
}

fn judge(exam: &mut Exam<'_>) {
    let (own, mut others) = chosen(exam.seed);
    let findings = exam.text("findings.txt").to_owned();
    let findings = Findings::read(&findings);
    // Where the bugs are is a tutor's to know.
    let bugs = exam.hidden.map(|_| planted::bugs(&LAB).map_err(|error| error.to_string()));
    let max = if bugs.is_some() { TEST + PLACE } else { TEST };
    let mut commands = Vec::new();
    for ((letter, name, file), number) in MACHINES.into_iter().zip(&own) {
        exam.check(Group::Correctness, name, max, |exam| {
            let text = exam.text(file);
            let mut words = Vec::new();
            let mut points = 0;
            match finds(exam, text, file, TEST_MAX, *number) {
                Ok(()) => {
                    points += TEST;
                    commands.push(script::commands(text));
                }
                Err(why) => words.push(why),
            }
            let bug = bugs.as_ref().map(|bugs| bug(bugs, *number));
            match findings.place(letter).and_then(|place| bug.map_or(Ok(()), |bug| is_at(bug?, letter, place))) {
                Ok(()) if max > TEST => points += PLACE,
                Ok(()) => {}
                Err(why) => words.push(why),
            }
            Found::Part(points, words.join("\n"))
        });
    }
    exam.check(Group::Correctness, "six sentences", 2, |_| {
        let missing = MACHINES.iter().find_map(|(letter, ..)| findings.sentence(letter).err());
        missing.map_or(Ok(()), Err).into()
    });
    if let Some(hidden) = exam.hidden {
        exam.check(Group::HiddenSeeds, "machines that you have not seen", 15, |exam| {
            shuffle(&mut hidden.random("unseen"), &mut others);
            suite(exam, &others[..UNSEEN], 15, "that you have not seen")
        });
    }
    exam.check(Group::Performance, "short tests", 15, |_| short(&commands));
    exam.check(Group::OwnTest, "the suite finds your six", 5, |exam| suite(exam, &own, 5, "of yours"));
}

fn bug(bugs: &Result<Vec<Bug>, String>, number: u32) -> Result<&Bug, String> {
    let bugs = bugs.as_ref().map_err(Clone::clone)?;
    bugs.iter().find(|bug| bug.number == number).ok_or_else(|| format!("there is no bug {number}"))
}

/// Whether the place is where the bug is.
fn is_at(bug: &Bug, letter: &str, place: &str) -> Result<(), String> {
    planted::is_function(place).map_err(|words| format!("findings.txt, {letter}.place: {words}"))?;
    if bug.places.iter().any(|other| other == place) {
        return Ok(());
    }
    Err(format!("findings.txt, {letter}.place: what is wrong with machine {letter} is not in `{place}`"))
}

/// The program that has the machine of this number, or the one without a bug.
fn program<'a>(exam: &Exam<'a>, number: u32) -> Result<&'a Path, String> {
    let program = match number {
        planted::NONE => exam.program.as_ref().map_err(Clone::clone)?,
        _ => exam.references.get(planted::MACHINES).ok_or("tool/machines is not there: start the lab again")?,
    };
    Ok(program)
}

fn run(exam: &Exam<'_>, text: &str, file: &str, number: u32) -> Result<(), String> {
    planted::run(program(exam, number)?, number, text, file)
}

/// What the core that is right answers to the commands in a file of the student's tree, and which of the student's machines say
/// something else.
///
/// # Errors
/// There is no such file, or no machine.
pub(super) fn show(exam: &Exam<'_>, file: &str) -> Result<String, String> {
    let start = |number| planted::machine(program(exam, number)?, number);
    let mut right = start(planted::NONE)?;
    let letters = MACHINES.iter().map(|(letter, ..)| *letter);
    let machines = letters.zip(chosen(exam.seed).0).map(|(letter, number)| Ok((letter, start(number)?)));
    let mut machines = machines.collect::<Result<Vec<_>, String>>()?;
    script::show(exam, file, |command| {
        let expected = right.ask_line(command)?;
        let mut others = String::new();
        machines.retain_mut(|(letter, machine)| {
            let answer = machine.ask_line(command);
            if answer.as_ref() != Ok(&expected) {
                let says = answer.as_ref().map_or_else(Clone::clone, |answer| format!("`{answer}`"));
                _ = write!(others, "   {letter}: {says}");
            }
            // One that has panicked is over.
            answer.is_ok()
        });
        Ok((expected, others))
    })
}

/// The test is one, and passes on the core that is right.
fn is_test(exam: &Exam<'_>, text: &str, file: &str, most: usize) -> Result<(), String> {
    if script::expectations(text) == 0 {
        return Err(format!("{file} has no line with `=`, so it expects nothing"));
    }
    if text.lines().count() > most {
        return Err(format!("{file} has more than {most} lines"));
    }
    let passed = run(exam, text, file, planted::NONE);
    passed.map_err(|words| format!("fails with a core that is right, so it says nothing about another one: {words}"))
}

/// The test passes on the core that is right and fails on that of this number.
fn finds(exam: &Exam<'_>, text: &str, file: &str, most: usize, number: u32) -> Result<(), String> {
    is_test(exam, text, file, most)?;
    match run(exam, text, file, number) {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("{file} passes on its machine: it does not find what is wrong there")),
    }
}

/// How many of the machines the suite finds.
fn suite(exam: &Exam<'_>, numbers: &[u32], points: u32, which: &str) -> Found {
    let (text, file) = (exam.text("suite.txt"), "suite.txt");
    if let Err(words) = is_test(exam, text, file, SUITE_MAX) {
        return Found::Wrong(words);
    }
    let found = numbers.iter().filter(|number| run(exam, text, file, **number).is_err()).count();
    let points = points * found as u32 / numbers.len() as u32;
    if found == numbers.len() {
        return Found::Right;
    }
    Found::Part(points, format!("suite.txt finds {found} of {} machines {which}", numbers.len()))
}

/// Whether the tests that find something are short.
fn short(commands: &[usize]) -> Found {
    let sum: usize = commands.iter().sum();
    // One that finds nothing is not short, however few commands it has.
    let left = 15 * LONG.saturating_sub(sum.max(SHORT)) / (LONG - SHORT) * commands.len() / MACHINES.len();
    if left == 15 {
        return Found::Right;
    }
    let words = format!(
        "{}, with {}: six with at most {SHORT} have all points",
        counted(commands.len(), "test finds its machine", "tests find their machines"),
        counted(sum, "command", "commands")
    );
    Found::Part(left as u32, words)
}

#[cfg(test)]
mod tests {
    use super::{KINDS, OF_A_KIND, Seed, chosen};

    #[test]
    fn each_student_has_two_bugs_of_each_kind() {
        let mut all = Vec::new();
        for id in ["a", "b", "s123", "model"] {
            let (own, others) = chosen(Seed::new("L3", &id.parse().unwrap(), b""));
            for kind in 0..KINDS {
                assert_eq!(own.iter().filter(|number| (**number - 1) / OF_A_KIND == kind).count(), 2, "{own:?}");
            }
            let mut numbers = [own.clone(), others].concat();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(1..=KINDS * OF_A_KIND));
            all.push(own);
        }
        all.dedup();
        assert_eq!(all.len(), 4);
    }
}
