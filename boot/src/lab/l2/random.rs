//! Random operations of two tasks, beside a model that knows what each page holds. What the disk says of each folio is judged
//! as well.

use std::collections::HashMap;

use super::ask::{ask, hint, last_batches};
use crate::lab::{
    exam::{Exam, Found},
    seed::{Random, Seed},
    subject::Subject,
    words::counted,
};

const PAGES: u64 = 24;
const FRAMES: u64 = 160;
/// Memory of the disk for all pages there can be.
const MUCH: u64 = 1024;
const OPERATIONS: usize = 300;

/// Folios of which the disk said what cannot be.
const WRONG_RESULTS: &str = "wrong-results";

/// Below this line is what came before the failure.
const BEFORE: &str = "the commands before";

/// Operations that have been made, and what is known of the pages.
struct Run<'a> {
    subject: &'a mut Subject,
    random: Random,
    pages: HashMap<(u64, u64), u64>,
    next_word: u64,
    /// Whether the disk's memory loses pages.
    is_lossy: bool,
    /// The commands with what they have answered, or should have.
    done: Vec<String>,
}

/// Some runs of a seed.
///
/// # Errors
/// The first answer that is wrong, with the operations before it.
pub(super) fn run(exam: &Exam<'_>, seed: Seed, runs: u32) -> Result<(), String> {
    for number in 0..runs {
        let mut subject = exam.subject()?;
        let random = seed.random(&format!("operations {number}"));
        let (pages, done) = (HashMap::new(), Vec::new());
        let mut run = Run { subject: &mut subject, random, pages, next_word: 1, is_lossy: number % 2 == 0, done };
        // Every other time the disk has less memory than the pages need; the other times it loses some.
        let memory = if run.is_lossy { MUCH } else { 8 + run.random.below(8) };
        let result = run.all(memory);
        let text = format!("# Random operations that failed at the last line.\n\n{}\n", run.done.join("\n"));
        result.map_err(|words| {
            let again =
                exam.leave_failed(&text).map(|again| format!("; all of them are in {again}")).unwrap_or_default();
            words.replacen(BEFORE, &format!("{BEFORE}{again}"), 1)
        })?;
    }
    Ok(())
}

impl Run<'_> {
    fn ask(&mut self, command: &str) -> Result<String, String> {
        match ask(self.subject, command) {
            Ok(answer) => {
                self.done.push(format!("{command} = {answer}"));
                Ok(answer)
            }
            Err(words) => {
                self.done.push(command.to_owned());
                Err(self.at(command, &format!("your code {words}")))
            }
        }
    }

    fn expect(&mut self, command: &str, expected: &str, about: &str) -> Result<(), String> {
        let answer = self.ask(command)?;
        self.done.pop();
        self.judge(command, &answer, expected, about)
    }

    /// Whether the answer is right. The command goes among those that were made, with what it should answer.
    fn judge(&mut self, command: &str, answer: &str, expected: &str, about: &str) -> Result<(), String> {
        self.done.push(format!("{command} = {expected}"));
        if answer == expected {
            return Ok(());
        }
        let (hint, batches) = (hint(command), last_batches(self.subject));
        Err(self.at(command, &format!("says `{answer}`, expected `{expected}`\n{about}{hint}{batches}")))
    }

    /// The words with the operations before.
    fn at(&self, command: &str, words: &str) -> String {
        let before = &self.done[..self.done.len() - 1];
        let last = before[before.len().saturating_sub(12)..].join("\n  ");
        format!("random operations, command {}: `{command}` {words}\n{BEFORE}:\n  {last}", self.done.len())
    }

    fn all(&mut self, memory: u64) -> Result<(), String> {
        self.ask(&format!("machine {FRAMES} {memory}"))?;
        for _ in 0..OPERATIONS {
            self.step()?;
            // Not among the commands unless it is what fails.
            if ask(self.subject, WRONG_RESULTS).is_ok_and(|count| count != "0") {
                return self.expect(WRONG_RESULTS, "0", "the disk said of a folio what cannot be");
            }
            let [used, stored] = ["used", "stored"].map(|command| ask(self.subject, command));
            if let (Ok(used), Ok(stored)) = (used, stored)
                && used != stored
            {
                let about = "the disk has other pages than those of the slots that it said to have stored, and that were not freed";
                return self.expect("used", &stored, about);
            }
        }
        if memory == MUCH {
            self.ask("settle")?;
            let slots = self.ask("slots")?;
            self.expect("used", &slots, "the disk has other pages than there are slots in use")?;
        }
        let mut mapped: Vec<_> = self.pages.drain().map(|(place, _)| place).collect();
        mapped.sort_unstable();
        for (task, page) in mapped {
            self.ask(&format!("unmap {task} {page}"))?;
        }
        self.ask("settle")?;
        self.expect(
            "slots",
            "0",
            "all pages were given up, but slots are in use: was each folio of each batch completed?",
        )?;
        self.expect("used", "0", "all pages were given up, but the disk keeps some of its memory")?;
        self.expect("free-frames", &FRAMES.to_string(), "all pages were given up, but frames are in use")
    }

    fn step(&mut self) -> Result<(), String> {
        let (task, page) = (self.random.below(2), self.random.below(PAGES));
        let Some(&word) = self.pages.get(&(task, page)) else { return self.fill(task, page) };
        match self.random.below(12) {
            0 | 1 => self.read(task, page, word),
            10 => self.neighbours(task, page),
            11 => {
                let word = self.new_word(1);
                if self.ask(&format!("dirty {task} {page} {word}"))? == "yes" {
                    self.pages.insert((task, page), word);
                }
                Ok(())
            }
            2 if self.is_lossy => self.read(task, page, word),
            2 => {
                let word = self.new_word(1);
                self.pages.insert((task, page), word);
                self.expect(
                    &format!("write {task} {page} {word}"),
                    "yes",
                    "a page in swap could not be brought in to be written",
                )
            }
            3 => {
                self.pages.remove(&(task, page));
                self.ask(&format!("unmap {task} {page}")).map(drop)
            }
            4 => self.ask("submit").map(drop),
            _ => self.ask(&format!("out {task} {page}")).map(drop),
        }
    }

    /// A page that the disk's memory has lost is given up; whether it may have lost one is judged with the batch.
    fn read(&mut self, task: u64, page: u64, word: u64) -> Result<(), String> {
        let command = format!("read {task} {page}");
        let answer = self.ask(&command)?;
        if self.is_lossy && answer == "bus error" {
            self.pages.remove(&(task, page));
            return self.ask(&format!("unmap {task} {page}")).map(drop);
        }
        self.done.pop();
        self.judge(&command, &answer, &word.to_string(), "this is not what the page held when it was last written")
    }

    /// The pages around one are read together, and one of them may be lost.
    fn neighbours(&mut self, task: u64, page: u64) -> Result<(), String> {
        if self.is_lossy && self.random.below(2) == 0 {
            let lost = 1 + self.random.below(6);
            self.ask(&format!("lose {lost}"))?;
        }
        self.ask(&format!("around {task} {page}"))?;
        self.ask("lose 0").map(drop)
    }

    /// Gives an empty place a page of its own, a large folio's, or the other task's.
    fn fill(&mut self, task: u64, page: u64) -> Result<(), String> {
        if let Some(&word) = self.pages.get(&(1 - task, page))
            && self.random.below(2) == 0
        {
            if self.ask(&format!("share {} {page} {task} {page}", 1 - task))? == "yes" {
                self.pages.insert((task, page), word);
            }
            return Ok(());
        }
        let is_free = |page: &u64| !self.pages.contains_key(&(task, *page));
        let order = if page.is_multiple_of(4) && (page..page + 4).all(|page| is_free(&page)) {
            2 * self.random.below(2)
        } else {
            0
        };
        let word = self.new_word(1 << order);
        if self.ask(&format!("make {task} {page} {order} {word}"))? == "yes" {
            self.pages.extend((0..1 << order).map(|index| ((task, page + index), word + index)));
        }
        Ok(())
    }

    fn new_word(&mut self, count: u64) -> u64 {
        self.next_word += count;
        self.next_word - count
    }
}

