//! Asking a student's policy, access by access. Which pages are in memory is known here; the student's code is only asked
//! which one goes, and knows of no access before it is made.

use std::{collections::HashSet, fmt::Write as _};

use super::model::{BUGS, Done, Kind, Model};
use crate::lab::{subject::Subject, words::counted};

/// A policy that the student writes. Its number is how the lab's program knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Fifo = 0,
    Clock = 1,
    Own = 2,
}

impl Part {
    /// As `cargo lab run` knows it.
    fn word(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
            Self::Clock => "clock",
            Self::Own => "own",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fifo => "FIFO",
            Self::Clock => "CLOCK",
            Self::Own => "your own policy",
        }
    }
}

/// The questions of the lab's program: a byte, and a number of four.
const HIT: u8 = 3;
const ADDED: u8 = 4;
const EVICT: u8 = 5;

fn message(kind: u8, number: u32) -> [u8; 5] {
    let [a, b, c, d] = number.to_le_bytes();
    [kind, a, b, c, d]
}

/// An access and what it did.
pub(super) type Access = (u32, Done);

/// Plays the trace. `judge` sees each page that goes, after all that happened before, and the page that comes.
///
/// # Errors
/// What is wrong, with the place.
pub(super) fn play(
    subject: &mut Subject,
    part: Part,
    frames: usize,
    trace: &[u32],
    mut judge: impl FnMut(&[Access], u32, u32) -> Result<(), String>,
) -> Result<Vec<Access>, String> {
    let (mut resident, mut accesses) = (HashSet::new(), Vec::with_capacity(trace.len()));
    subject.tell(&message(part as u8, frames as u32));
    for (at, &page) in trace.iter().enumerate() {
        if resident.contains(&page) {
            subject.tell(&message(HIT, page));
            accesses.push((page, Done::Hit));
            continue;
        }
        let mut done = Done::Filled;
        if resident.len() == frames {
            let place = || {
                let frames = counted(frames, "frame", "frames");
                format!("{}, {frames}, access {} (page {page})", part.name(), at + 1)
            };
            let answer =
                subject.ask(&message(EVICT, page)).map_err(|words| format!("{}: your code {words}", place()))?;
            let answer = u32::from_le_bytes(answer);
            if !resident.remove(&answer) {
                let held =
                    if frames <= 8 { format!(": the frames hold {:?}", sorted(&resident)) } else { String::new() };
                let words = format!("{}: evict() says page {answer}, which is in no frame{held}", place());
                return Err(words + &last(&accesses) + &replay(part, frames, &trace[..=at]));
            }
            judge(&accesses, page, answer).map_err(|words| format!("{}: {words}", place()))?;
            done = Done::Replaced(answer);
        }
        resident.insert(page);
        subject.tell(&message(ADDED, page));
        accesses.push((page, done));
    }
    // What is told after the last question is heard too.
    subject
        .ask::<4>(&message(6, 0))
        .map_err(|words| format!("{}, after the last access: your code {words}", part.name()))?;
    Ok(accesses)
}

fn sorted(pages: &HashSet<u32>) -> Vec<u32> {
    let mut pages: Vec<u32> = pages.iter().copied().collect();
    pages.sort_unstable();
    pages
}

/// Plays the trace and requires what the kind of policy does.
///
/// # Errors
/// The first access that is another's, with what was expected and a hint.
pub(super) fn expect(
    subject: &mut Subject,
    part: Part,
    kind: Kind,
    frames: usize,
    trace: &[u32],
) -> Result<(), String> {
    let mut right = Model::new(kind, frames);
    // What is most likely to have gone wrong comes first. Several may have done the same up to where it shows.
    let others: &[Kind] = match kind {
        Kind::Fifo => &[Kind::Lru, Kind::Clock],
        _ => &[BUGS[0], BUGS[1], BUGS[2], Kind::BeginsLate, Kind::Fifo, Kind::Lru],
    };
    let mut others: Vec<_> = others.iter().map(|&other| (other, Model::new(other, frames))).collect();
    let mut seen = 0;
    play(subject, part, frames, trace, |accesses, page, answer| {
        for (page, done) in &accesses[seen..] {
            right.access(*page);
            others.retain_mut(|(_, model)| model.access(*page) == *done);
        }
        seen = accesses.len() + 1;
        let expected = right.access(page);
        others.retain_mut(|(_, model)| model.access(page) == Done::Replaced(answer));
        if expected == Done::Replaced(answer) {
            return Ok(());
        }
        let expected = match expected {
            Done::Replaced(page) => format!("expected page {page} to go"),
            Done::Hit | Done::Filled => "expected no page to go".to_owned(),
        };
        let hints: Vec<_> = others.iter().map(|(kind, _)| kind.hint()).collect();
        let hint = match &hints[..] {
            [] => "none of the usual mistakes does just this: compare your frames with the right ones below",
            [only] => only,
            several => &format!("one of these, which all do the same up to here: {}", several.join("; or: ")),
        };
        let trace = &trace[..=accesses.len()];
        let (before, replay) = (right_frames(kind, frames, &trace[..accesses.len()]), replay(part, frames, trace));
        Err(format!("{expected}, but evict() says page {answer}\nhint: {hint}{before}{replay}"))
    })
    .map(drop)
}

/// The last accesses, a line each.
fn last(accesses: &[Access]) -> String {
    let from = accesses.len().saturating_sub(8);
    format!("\nthe accesses before:\n{}", table(&accesses[from..], from).trim_end())
}

/// The accesses with what a right policy has in its frames after each; of many accesses or frames not all.
fn right_frames(kind: Kind, frames: usize, trace: &[u32]) -> String {
    const ROWS: usize = 24;
    if frames > 8 {
        let mut right = Model::new(kind, frames);
        return last(&trace.iter().map(|page| (*page, right.access(*page))).collect::<Vec<_>>());
    }
    let mut right = Model::new(kind, frames);
    let rows = trace.iter().enumerate().map(|(at, &page)| {
        let done = words(right.access(page));
        format!("\n  {:6}  {page:4}  {done:21} {}", at + 1, right.picture())
    });
    let rows: Vec<String> = rows.collect();
    let shown = rows[rows.len().saturating_sub(ROWS)..].concat();
    let marks = if kind == Kind::Fifo { "`>`: goes next" } else { "`>`: the hand, `*`: the bit is set" };
    format!("\nthe accesses before, and the frames that are right after each ({marks}):\n  access  page{shown}")
}

/// How the accesses can be tried again.
fn replay(part: Part, frames: usize, trace: &[u32]) -> String {
    const PAGES_MAX: usize = 64;
    if trace.len() > PAGES_MAX {
        return String::new();
    }
    let pages: Vec<String> = trace.iter().map(u32::to_string).collect();
    let (name, pages) = (part.word(), pages.join(" "));
    format!("\nthis and what was before it again: cargo lab run {name} --frames {frames} --pages \"{pages}\"")
}

/// What an access did, in words.
pub(super) fn words(done: Done) -> String {
    match done {
        Done::Hit => "hit".to_owned(),
        Done::Filled => "miss, a frame was free".to_owned(),
        Done::Replaced(victim) => format!("miss, page {victim} goes"),
    }
}

/// Accesses, a line each.
pub(super) fn table(accesses: &[Access], from: usize) -> String {
    let mut table = String::from("  access  page\n");
    for (at, (page, done)) in accesses.iter().enumerate() {
        writeln!(table, "  {:6}  {page:4}  {}", from + at + 1, words(*done)).expect("a string takes all");
    }
    table
}
