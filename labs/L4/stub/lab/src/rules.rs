//! What every policy promises the kernel, whatever it decides. This file is given.
//!
//! Pages come, are looked at in batches, leave for other reasons than an eviction, and are put back though they were to
//! go, in an order that a seed makes.

use std::collections::BTreeSet;

use quire_machine::frame::Frame;

use crate::policy::{FrameNumber, Instance, LOOKS_MAX, Pages, Shadow, Verdict, replay::Replay};

const FRAMES: u32 = 96;
const EVENTS: u32 = 2000;

/// A policy with the pages that it was told of.
struct Rules {
    policy: Instance,
    frames: Vec<Frame>,
    known: BTreeSet<u32>,
    shadows: Vec<Shadow>,
    random: Random,
}

/// Numbers that a seed makes (Lehmer's generator, of 1951).
struct Random(u64);

impl Random {
    /// One of the numbers below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 = (self.0 % 2_147_483_646 + 1) * 48_271 % 2_147_483_647;
        (self.0 >> 4) as usize % end
    }
}

/// The first promise that is not kept, if there is one.
///
/// # Errors
/// It, in words.
pub fn check(policy: Instance, seed: u64) -> Result<(), String> {
    let frames = (0..FRAMES).map(|_| Frame::reserved()).collect();
    let mut rules = Rules { policy, frames, known: BTreeSet::new(), shadows: Vec::new(), random: Random(seed) };
    for event in 1..=EVENTS {
        rules.event().map_err(|words| format!("event {event} of seed {seed}: {words}"))?;
    }
    rules.all_leave().map_err(|words| format!("seed {seed}, after {EVENTS} events: {words}"))
}

impl Rules {
    fn event(&mut self) -> Result<(), String> {
        let any = self.random.below(self.known.len().max(1));
        let any = self.known.iter().nth(any).copied();
        match self.random.below(12) {
            0..6 => {
                let Some(page) = (0..FRAMES).find(|page| !self.known.contains(page)) else { return Ok(()) };
                let back = self.random.below(40);
                let shadow = self.shadows.iter().rev().nth(back).copied().unwrap_or(Shadow::NONE);
                self.policy.add(Pages(&self.frames), FrameNumber(page), shadow);
                self.known.insert(page);
                while self.policy.settle(Pages(&self.frames)).is_some() {}
            }
            6..9 => {
                let (batch, accessed, then) = (1 + self.random.below(32), 1 + self.random.below(5), self.random.below(8));
                self.look(batch, |index| index % accessed == 0, then)?;
            }
            event => {
                let Some(page) = any else { return Ok(()) };
                let pages = Pages(&self.frames);
                match event {
                    9 => {
                        self.policy.remove(pages, FrameNumber(page));
                        self.known.remove(&page);
                    }
                    10 => self.policy.look_soon(pages, FrameNumber(page)),
                    _ => self.policy.accessed_beside(pages, FrameNumber(page)),
                }
            }
        }
        let pages = Pages(&self.frames);
        let lost = (0..FRAMES).find(|page| pages.is_listed(FrameNumber(*page)) != self.known.contains(page));
        match lost {
            Some(page) if self.known.contains(&page) => Err(format!("{} is in none of your lists", FrameNumber(page))),
            Some(page) => Err(format!("{} has left, and is in a list still", FrameNumber(page))),
            None => Ok(()),
        }
    }

    /// Looks at a batch, of which those are accessed; what is to go leaves, but in one case of eight is put back, and in one is
    /// removed.
    fn look(&mut self, batch: usize, accessed: impl Fn(usize) -> bool, then: usize) -> Result<(), String> {
        let pages = Pages(&self.frames);
        let taken: Vec<FrameNumber> = (0..batch).map_while(|_| self.policy.next(pages)).collect();
        if taken.len() != self.known.len().min(batch) {
            return Err(format!(
                "next() gives {} pages of a batch of {batch}, and {} are in your lists",
                taken.len(),
                self.known.len()
            ));
        }
        for (index, page) in taken.into_iter().enumerate() {
            if !self.known.contains(&page.0) || !pages.is_isolated(page) {
                return Err(format!("next() gives {page}, which is not isolated from a list of yours"));
            }
            if self.policy.looked_at(pages, page, accessed(index)) == Verdict::Stay {
                if !pages.is_listed(page) {
                    return Err(format!("looked_at() says that {page} stays, and puts it into no list"));
                }
                continue;
            }
            if pages.is_listed(page) {
                return Err(format!("looked_at() says that {page} goes, and puts it into a list"));
            }
            match then {
                0 => {
                    self.policy.put_back(pages, page);
                    continue;
                }
                1 => self.policy.remove(pages, page),
                _ => self.shadows.push(self.policy.evicted(pages, page)),
            }
            self.known.remove(&page.0);
        }
        Ok(())
    }

    /// What no task accesses any more leaves.
    fn all_leave(&mut self) -> Result<(), String> {
        for _ in 0..LOOKS_MAX + 1 {
            self.look(self.known.len(), |_| false, 7)?;
        }
        match self.known.first() {
            None => Ok(()),
            Some(page) => Err(format!(
                "{} is not accessed, was looked at {LOOKS_MAX} times and more, and has not gone: a kernel would find no frame",
                FrameNumber(*page)
            )),
        }
    }
}

/// Whether the policy does in a cgroup what it does there alone, when another cgroup has one of the same kind that is busy.
///
/// # Errors
/// The first access of which that is not so.
pub fn apart(own: fn() -> Instance, seed: u64) -> Result<(), String> {
    let [alone, beside] = [false, true].map(|is_beside| faults(own, seed, is_beside));
    let Some(access) = alone.iter().zip(&beside).position(|(alone, beside)| alone != beside) else { return Ok(()) };
    let [alone, beside] = [&alone, &beside].map(|faults| if faults[access] { "a fault" } else { "a hit" });
    Err(format!("access {access} is {alone} alone, and {beside} beside another busy cgroup"))
}

/// Which accesses of a cgroup are faults, alone or beside another one.
fn faults(own: fn() -> Instance, seed: u64, is_beside: bool) -> Vec<bool> {
    let [mut random, mut others] = [seed, seed + 1].map(Random);
    let [mut cgroup, mut other] = [60, 40].map(|frames| Replay::new(own(), frames));
    let access = |_| {
        for _ in 0..others.below(4) * usize::from(is_beside) {
            other.access(others.below(120) as u64);
        }
        // Some more pages than there are frames, the first of them more often.
        let end = 1 + random.below(90);
        cgroup.access(random.below(end) as u64)
    };
    (0..4000).map(access).collect()
}
