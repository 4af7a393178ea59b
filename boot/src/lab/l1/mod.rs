//! L1, Who goes?: FIFO, CLOCK, a policy of the student's own, and Belady's anomaly.
//!
//! FIFO and CLOCK are right if each page that goes is the one that has to go. The student's own policy is judged by how much
//! of the way from CLOCK to OPT it goes, on three workloads.

mod model;
mod play;
mod traces;

use std::fmt::Write as _;

use clap::Args;

use super::{
    answers::value,
    definition::Lab,
    exam::{Exam, Found, Group},
    seed::Seed,
    words::counted,
};
use crate::policy::optimal;
use model::{BUGS, Kind, Model};
use play::Part;
use traces::{FEW_FRAMES, MANY_FRAMES, WORKLOADS};

pub(super) const LAB: Lab = Lab {
    name: "L1",
    title: "Who goes? FIFO, CLOCK and a policy of your own against the best there can be",
    week: 1,
    editable: &["lab/src/fifo.rs", "lab/src/clock.rs", "lab/src/own.rs", "answers.txt", "own-test.txt", "note.md"],
    from_quire: &["kernel/memory/src/policy/mod.rs", "kernel/memory/src/policy/decide.rs", "docs/glossary.md"],
    members: &[],
    crates: &[],
    dependencies: "",
    given: |seed| {
        let bug = format!(
            "The trace in own-test.txt has to show this bug of CLOCK, which is yours:\n\n  {}\n",
            bug(seed).bug()
        );
        vec![("traces.txt", traces::file(seed)), ("bug.txt", bug)]
    },
    references: &[],
    judge,
};

/// The most accesses in a student's own test.
const OWN_TEST_MAX: usize = 16;

/// The whole way from CLOCK to OPT is 100: so much of it has all points, and so much the most of them, which is what a good first
/// idea gets.
const WAY_FOR_ALL: i64 = 42;
const WAY_FOR_MOST: i64 = 28;
const MOST: i64 = 12;

fn judge(exam: &mut Exam<'_>) {
    let (own, hidden) = (exam.seed, exam.hidden);
    exam.check(Group::Correctness, "FIFO", 15, |exam| exact(exam, Part::Fifo, Kind::Fifo, own).into());
    exam.check(Group::Correctness, "CLOCK", 20, |exam| exact(exam, Part::Clock, Kind::Clock, own).into());
    exam.check(Group::Correctness, "Belady's anomaly", 10, |exam| anomaly(exam.text("answers.txt"), own));
    exam.check(Group::Correctness, "your own policy keeps to the rules and beats FIFO", 5, |exam| {
        beats_fifo(exam, own).into()
    });
    if let Some(hidden) = hidden {
        exam.check(Group::HiddenSeeds, "FIFO, hidden traces", 5, |exam| {
            exact(exam, Part::Fifo, Kind::Fifo, hidden).into()
        });
        exam.check(Group::HiddenSeeds, "CLOCK, hidden traces", 5, |exam| {
            exact(exam, Part::Clock, Kind::Clock, hidden).into()
        });
        exam.check(Group::HiddenSeeds, "your own policy, hidden workloads", 5, |exam| beats_fifo(exam, hidden).into());
    }
    exam.check(Group::Performance, "how far from CLOCK to OPT", 15, |exam| way(exam, hidden.unwrap_or(own)));
    exam.check(Group::OwnTest, "own test", 5, |exam| {
        own_test(exam.text("own-test.txt"), bug(own)).map_or_else(Found::Wrong, |words| Found::Part(5, words))
    });
}

/// The bug that this student's test has to find.
fn bug(seed: Seed) -> Kind {
    seed.choose("bug", &BUGS)
}

fn exact(exam: &Exam<'_>, part: Part, kind: Kind, seed: Seed) -> Result<(), String> {
    let mut subject = exam.subject()?;
    traces::exact(seed).iter().try_for_each(|(frames, trace)| play::expect(&mut subject, part, kind, *frames, trace))
}

fn anomaly(answers: &str, seed: Seed) -> Found {
    let names = ["trace", "frames", "misses", "misses with one more", "misses of OPT"];
    let [Some(number), Some(frames), fewer, more, best] = names.map(|name| value(answers, name)?.parse().ok()) else {
        return Found::Wrong("answers.txt: there is no number after `trace =` and `frames =`".to_owned());
    };
    let traces = traces::family(seed);
    let Some(trace) = traces.get(number).filter(|_| FEW_FRAMES.contains(&frames)) else {
        let words = format!(
            "answers.txt: trace {number} with {}: traces.txt has 0 to {}, and the frames are {} to {}",
            counted(frames, "frame", "frames"),
            traces.len() - 1,
            FEW_FRAMES.start(),
            FEW_FRAMES.end()
        );
        return Found::Wrong(words);
    };
    let counts = [model::misses(Kind::Fifo, frames, trace), model::misses(Kind::Fifo, frames + 1, trace)];
    if counts[1] <= counts[0] {
        return Found::Wrong(format!(
            "answers.txt: on trace {number}, FIFO does not miss more with {} frames than with {frames}",
            frames + 1
        ));
    }
    let optimal = model::optimal(frames, trace).iter().filter(|done| done.is_miss()).count();
    let answers = [fewer, more, best].into_iter().zip([counts[0], counts[1], optimal]).zip(&names[2..]);
    let wrong: Vec<&str> =
        answers.filter(|((answer, right), _)| *answer != Some(*right)).map(|(_, name)| *name).collect();
    match wrong.len() {
        0 => Found::Right,
        count => Found::Part(
            10 - 2 * count as u32,
            format!(
                "answers.txt: the trace is the right one, but not what stands after `{}`, which is to be a number alone",
                wrong.join("`, `")
            ),
        ),
    }
}

