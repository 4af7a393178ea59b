//! Operations and failures in an order that a seed makes, as a script of which every answer is known before.

use std::{collections::BTreeMap, fmt::Write as _};

use super::ask::run as run_script;
use crate::lab::{
    exam::Exam,
    seed::{Random, Seed},
};

const PAGES: u64 = 40;
const OPERATIONS: u64 = 250;

/// Some runs of a seed.
///
/// # Errors
/// The first answer that is wrong.
pub(super) fn run(exam: &Exam<'_>, seed: Seed, runs: u64) -> Result<(), String> {
    for number in 0..runs {
        let text = script(&mut seed.random(&format!("failures {number}")), number);
        run_script(&mut exam.subject()?, &text, "random failures").map_err(|words| {
            let again =
                exam.leave_failed(&text).map(|again| format!("\nthe commands are in {again}")).unwrap_or_default();
            words + &again
        })?;
    }
    Ok(())
}

/// In every other run both disks fail. Otherwise it is one of them alone, so that no page may be lost.
fn script(random: &mut Random, number: u64) -> String {
    let failing = (number.is_multiple_of(2)).then(|| random.below(2));
    let about = match failing {
        Some(disk) => format!("# Disk {disk} fails now and then, the other one never: no page is lost.\n"),
        None => {
            "# Both disks fail now and then: a page may be lost, but none is said to be that a disk has.\n".to_owned()
        }
    };
    let mut text = format!("{about}machine 256\n");
    let mut pages = BTreeMap::new();
    for word in 1..=OPERATIONS {
        let (task, page) = (random.below(2), random.below(PAGES));
        let line = match (random.below(12), pages.get(&(task, page))) {
            (0..7, None) => {
                pages.insert((task, page), word);
                format!("make {task} {page} 0 {word}\nout {task} {page}\n")
            }
            (0..3, Some(_)) => format!("out {task} {page}\n"),
            (3 | 4, Some(known)) if failing.is_some() => format!("read {task} {page} = {known}\n"),
            (5, Some(_)) if failing.is_some() => {
                pages.insert((task, page), word);
                format!("write {task} {page} {word} = yes\n")
            }
            (3..=5, Some(_)) => format!("read {task} {page}\n"),
            // The slot stays, so that what a disk has there becomes old.
            (6, Some(known)) if failing.is_some() && random.below(3) > 0 => {
                let line =
                    format!("read {task} {page} = {known}\ndirty {task} {page} {word} = yes\nout {task} {page}\n");
                pages.insert((task, page), word);
                line
            }
            (6, Some(_)) if failing.is_none() && random.below(3) > 0 => {
                format!("read {task} {page}\ndirty {task} {page} {word}\nout {task} {page}\n")
            }
            (6, Some(_)) => {
                pages.remove(&(task, page));
                format!("unmap {task} {page}\n")
            }
            (7, _) => "settle\n".to_owned(),
            (8, _) => failure(random, failing),
            (9, Some(_)) => format!("around {task} {page}\n"),
            _ => "submit\nwrong-results = 0\n".to_owned(),
        };
        text.push_str(&line);
    }
    text.push_str("back 0\nback 1\nsettle\nswapoff\nwrong-results = 0\n");
    if failing.is_some() {
        text.push_str("poisoned = 0\n");
    }
    for ((task, page), word) in &pages {
        if failing.is_some() {
            _ = writeln!(text, "read {task} {page} = {word}");
        }
        _ = writeln!(text, "unmap {task} {page}");
    }
    text + "settle\npages 0 = 0\npages 1 = 0\n"
}

/// One disk fails, once or for a while.
fn failure(random: &mut Random, failing: Option<u64>) -> String {
    let disk = failing.unwrap_or_else(|| random.below(2));
    match random.below(6) {
        0 => format!("gone {disk}\n"),
        1 | 2 => format!("back {disk}\n"),
        3 | 4 => format!("fail-read {disk} {}\n", 1 + random.below(4)),
        _ => format!("fail-write {disk} {}\n", 1 + random.below(4)),
    }
}

/// Pages of two tasks, which read theirs in order but take turns as chance has it.
pub(super) fn streams(seed: Seed) -> String {
    const STREAM: u64 = 60;
    let mut random = seed.random("streams");
    let mut text = "machine 256\n".to_owned();
    for task in 0..2 {
        for page in 0..STREAM {
            _ = writeln!(text, "make {task} {page} 0 {}\nout {task} {page}", 1000 * task + page + 1);
        }
        text.push_str("submit\n");
    }
    text.push_str("free-frames = 256\n");
    let mut next = [0; 2];
    while next != [STREAM; 2] {
        let task = random.below(2) as usize;
        if next[task] < STREAM {
            _ = writeln!(text, "read {task} {} = {}", next[task], 1000 * task as u64 + next[task] + 1);
            next[task] += 1;
        }
    }
    text + "wrong-results = 0\n"
}
