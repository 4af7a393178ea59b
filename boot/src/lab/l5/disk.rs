//! A slow disk behind a small memory: which pages are there is known here, and what was read for nothing. The student's code
//! only says how many neighbours of a missing page are read with it.

use std::collections::VecDeque;

use super::workloads::{PAGES, REQUEST, WINDOW_MAX};
use crate::lab::subject::Subject;

/// Pages in memory; the one that was used or read first goes.
const FRAMES: usize = 128;

const FAULT: u8 = 1;
const USED: u8 = 2;
const WASTED: u8 = 3;
const NEW: u8 = 0;
const END: u8 = 4;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bill {
    pub(super) requests: u64,
    pub(super) pages: u64,
    /// Pages that were read and left without being used.
    pub(super) wasted: u64,
}

impl Bill {
    pub(super) fn cost(self) -> u64 {
        self.requests * REQUEST + self.pages
    }
}

/// One that says how many pages before and after a missing one are read with it.
pub(super) trait Advice {
    fn fault(&mut self, page: u64) -> Result<(u64, u64), String>;
    fn used(&mut self, _page: u64) {}
    fn wasted(&mut self, _page: u64) {}
}

/// The student's code.
pub(super) struct Student<'a>(&'a mut Subject);

fn message(kind: u8, page: u64) -> [u8; 5] {
    let [a, b, c, d, ..] = page.to_le_bytes();
    [kind, a, b, c, d]
}

impl<'a> Student<'a> {
    pub(super) fn new(subject: &'a mut Subject) -> Self {
        subject.tell(&message(NEW, 0));
        Self(subject)
    }

    /// What was told after the last question is heard too.
    pub(super) fn end(self) -> Result<(), String> {
        self.0.ask::<8>(&message(END, 0)).map(drop).map_err(|words| format!("after the last access: your code {words}"))
    }
}

impl Advice for Student<'_> {
    fn fault(&mut self, page: u64) -> Result<(u64, u64), String> {
        let answer: [u8; 8] = self.0.ask(&message(FAULT, page)).map_err(|words| format!("your code {words}"))?;
        let both = u64::from_le_bytes(answer);
        Ok((both & u64::from(u32::MAX), both >> u32::BITS))
    }

    fn used(&mut self, page: u64) {
        self.0.tell(&message(USED, page));
    }

    fn wasted(&mut self, page: u64) {
        self.0.tell(&message(WASTED, page));
    }
}

/// So many pages after the missing one, always.
pub(super) struct Fixed(pub(super) u64);

impl Advice for Fixed {
    fn fault(&mut self, _page: u64) -> Result<(u64, u64), String> {
        Ok((0, self.0))
    }
}

/// Makes the accesses.
///
/// # Errors
/// What is wrong with the advice, with its place.
pub(super) fn run(advice: &mut impl Advice, accesses: &[u64]) -> Result<Bill, String> {
    // Each with whether it was used.
    let mut memory: VecDeque<(u64, bool)> = VecDeque::new();
    let mut bill = Bill::default();
    for (at, &page) in accesses.iter().enumerate() {
        if let Some(place) = memory.iter().position(|(other, _)| *other == page) {
            let (_, was_used) = memory.remove(place).unwrap_or((page, true));
            memory.push_back((page, true));
            if !was_used {
                advice.used(page);
            }
            continue;
        }
        let place = || format!("access {} (page {page})", at + 1);
        let (before, after) = advice.fault(page).map_err(|words| format!("{}: {words}", place()))?;
        if before + after + 1 > WINDOW_MAX {
            let words = format!(
                "fault() wants {before} pages before and {after} after it; a request has at most {WINDOW_MAX} pages"
            );
            return Err(format!("{}: {words}", place()));
        }
        bill.requests += 1;
        // What is beyond the area is left out, and what is in memory is not read again. The missing page comes last.
        let window = (page.saturating_sub(before)..page).chain(page + 1..(page + after + 1).min(PAGES));
        for other in window.chain([page]) {
            if memory.iter().any(|(there, _)| *there == other) {
                continue;
            }
            bill.pages += 1;
            if memory.len() == FRAMES
                && let Some((gone, false)) = memory.pop_front()
            {
                bill.wasted += 1;
                advice.wasted(gone);
            }
            memory.push_back((other, other == page));
        }
    }
    bill.wasted += memory.iter().filter(|(_, was_used)| !was_used).count() as u64;
    Ok(bill)
}

#[cfg(test)]
mod tests {
    use super::{Bill, Fixed, run};

    #[test]
    fn a_window_saves_requests_or_wastes_pages() {
        let stream: Vec<u64> = (100..164).collect();
        assert_eq!(run(&mut Fixed(0), &stream), Ok(Bill { requests: 64, pages: 64, wasted: 0 }));
        assert_eq!(run(&mut Fixed(31), &stream), Ok(Bill { requests: 2, pages: 64, wasted: 0 }));
        let apart: Vec<u64> = (0..64).map(|at| at * 100).collect();
        assert_eq!(run(&mut Fixed(7), &apart), Ok(Bill { requests: 64, pages: 512, wasted: 448 }));
        assert!(run(&mut Fixed(32), &stream).is_err());
    }
}
