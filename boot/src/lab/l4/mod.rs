//! L4, Your policy in the kernel: one file of the kernel's, behind the kernel's own trait.
//!
//! The lab's program has the kernel's policies, the student's among them, and the kernel's replay of what a cgroup does: faults, looks
//! at accessed bits, shadows. It is given one access after the other, and none before it is made. What faults and looks are worth is
//! judged here, beside policies that are run here.

mod booted;
mod copies;
mod mixes;

use std::{collections::BTreeSet, fmt::Write as _};

use quire_boot::solution::MODEL;
use quire_memory::policy::{
    Instance,
    replay::{Counts, Replay},
};
use quire_protocol::references::Generator;

use super::{
    definition::Lab,
    exam::{Exam, Found, Group},
    script::{self, Bug, Test, test},
    seed::Seed,
    subject::Subject,
};
use crate::policy::optimal;
use mixes::Mix;

const FILE: &str = "kernel/memory/src/policy/policies/own.rs";

pub(super) const LAB: Lab = Lab {
    name: "L4",
    title: "Your policy in the kernel: behind the kernel's trait, with accessed bits, shadows and cgroups",
    week: 3,
    editable: &[FILE, "own-test.txt", "note.md"],
    from_quire: &[
        "swap/Cargo.toml",
        "swap/clippy.toml",
        "swap/src",
        "kernel/protocol/Cargo.toml",
        "kernel/protocol/src",
        "kernel/machine/src/frame.rs",
        "kernel/memory/src/policy",
        "docs/glossary.md",
    ],
    members: &["swap", "kernel/protocol"],
    crates: &["quire-swap", "quire-protocol"],
    dependencies: "quire-protocol = { path = \"../kernel/protocol\" }\nquire-swap = { path = \"../swap\" }\n",
    given: |seed| vec![script::bug_file(bug(seed)), ("kernel/memory/src/policy/policies/mod.rs", table_with_own())],
    references: &[MODEL, "takes-all-for-hot", "forgets-who-left"],
    judge,
};

/// Bugs that a student's own test may have to find: which wrong policy has it, and what it is.
const BUGS: [Bug; 2] = [
    ("takes-all-for-hot", "a page that comes for the first time is kept as long as one that is used again and again"),
    ("forgets-who-left", "a page that comes back soon after it left is taken for one that was never there"),
];

const TESTS: [Test; 5] = [
    test!("L4", "what each policy promises", "tests/rules.txt", 10),
    test!("L4", "a scan passes by", "tests/scan.txt", 8),
    test!("L4", "a loop larger than memory", "tests/loop.txt", 6),
    test!("L4", "a new working set gets in", "tests/change.txt", 6),
    test!("L4", "cgroups do not meet", "tests/cgroups.txt", 5),
];

/// What is touched in the booted kernel, with so many frames in its cgroup.
const BOOTED: &str = "zipf-loop";
const BOOTED_FRAMES: usize = 1000;

/// The whole way from two-list's hits to OPT's is 100; for so much of it there are all points.
const WAY_FOR_ALL: i64 = 40;

/// Looks at pages for a hundred faults: for so many there are all points, for that none.
const FEW_LOOKS: u64 = 200;
const MANY_LOOKS: u64 = 400;

/// Mixes of the hidden seed.
const HIDDEN: usize = 3;

fn bug(seed: Seed) -> Bug {
    seed.choose("bug", &BUGS)
}

/// The kernel's table of policies with the student's in it.
fn table_with_own() -> String {
    let table = include_str!("../../../../kernel/memory/src/policy/policies/mod.rs");
    table.replacen("mod mglru;\n", "mod mglru;\nmod own;\n", 1).replacen(
        "\npolicies! {\n",
        "\npolicies! {\n    \"own\": own::Own,\n",
        1,
    )
}