/// Hits of the student's own policy.
fn own_hits(exam: &Exam<'_>, trace: &[u32], name: &str) -> Result<usize, String> {
    let accesses = play::play(&mut exam.subject()?, Part::Own, MANY_FRAMES, trace, |_, _, _| Ok(()));
    let accesses = accesses.map_err(|words| format!("on {name}: {words}"))?;
    Ok(accesses.iter().filter(|(_, done)| !done.is_miss()).count())
}

fn beats_fifo(exam: &Exam<'_>, seed: Seed) -> Result<(), String> {
    let (mut own, mut fifo) = (0, 0);
    for name in WORKLOADS {
        let trace = traces::workload(name, seed);
        own += own_hits(exam, &trace, name)?;
        fifo += trace.len() - model::misses(Kind::Fifo, MANY_FRAMES, &trace);
    }
    // By more than what chance gives.
    if own > fifo + fifo / 50 {
        return Ok(());
    }
    Err(format!(
        "your own policy has {own} hits on the three workloads, FIFO {fifo}: two of a hundred more are asked for"
    ))
}

/// How much of the way from CLOCK to OPT the student's own policy goes, in hundredths; one that is worse than CLOCK goes
/// backwards.
fn way(exam: &Exam<'_>, seed: Seed) -> Found {
    let (mut ways, mut words) = (Vec::new(), String::new());
    for name in WORKLOADS {
        let trace = traces::workload(name, seed);
        let pages = trace.iter().max().map_or(0, |page| *page as usize + 1);
        let clock = trace.len() - model::misses(Kind::Clock, MANY_FRAMES, &trace);
        let best = optimal::hits(&trace, MANY_FRAMES, pages);
        let own = match own_hits(exam, &trace, name) {
            Ok(own) => own,
            Err(words) => return Found::Wrong(words),
        };
        let [own_hits, clock_hits, best_hits] = [own, clock, best].map(|hits| i64::try_from(hits).unwrap_or(i64::MAX));
        let way = 100 * (own_hits - clock_hits) / (best_hits - clock_hits).max(1);
        ways.push(way);
        // For the student's note alone.
        let lru = if exam.hidden.is_none() {
            format!(", LRU {}", trace.len() - model::misses(Kind::Lru, MANY_FRAMES, &trace))
        } else {
            String::new()
        };
        writeln!(words, "{name}: CLOCK {clock} hits{lru}, yours {own}, OPT {best}: {way} % of the way")
            .expect("a string takes all");
    }
    let mean = ways.iter().sum::<i64>() / i64::try_from(WORKLOADS.len()).unwrap_or(1);
    let points = MOST * mean.clamp(0, WAY_FOR_MOST) / WAY_FOR_MOST
        + (15 - MOST) * (mean.min(WAY_FOR_ALL) - WAY_FOR_MOST).max(0) / (WAY_FOR_ALL - WAY_FOR_MOST);
    let points = u32::try_from(points).unwrap_or(0);
    Found::Part(
        points,
        format!(
            "{mean} % of the way from CLOCK to OPT in the mean; {WAY_FOR_MOST} % have {MOST} points, {WAY_FOR_ALL} % all\n{words}"
        ),
    )
}

/// Where the student's trace shows the bug.
fn own_test(text: &str, bug: Kind) -> Result<String, String> {
    let lines = || text.lines().filter(|line| !line.trim_start().starts_with('#'));
    // What was given has an empty line of each, below which one may have written another.
    let words = |name: &str| {
        let mut found = lines().filter_map(|line| line.trim().strip_prefix(name)).map(str::trim);
        found.rfind(|words| !words.is_empty()).map(str::to_owned)
    };
    let frames =
        words("frames").and_then(|words| words.parse::<usize>().ok()).filter(|frames| (1..=8).contains(frames));
    let frames = frames.ok_or("own-test.txt: there is no line `frames N` with N from 1 to 8")?;
    let pages = words("pages").unwrap_or_default();
    let trace = parse(&pages).map_err(|words| format!("own-test.txt: {words}"))?;
    if trace.is_empty() || trace.len() > OWN_TEST_MAX {
        return Err(format!(
            "own-test.txt: {} after `pages`; 1 to {OWN_TEST_MAX} are asked for",
            counted(trace.len(), "page stands", "pages stand")
        ));
    }
    let (mut right, mut wrong) = (Model::new(Kind::Clock, frames), Model::new(bug, frames));
    for (at, page) in trace.iter().enumerate() {
        let done = [right.access(*page), wrong.access(*page)];
        if done[0] != done[1] {
            let [right, wrong] = done.map(play::words);
            return Ok(format!("access {} (page {page}): {right} with a right CLOCK, {wrong} with this one", at + 1));
        }
    }
    Err(format!(
        "own-test.txt: a CLOCK in which {} lets the same pages go as a right one: the trace does not find it",
        bug.bug()
    ))
}

