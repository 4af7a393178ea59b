//! The traces of a seed.

use std::{collections::HashMap, fmt::Write as _};

use quire_protocol::references::Generator;

use super::model::{Kind, misses};
use crate::lab::seed::{Random, Seed};

/// Traces that a student looks through for Belady's anomaly.
const FAMILY: usize = 24;

/// Frames with which they are tried.
pub(super) const FEW_FRAMES: std::ops::RangeInclusive<usize> = 2..=5;

/// Each workload for the student's own policy: how its pages are referenced, and what it is about.
pub(super) const WORKLOADS: [&str; 3] = ["zipf-scan", "zipf-loop", "phases"];

/// Frames for these.
pub(super) const MANY_FRAMES: usize = 400;

const REFERENCES: usize = 30_000;

/// The frame numbers for which FIFO has more misses with one frame more.
pub(super) fn anomalies(trace: &[u32]) -> Vec<usize> {
    let is_one = |frames: &usize| misses(Kind::Fifo, frames + 1, trace) > misses(Kind::Fifo, *frames, trace);
    FEW_FRAMES.filter(is_one).collect()
}

/// A number of traces of a seed, one of which has Belady's anomaly.
pub(super) fn family(seed: Seed) -> Vec<Vec<u32>> {
    let mut random = seed.random("family");
    let place = random.below(FAMILY as u64) as usize;
    let mut traces = Vec::new();
    while traces.len() < FAMILY {
        let trace = one_of_family(&mut random);
        if anomalies(&trace).is_empty() != (traces.len() == place) {
            traces.push(trace);
        }
    }
    traces
}

fn one_of_family(random: &mut Random) -> Vec<u32> {
    let length = 20 + random.below(6);
    (0..length).map(|_| 1 + random.below(6) as u32).collect()
}

/// The family as a file.
pub(super) fn file(seed: Seed) -> String {
    let mut text = "# Your traces: their numbers, and the pages that are accessed.\n".to_owned();
    for (number, trace) in family(seed).iter().enumerate() {
        let pages: Vec<String> = trace.iter().map(u32::to_string).collect();
        writeln!(text, "{number:2}: {}", pages.join(" ")).expect("a string takes all");
    }
    text
}

/// Traces on which FIFO and CLOCK are judged, with frames: short ones first, whose mistakes are easy to see.
pub(super) fn exact(seed: Seed) -> Vec<(usize, Vec<u32>)> {
    let mut random = seed.random("exact");
    let textbook = vec![1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5];
    let mut traces = vec![(1, vec![1, 2, 1, 1, 3]), (3, textbook.clone()), (4, textbook)];
    for (frames, pages, length) in [(3, 6, 30), (4, 8, 60), (8, 20, 300), (64, 200, 3000)] {
        // Small numbers are used more than large ones.
        let page = |random: &mut Random| random.below(pages).min(random.below(pages)) as u32;
        traces.push((frames, (0..length).map(|_| page(&mut random)).collect()));
    }
    traces
}

/// A workload of that name, with pages numbered from 0 in the order in which they come.
pub(super) fn workload(name: &str, seed: Seed) -> Vec<u32> {
    let generator = Generator::named(name).expect("it is one of those that are listed here");
    let mut numbers = HashMap::new();
    let pages = generator.pages(seed.number(name));
    let dense = pages.into_iter().take(REFERENCES).map(|page| {
        let next = numbers.len() as u32;
        *numbers.entry(page).or_insert(next)
    });
    dense.collect()
}

#[cfg(test)]
mod tests {
    use super::{anomalies, family};
    use crate::lab::seed::Seed;

    #[test]
    fn each_student_has_one_trace_with_the_anomaly() {
        for id in ["a", "b", "s123"] {
            let traces = family(Seed::new("L1", &id.parse().unwrap(), b""));
            assert_eq!(traces.iter().filter(|trace| !anomalies(trace).is_empty()).count(), 1);
        }
    }
}