fn judge(exam: &mut Exam<'_>) {
    let (own, hidden) = (exam.seed, exam.hidden);
    let copied = copies::copied(exam.text(FILE)).map(|name| {
        format!("this is Quire's `{name}` with other names and comments: what it does is known, and has no points here")
    });
    for test in &TESTS {
        exam.check(Group::Correctness, test.name, test.points, |exam| {
            exam.subject().and_then(|mut subject| run(&mut subject, test.text, test.file)).into()
        });
    }
    // One that copies has what the copied one does, and not what is asked for: a new one.
    let of_ones_own = |found: Found| copied.clone().map_or(found, Found::Wrong);
    exam.check(Group::Correctness, "no more faults than two-list", 8, |exam| {
        of_ones_own(measure(exam, &mixes::mix(own, 0)).and_then(|measured| measured.beats_two_list()).into())
    });
    let keeps_promises = exam.checks.iter().all(|check| check.points == check.max);
    exam.check(Group::Correctness, "booted: no more reads than two-list", 7, |exam| {
        if !exam.boots {
            return Found::Open("not booted: up to 7 points are open".to_owned());
        }
        // A kernel that finds no frame says less about a policy than the host's tests do.
        if !keeps_promises {
            return Found::Wrong("it is booted when all of the tests above pass".to_owned());
        }
        of_ones_own(reads_booted(exam, hidden.unwrap_or(own)))
    });
    let measured: Vec<Result<Measured, String>> =
        (0..HIDDEN).map(|number| measure(exam, &mixes::mix(hidden.unwrap_or(own), number))).collect();
    if hidden.is_some() {
        exam.check(Group::HiddenSeeds, "no more faults than two-list, hidden seeds", 15, |_| {
            let results = measured.iter().map(|measured| measured.as_ref().map_err(Clone::clone)?.beats_two_list());
            let wrong: Vec<String> = results.filter_map(Result::err).collect();
            let right = HIDDEN - wrong.len();
            let first = wrong.into_iter().next();
            of_ones_own(first.map_or(Found::Right, |words| Found::Part((15 / HIDDEN * right) as u32, words)))
        });
    }
    let measured: Result<Vec<Measured>, String> = measured.into_iter().collect();
    exam.check(Group::Performance, "how far from two-list to OPT", 10, |_| {
        of_ones_own(measured.as_deref().map_or_else(|words| Found::Wrong(words.clone()), way))
    });
    exam.check(Group::Performance, "looks for a fault", 5, |_| {
        of_ones_own(measured.as_deref().map_or_else(|words| Found::Wrong(words.clone()), looks))
    });
    exam.check(Group::OwnTest, "own test", 5, |exam| script::own_test(exam, bug(own), run).into());
}

fn run(subject: &mut Subject, text: &str, file: &str) -> Result<(), String> {
    script::run(text, file, hint, |command| subject.ask_line(command))
}

/// What to look at when a command's answer is not as expected.
fn hint(command: &str) -> &'static str {
    match command.split_whitespace().next().unwrap_or_default() {
        "access" | "faults-at-most" => {
            "\nhint: which list was each of these pages in, and what did the look at it find?"
        }
        "looks-at-most" => "\nhint: which pages does next() give again and again, although they stay?",
        "apart" => "\nhint: what the policy knows is in its own struct; a `static` is one for all cgroups",
        _ => "",
    }
}

/// What a policy made of a mix.
struct Measured {
    frames: usize,
    faults: u64,
    looks: u64,
    two_list: u64,
    clock: u64,
    best: u64,
}

impl Measured {
    fn beats_two_list(&self) -> Result<(), String> {
        let Self { frames, faults, two_list, clock, best, .. } = self;
        if faults <= two_list {
            return Ok(());
        }
        Err(format!("a mix with {frames} frames: {faults} faults; two-list has {two_list}, clock {clock}, OPT {best}"))
    }
}

fn counts(name: &str, mix: &Mix) -> Counts {
    let Some(policy) = Instance::named(name) else { return Counts::default() };
    let mut replay = Replay::new(policy, mix.frames);
    for page in &mix.pages {
        replay.access(u64::from(*page));
    }
    replay.counts()
}

fn optimal_faults(mix: &Mix) -> u64 {
    let end = mix.pages.iter().max().map_or(0, |page| *page as usize + 1);
    (mix.pages.len() - optimal::hits(&mix.pages, mix.frames, end)) as u64
}

/// Makes the accesses.
///
/// # Errors
/// The student's code has no answer.
fn measure(exam: &Exam<'_>, mix: &Mix) -> Result<Measured, String> {
    let ended =
        |words: String| format!("a mix of {} accesses with {} frames: your code {words}", mix.pages.len(), mix.frames);
    let mut subject = exam.subject()?;
    subject.ask_line(&format!("cgroup {}", mix.frames)).map_err(ended)?;
    for page in &mix.pages {
        subject.tell(format!("touch {page}\n").as_bytes());
    }
    let mut number = |question| {
        let answer = subject.ask_line(question).map_err(ended)?;
        answer.parse().map_err(|_| format!("`{question}` says `{answer}`"))
    };
    let (own, looks) = (number("faults")?, number("looks")?);
    let best = optimal_faults(mix);
    let [two_list, clock] = ["two-list", "clock"].map(|name| counts(name, mix).faults);
    Ok(Measured { frames: mix.frames, faults: own, looks, two_list, clock, best })
}