/// Pages go out in orders that a seed makes: no batch is shorter than the merge rule has it.
pub(super) fn spare(exam: &Exam<'_>, seed: Seed) -> Found {
    match count_spare(exam, seed) {
        Err(words) => Found::Wrong(format!("pages in orders that the seed makes: {words}")),
        Ok((0, 0)) => Found::Right,
        Ok((wrong, _)) if wrong > 0 => {
            let batches = counted(wrong, "batch breaks", "batches break");
            Found::Wrong(format!("{batches} the merge rule, so that the length of batches counts for nothing"))
        }
        Ok((_, spare)) => {
            let points = 15_u32.saturating_sub(u32::try_from(spare).unwrap_or(15));
            Found::Part(
                points,
                format!(
                    "{} could have gone with the one before: can_merge says no where the rule allows it",
                    counted(spare, "batch", "batches")
                ),
            )
        }
    }
}

fn count_spare(exam: &Exam<'_>, seed: Seed) -> Result<(u64, u64), String> {
    const OUT: u64 = 48;
    let (mut wrong, mut spare) = (0, 0);
    for number in 0..4 {
        let mut random = seed.random(&format!("order {number}"));
        let mut subject = exam.subject()?;
        let mut ask =
            |command: &str| ask(&mut subject, command).map_err(|words| format!("`{command}`: your code {words}"));
        ask(&format!("machine {FRAMES} {MUCH}"))?;
        // Folios of one page, and of four.
        let order = if number % 2 == 0 { 0 } else { 2 };
        let pages = 1 << order;
        for page in (0..OUT).step_by(pages) {
            ask(&format!("make 0 {page} {order} {}", page + 1))?;
        }
        let mut out = 0;
        for page in (0..OUT).step_by(pages) {
            if random.below(6) > 0 && ask(&format!("out 0 {page}"))? == "yes" {
                out += pages as u64;
            }
        }
        ask("submit")?;
        let (free, expected) = (ask("free-frames")?, FRAMES - OUT + out);
        if free != expected.to_string() {
            return Err(format!(
                "{out} pages went out, but {free} frames are free and not {expected}: batches that store nothing count for nothing"
            ));
        }
        for (question, count) in [("wrong-batches", &mut wrong), ("spare-batches", &mut spare)] {
            let answer = ask(question)?;
            *count += answer.parse::<u64>().map_err(|_| format!("`{question}` says `{answer}`"))?;
        }
        // Batches of a disk that keeps nothing are not worth anything.
        for page in 0..OUT {
            let (answer, expected) = (ask(&format!("read 0 {page}"))?, (page + 1).to_string());
            if answer != expected {
                return Err(format!("`read 0 {page}` says `{answer}`, expected `{expected}`"));
            }
        }
    }
    Ok((wrong, spare))
}
