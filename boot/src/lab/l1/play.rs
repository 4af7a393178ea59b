//! Asking a student's policy, access by access. Which pages are in memory is known here; the student's code is only asked
//! which one goes, and knows of no access before it is made.

use std::{collections::HashSet, fmt::Write as _};

use super::model::{BUGS, Done, Kind, Model};
use crate::lab::subject::Subject;

/// A policy that the student writes. Its number is how the lab's program knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Fifo = 0,
    Clock = 1,
    Own = 2,
}

impl Part {
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
            let place = || format!("{}, {frames} frames, access {} (page {page})", part.name(), at + 1);
            let answer =
                subject.ask(&message(EVICT, page)).map_err(|words| format!("{}: your code {words}", place()))?;
            let answer = u32::from_le_bytes(answer);
            if !resident.remove(&answer) {
                let held =
                    if frames <= 8 { format!(": the frames hold {:?}", sorted(&resident)) } else { String::new() };
                let words = format!("{}: evict() says page {answer}, which is in no frame{held}", place());
                return Err(words + &last(&accesses));
            }
            judge(&accesses, page, answer).map_err(|words| format!("{}: {words}{}", place(), last(&accesses)))?;
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
    // What is most likely to have gone wrong comes first.
    let others: &[Kind] = match kind {
        Kind::Fifo => &[Kind::Lru, Kind::Clock],
        _ => &[BUGS[0], BUGS[1], BUGS[2], Kind::Fifo, Kind::Lru],
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
        let hint = others.first().map(|(kind, _)| format!("\nhint: {}", kind.hint())).unwrap_or_default();
        Err(format!("{expected}, but evict() says page {answer}{hint}"))
    })
    .map(drop)
}

/// The last accesses, a line each.
fn last(accesses: &[Access]) -> String {
    let from = accesses.len().saturating_sub(8);
    format!("\nthe accesses before:\n{}", table(&accesses[from..], from))
}

/// Accesses, a line each.
pub(super) fn table(accesses: &[Access], from: usize) -> String {
    let mut table = String::from("  access  page\n");
    for (at, (page, done)) in accesses.iter().enumerate() {
        let done = match done {
            Done::Hit => "hit".to_owned(),
            Done::Filled => "miss, a frame was free".to_owned(),
            Done::Replaced(victim) => format!("miss, page {victim} goes"),
        };
        writeln!(table, "  {:6}  {page:4}  {done}", from + at + 1).expect("a string takes all");
    }
    table
}
