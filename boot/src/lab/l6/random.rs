//! Random operations, and a mix of pages of which density and cost are taken.

use super::bench::Bench;
use crate::lab::{
    exam::Exam,
    seed::{Random, Seed},
};

/// A heap that has room for all.
const MUCH: u64 = 64 << 20;
const OPERATIONS: usize = 250;
const KEYS: u64 = 40;

/// What may be kept when no page is stored any more.
const EMPTY: u64 = 16 << 10;

/// Some runs of a seed.
///
/// # Errors
/// The first answer that is wrong, with the operations before it.
pub(super) fn run(exam: &Exam<'_>, seed: Seed, runs: u32) -> Result<(), String> {
    for number in 0..runs {
        let mut subject = exam.subject()?;
        let mut random = seed.random(&format!("operations {number}"));
        // Every other time the heap has less memory than the pages need.
        let limit = if number % 2 == 0 { MUCH } else { 20_000 + random.below(20_000) };
        let mut run = Run { bench: Bench::new(&mut subject, limit)?, done: vec![format!("heap {limit}")] };
        run.operations(&mut random)?;
    }
    Ok(())
}

/// Operations that have been made.
struct Run<'a> {
    bench: Bench<'a>,
    done: Vec<String>,
}

impl Run<'_> {
    fn operations(&mut self, random: &mut Random) -> Result<(), String> {
        for _ in 0..OPERATIONS {
            let key = random.below(KEYS);
            match random.below(8) {
                0 | 1 => self.load(key)?,
                2 => {
                    self.ask(&format!("free {key}"))?;
                }
                _ => {
                    let name = self.name(random);
                    self.ask(&format!("store {key} {name}"))?;
                }
            }
        }
        for key in 0..KEYS {
            self.load(key)?;
        }
        for key in 0..KEYS {
            self.ask(&format!("free {key}"))?;
        }
        self.expect("used", "0", "all pages were freed, but chunks of the heap are in use")?;
        self.expect(
            &format!("held-at-most {EMPTY}"),
            "yes",
            "all pages were freed, but the store keeps memory beside the heap",
        )
    }

    /// A page, which is often one that was there before, or nearly that.
    fn name(&self, random: &mut Random) -> String {
        let name = fresh(random, 6);
        let one_of_those = |random: &mut Random| {
            let count = self.bench.pages().count() as u64;
            let place = random.below(count.max(1)) as usize;
            self.bench.pages().nth(place).map_or(name.clone(), |(_, name)| name.to_owned())
        };
        match random.below(4) {
            0 => one_of_those(random),
            1 => {
                let name = one_of_those(random);
                changed(random, "near", &name)
            }
            2 => {
                let name = one_of_those(random);
                changed(random, "like", &name)
            }
            _ => name,
        }
    }

    fn load(&mut self, key: u64) -> Result<(), String> {
        let is_there = self.bench.pages().any(|(other, _)| u64::from(other) == key);
        let (expected, about) = if is_there {
            ("right", "this is not what was stored under this key")
        } else {
            ("nothing", "there is nothing under this key")
        };
        self.expect(&format!("load {key}"), expected, about)
    }

    fn ask(&mut self, command: &str) -> Result<String, String> {
        let answer = self.bench.answer(command).map_err(|words| self.at(command, &format!("your code {words}")))?;
        self.done.push(format!("{command} = {answer}"));
        Ok(answer)
    }

    fn expect(&mut self, command: &str, expected: &str, about: &str) -> Result<(), String> {
        let answer = self.ask(command)?;
        if answer == expected {
            return Ok(());
        }
        self.done.pop();
        Err(self.at(command, &format!("says `{answer}`, expected `{expected}`\n{about}")))
    }

    /// The words with the operations before.
    fn at(&self, command: &str, words: &str) -> String {
        let last = self.done[self.done.len().saturating_sub(12)..].join("\n  ");
        format!("random operations, number {}: `{command}`: {words}\nthe operations before:\n  {last}", self.done.len())
    }
}

/// A page of one of the kinds, of so many of each.
fn fresh(random: &mut Random, each: u64) -> String {
    let kind = ["zero", "same", "text", "sparse", "random"][random.below(5) as usize];
    if kind == "zero" { kind.to_owned() } else { format!("{kind} {}", random.below(each)) }
}

/// A page that is nearly another one. What was changed again and again is taken as it was at first.
fn changed(random: &mut Random, how: &str, name: &str) -> String {
    let first = name.rsplit("near ").next().unwrap_or(name);
    let first = first.rsplit("like ").next().unwrap_or(first);
    let words: Vec<&str> = first.split_whitespace().collect();
    // The number that belonged to the word that was cut off.
    let from = words.iter().position(|word| word.parse::<u64>().is_err()).unwrap_or(0);
    format!("{how} {} {}", random.below(1000), words[from..].join(" "))
}

/// What a store made of the mix.
pub(super) struct Measured {
    /// Bytes of pages for a hundred bytes of memory.
    pub(super) density: u64,
    /// Words that were read or written for a page that was stored and loaded once.
    pub(super) words: u64,
}

/// Pages as programs have them, one after the other, some of which go again.
///
/// # Errors
/// A page does not come back, or there is no answer.
pub(super) fn measure(exam: &Exam<'_>, seed: Seed) -> Result<Measured, String> {
    const PAGES: u64 = 480;
    let mut random = seed.random("mix");
    let mut subject = exam.subject()?;
    let mut bench = Bench::new(&mut subject, MUCH)?;
    let at = |command: &str, words: &str| format!("a mix of {PAGES} pages: `{command}`: {words}");
    let ask = |bench: &mut Bench<'_>, command: String, expected: &str| {
        let answer = bench.answer(&command).map_err(|words| at(&command, &format!("your code {words}")))?;
        if answer == expected { Ok(()) } else { Err(at(&command, &format!("says `{answer}`, expected `{expected}`"))) }
    };
    let mut names: Vec<String> = Vec::new();
    // A fifth of the pages is stored again with other contents.
    let keys: Vec<u64> = (0..PAGES).chain((0..PAGES / 5).map(|_| random.below(PAGES))).collect();
    for &key in &keys {
        let known = if names.is_empty() { 0 } else { random.below(names.len() as u64) as usize };
        let number = random.next() >> 20;
        let name = match random.below(100) {
            0..10 => "zero".to_owned(),
            10..18 => format!("same {}", number % 16),
            18..34 if !names.is_empty() => names[known].clone(),
            34..50 if !names.is_empty() => format!("near {} {}", number % 1000, names[known]),
            50..58 => format!("sparse {number}"),
            58..80 => format!("text {number}"),
            _ => format!("random {number}"),
        };
        if name.starts_with("text") || name.starts_with("random") {
            names.push(name.clone());
        }
        ask(&mut bench, format!("store {key} {name}"), "yes")?;
    }
    for key in 0..PAGES {
        ask(&mut bench, format!("load {key}"), "right")?;
    }
    let state = bench.state().map_err(|words| format!("a mix of {PAGES} pages: your code {words}"))?;
    Ok(Measured {
        density: 100 * PAGES * super::pages::BYTES / state.held.max(1),
        words: state.touched / (keys.len() as u64),
    })
}