/// What a policy is run on.
#[derive(Args, Debug)]
pub(crate) struct Accesses {
    /// Which trace, as in traces.txt; without it, the totals for all
    #[arg(long, value_name = "N")]
    trace: Option<usize>,
    /// How many frames; without it, the totals for several
    #[arg(long, value_name = "N")]
    frames: Option<usize>,
    /// These pages instead of a trace, as in --pages "1 2 3 1"; with --frames
    #[arg(long, requires = "frames", conflicts_with = "trace")]
    pages: Option<String>,
}

fn parse(pages: &str) -> Result<Vec<u32>, String> {
    pages.split_whitespace().map(|page| page.parse().map_err(|_| format!("`{page}` is no page"))).collect()
}

/// What a policy does on the student's traces.
///
/// # Errors
/// There is no such policy or trace, or the student's code has ended before its time.
pub(super) fn show(exam: &Exam<'_>, name: &str, accesses: &Accesses) -> Result<String, String> {
    enum Shown {
        Yours(Part),
        Lru,
        Opt,
    }
    let shown = match name {
        "fifo" => Shown::Yours(Part::Fifo),
        "clock" => Shown::Yours(Part::Clock),
        "own" => Shown::Yours(Part::Own),
        "lru" => Shown::Lru,
        "opt" => Shown::Opt,
        other => {
            return Err(format!(
                "there is no policy `{other}`: fifo, clock and own are yours, lru is given, and opt is the best there can be"
            ));
        }
    };
    let traces = traces::family(exam.seed);
    let mut subject = exam.subject()?;
    let mut run = |frames: usize, trace: &[u32]| match shown {
        Shown::Yours(part) => play::play(&mut subject, part, frames, trace, |_, _, _| Ok(())),
        Shown::Lru => {
            let mut lru = Model::new(Kind::Lru, frames);
            Ok(trace.iter().map(|page| (*page, lru.access(*page))).collect())
        }
        Shown::Opt => Ok(trace.iter().copied().zip(model::optimal(frames, trace)).collect()),
    };
    let Accesses { trace, frames, ref pages } = *accesses;
    let misses = |accesses: &[play::Access]| accesses.iter().filter(|(_, done)| done.is_miss()).count();
    if frames.is_some_and(|frames| !(1..=1000).contains(&frames)) {
        return Err("--frames is from 1 to 1000".to_owned());
    }
    let is_there = |number: usize| {
        let trace = traces.get(number).cloned();
        trace.ok_or_else(|| format!("there is no trace {number}: traces.txt has 0 to {}", traces.len() - 1))
    };
    let one = match (pages, trace) {
        (Some(pages), _) => Some(("these pages".to_owned(), parse(pages)?)),
        (None, Some(number)) => Some((format!("trace {number}"), is_there(number)?)),
        (None, None) => None,
    };
    if let (Some((what, trace)), Some(frames)) = (one, frames) {
        let accesses = run(frames, &trace)?;
        let misses = misses(&accesses);
        let [frames, misses, hits] = [
            counted(frames, "frame", "frames"),
            counted(misses, "miss", "misses"),
            counted(trace.len() - misses, "hit", "hits"),
        ];
        let total = format!("{name}, {what}, {frames}: {misses}, {hits}\n");
        return Ok(play::table(&accesses, 0) + &total);
    }
    let amounts: Vec<usize> =
        frames.map_or_else(|| (*FEW_FRAMES.start()..=FEW_FRAMES.end() + 1).collect(), |frames| vec![frames]);
    let heading: Vec<String> = amounts.iter().map(|frames| format!("{frames:4}")).collect();
    let heading = heading.concat();
    let mut text = format!("misses of {name}\n  frames {heading}\n");
    for (number, pages) in traces.iter().enumerate().filter(|(number, _)| trace.is_none_or(|trace| trace == *number)) {
        let counts = amounts.iter().map(|frames| Ok(format!("{:4}", misses(&run(*frames, pages)?))));
        let counts = counts.collect::<Result<String, String>>()?;
        writeln!(text, "  trace {number:2}{counts}").expect("a string takes all");
    }
    Ok(text)
}