/// How often the swap disk of a kernel with the student's policy is read, beside what two-list has for the same touches.
fn reads_booted(exam: &Exam<'_>, seed: Seed) -> Found {
    let seed = seed.random("booted").below(1000);
    let Some(generator) = Generator::named(BOOTED) else {
        return Found::Wrong(format!("there are no touches {BOOTED}"));
    };
    let pages: Vec<u32> = generator.pages(seed).into_iter().map(|page| page as u32).collect();
    let reads = match booted::reads(exam.text(FILE), &table_with_own(), &format!("{BOOTED} {BOOTED_FRAMES} {seed}")) {
        Ok(reads) => reads,
        Err(booted::Failed::NoQuire) => {
            return Found::Open(
                "Quire is not where this tree was made, so nothing is booted here: the grader does it, up to 7 points"
                    .to_owned(),
            );
        }
        Err(booted::Failed::Booted(words)) => return Found::Wrong(words),
    };
    let mix = Mix { frames: BOOTED_FRAMES, pages };
    let [two_list, clock] = ["two-list", "clock"].map(|name| counts(name, &mix).reads);
    // The program has a few pages beside those that it touches.
    if reads <= two_list + two_list / 20 {
        return Found::Right;
    }
    let best = optimal_faults(&mix) - mix.pages.iter().collect::<BTreeSet<_>>().len() as u64;
    Found::Wrong(format!(
        "booted, `touches {BOOTED} {BOOTED_FRAMES} {seed}` reads the swap disk {reads} times; two-list does {two_list} times, clock {clock}, OPT {best}"
    ))
}

/// How much of the way from two-list to OPT the student's policy goes, in hundredths.
fn way(measured: &[Measured]) -> Found {
    let (mut sum, mut words) = (0, String::new());
    for Measured { faults, two_list, clock, best, .. } in measured {
        let [own, two, opt] = [*faults, *two_list, *best].map(|faults| i64::try_from(faults).unwrap_or(i64::MAX));
        let way = 100 * (two - own) / (two - opt).max(1);
        sum += way;
        _ = writeln!(
            words,
            "faults: yours {faults}, two-list {two_list}, clock {clock}, OPT {best}: {way} % of the way"
        );
    }
    let mean = sum / i64::try_from(measured.len().max(1)).unwrap_or(1);
    let points = u32::try_from(10 * mean.clamp(0, WAY_FOR_ALL) / WAY_FOR_ALL).unwrap_or(0);
    if points == 10 {
        return Found::Right;
    }
    Found::Part(
        points,
        format!("{mean} % of the way from two-list to OPT in the mean; {WAY_FOR_ALL} % have all points\n{words}"),
    )
}

/// How often the student's policy has a page looked at for each fault.
fn looks(measured: &[Measured]) -> Found {
    let sum = |of: fn(&Measured) -> u64| measured.iter().map(of).sum::<u64>();
    if sum(|measured| measured.faults) > sum(|measured| measured.two_list) {
        return Found::Wrong("looks count for a policy that has no more faults than two-list".to_owned());
    }
    let looks = 100 * sum(|measured| measured.looks) / sum(|measured| measured.faults).max(1);
    let points = 5 * looks.clamp(FEW_LOOKS, MANY_LOOKS).abs_diff(MANY_LOOKS) / (MANY_LOOKS - FEW_LOOKS);
    if points == 5 {
        return Found::Right;
    }
    let words = format!("{looks} looks at pages for 100 faults; up to {FEW_LOOKS} have all points, {MANY_LOOKS} none");
    Found::Part(u32::try_from(points).unwrap_or(0), words)
}

#[cfg(test)]
mod tests {
    use super::table_with_own;

    #[test]
    fn the_students_policy_is_in_the_table() {
        let table = table_with_own();
        assert!(table.contains("\nmod own;\n") && table.contains("    \"own\": own::Own,\n"));
    }
}
