//! L1, Who goes?: FIFO, CLOCK, a policy of the student's own, and Belady's anomaly.
//!
//! FIFO and CLOCK are right if each page that goes is the one that has to go. The student's own policy is judged by how much
//! of the way from CLOCK to OPT it goes, on three workloads.

mod model;
mod play;
mod traces;

use std::fmt::Write as _;

use super::{
    definition::Lab,
    exam::{Exam, Found, Group},
    seed::Seed,
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
    from_quire: &["kernel/memory/src/policy/mod.rs", "kernel/memory/src/policy/decide.rs"],
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

/// The whole way from CLOCK to OPT is 100; for so much of it there are all points.
const WAY_FOR_ALL: i64 = 28;

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
    exam.check(Group::OwnTest, "own test", 5, |exam| own_test(exam.text("own-test.txt"), bug(own)).into());
}

/// The bug that this student's test has to find.
fn bug(seed: Seed) -> Kind {
    BUGS[seed.random("bug").below(BUGS.len() as u64) as usize]
}

fn exact(exam: &Exam<'_>, part: Part, kind: Kind, seed: Seed) -> Result<(), String> {
    let mut subject = exam.subject()?;
    traces::exact(seed).iter().try_for_each(|(frames, trace)| play::expect(&mut subject, part, kind, *frames, trace))
}

/// The values of `name = value` lines.
fn value(text: &str, name: &str) -> Option<usize> {
    let pairs = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    pairs.into_iter().find(|(key, _)| key.trim() == name).and_then(|(_, value)| value.trim().parse().ok())
}

fn anomaly(answers: &str, seed: Seed) -> Found {
    let names = ["trace", "frames", "misses", "misses with one more", "misses of OPT"];
    let [Some(number), Some(frames), fewer, more, best] = names.map(|name| value(answers, name)) else {
        return Found::Wrong("answers.txt: there is no number after `trace =` and `frames =`".to_owned());
    };
    let traces = traces::family(seed);
    let Some(trace) = traces.get(number).filter(|_| FEW_FRAMES.contains(&frames)) else {
        let words = format!(
            "answers.txt: trace {number} with {frames} frames: traces.txt has 0 to {}, and the frames are {} to {}",
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
            format!("answers.txt: the trace is the right one, but not the number after `{}`", wrong.join("`, `")),
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
        writeln!(words, "{name}: CLOCK {clock} hits, yours {own}, OPT {best}: {way} % of the way")
            .expect("a string takes all");
    }
    let mean = ways.iter().sum::<i64>() / i64::try_from(WORKLOADS.len()).unwrap_or(1);
    let points = u32::try_from(15 * mean.clamp(0, WAY_FOR_ALL) / WAY_FOR_ALL).unwrap_or(0);
    Found::Part(
        points,
        format!("{mean} % of the way from CLOCK to OPT in the mean; {WAY_FOR_ALL} % have all points\n{words}"),
    )
}

fn own_test(text: &str, bug: Kind) -> Result<(), String> {
    let lines = || text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = |name: &str| lines().find_map(|line| line.trim().strip_prefix(name).map(str::trim).map(str::to_owned));
    let frames =
        words("frames").and_then(|words| words.parse::<usize>().ok()).filter(|frames| (1..=8).contains(frames));
    let frames = frames.ok_or("own-test.txt: there is no line `frames N` with N from 1 to 8")?;
    let pages = words("pages").unwrap_or_default();
    let trace =
        pages.split_whitespace().map(|page| page.parse().map_err(|_| format!("own-test.txt: `{page}` is no page")));
    let trace: Vec<u32> = trace.collect::<Result<_, _>>()?;
    if trace.is_empty() || trace.len() > OWN_TEST_MAX {
        return Err(format!(
            "own-test.txt: there are {} pages after `pages`; 1 to {OWN_TEST_MAX} are asked for",
            trace.len()
        ));
    }
    let (mut right, mut wrong) = (Model::new(Kind::Clock, frames), Model::new(bug, frames));
    if trace.iter().any(|page| right.access(*page) != wrong.access(*page)) {
        return Ok(());
    }
    Err(format!(
        "own-test.txt: a CLOCK in which {} lets the same pages go as a right one: the trace does not find it",
        bug.bug()
    ))
}

/// What a policy does on the student's traces.
///
/// # Errors
/// There is no such policy or trace, or the student's code has ended before its time.
pub(super) fn show(exam: &Exam<'_>, name: &str, trace: Option<usize>, frames: Option<usize>) -> Result<String, String> {
    let part = match name {
        "fifo" => Some(Part::Fifo),
        "clock" => Some(Part::Clock),
        "own" => Some(Part::Own),
        "opt" => None,
        other => {
            return Err(format!(
                "there is no policy `{other}`: fifo, clock and own are yours, opt is the best there can be"
            ));
        }
    };
    let traces = traces::family(exam.seed);
    let mut subject = exam.subject()?;
    let mut run = |frames: usize, trace: &[u32]| match part {
        Some(part) => play::play(&mut subject, part, frames, trace, |_, _, _| Ok(())),
        None => Ok(trace.iter().copied().zip(model::optimal(frames, trace)).collect()),
    };
    let misses = |accesses: &[play::Access]| accesses.iter().filter(|(_, done)| done.is_miss()).count();
    if frames.is_some_and(|frames| !(1..=1000).contains(&frames)) {
        return Err("--frames is from 1 to 1000".to_owned());
    }
    if let (Some(number), Some(frames)) = (trace, frames) {
        let trace = traces
            .get(number)
            .ok_or_else(|| format!("there is no trace {number}: traces.txt has 0 to {}", traces.len() - 1))?;
        let accesses = run(frames, trace)?;
        let misses = misses(&accesses);
        let total =
            format!("{name}, trace {number}, {frames} frames: {misses} misses, {} hits\n", trace.len() - misses);
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
