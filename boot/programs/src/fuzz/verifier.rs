//! Beside the calls: pages of known contents, more than there is memory for. Whatever a call does, they stay as they are.

use std::{
    fs::{File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use quire_protocol::contents::{Contents, Page};

use super::draw::Draw;
use crate::{
    memory::{Memory, PAGE},
    process::{Child, End, exit},
};

/// The exit status of a verifier that found a wrong page; it has said which.
pub(super) const WRONG: i32 = 60;

/// How many pages are looked at in one go.
const AT_ONCE: usize = 64;

/// What is verified.
struct Pages {
    private: Memory,
    /// For each page how often it has got new contents.
    versions: Vec<u64>,
    shared: Memory,
    file: File,
}

/// The contents of a page: those that compress and those that do not, and a few zeros.
fn fill(page: &mut Page, index: usize, version: u64) {
    let kind = match index % 8 {
        0 => Contents::Zero,
        1..4 => Contents::Random,
        _ => Contents::Same,
    };
    kind.fill(page, index as u64 | version << 24);
}

fn is_right(page: &Page, index: usize, version: u64) -> bool {
    let mut expected = [0; PAGE];
    fill(&mut expected, index, version);
    *page == expected
}

/// Verifies `pages` pages of its own, and some that are shared and some of a file, again and again until it is ended.
/// `rounds` counts how often all were right.
pub(super) fn verify(pages: usize, rounds: &AtomicU64) -> i32 {
    match Pages::make(pages).and_then(|pages| pages.verify(rounds)) {
        // Memory was short; another one begins anew.
        Err(_) => 1,
        Ok(wrong) => {
            println!("fuzz: the verifier found {wrong}");
            WRONG
        }
    }
}

impl Pages {
    fn make(pages: usize) -> io::Result<Self> {
        let others = pages / 8;
        // Without a name, so that it goes with its last user.
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open("/tmp/fuzz-verified")?;
        std::fs::remove_file("/tmp/fuzz-verified")?;
        let (mut private, mut shared) = (Memory::private(pages)?, Memory::shared(others)?);
        private.pages().iter_mut().enumerate().for_each(|(index, page)| fill(page, index, 0));
        shared.pages().iter_mut().enumerate().for_each(|(index, page)| fill(page, index, 1));
        let mut page = [0; PAGE];
        for index in 0..others {
            fill(&mut page, index, 2);
            file.write_all_at(&page, (index * PAGE) as u64)?;
        }
        Ok(Self { private, versions: vec![0; pages], shared, file })
    }

    fn verify(mut self, rounds: &AtomicU64) -> io::Result<String> {
        let mut draw = Draw::new(1, 2, 3);
        loop {
            let mut from = 0;
            while from < self.versions.len() {
                let part = from..(from + AT_ONCE).min(self.versions.len());
                if let Some(wrong) = self.wrong_among(part.clone())? {
                    return Ok(wrong);
                }
                match draw.below(32) {
                    0 => {
                        if let Some(wrong) = self.wrong_in_child(part.clone())? {
                            return Ok(wrong);
                        }
                    }
                    1 => self.private.advise(part.clone(), nix::sys::mman::MmapAdvise::MADV_PAGEOUT)?,
                    2..8 => self.renew(part.clone()),
                    _ => {}
                }
                from = part.end;
                // The others are to get on as well.
                std::thread::sleep(Duration::from_millis(1));
            }
            rounds.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn renew(&mut self, part: Range<usize>) {
        for index in part {
            self.versions[index] += 1;
            fill(&mut self.private.pages()[index], index, self.versions[index]);
        }
    }

    /// The first wrong page in this part of each kind of pages.
    fn wrong_among(&mut self, part: Range<usize>) -> io::Result<Option<String>> {
        let mut page = [0; PAGE];
        for index in part {
            if !is_right(&self.private.pages()[index], index, self.versions[index]) {
                return Ok(Some(format!("a wrong page {index} of version {}", self.versions[index])));
            }
            // The others are fewer: each has its turn.
            if index % 8 != 0 {
                continue;
            }
            let index = index / 8;
            if self.shared.pages().get(index).is_some_and(|page| !is_right(page, index, 1)) {
                return Ok(Some(format!("a wrong shared page {index}")));
            }
            if index < self.versions.len() / 8 {
                self.file.read_exact_at(&mut page, (index * PAGE) as u64)?;
                if !is_right(&page, index, 2) {
                    return Ok(Some(format!("a wrong page {index} of a file")));
                }
            }
        }
        Ok(None)
    }

    /// A child finds its copy right, changes it, and leaves its parent's alone.
    fn wrong_in_child(&mut self, part: Range<usize>) -> io::Result<Option<String>> {
        let child = Child::start(|| {
            for index in part.clone() {
                let version = self.versions[index];
                let page = &mut self.private.pages()[index];
                if !is_right(page, index, version) {
                    exit(WRONG);
                }
                page.fill(0xc5);
            }
            0
        });
        // Without memory for a child there is none.
        let Ok(child) = child else { return Ok(None) };
        match child.wait()? {
            End::Exited(WRONG) => Ok(Some(format!("a wrong page of {part:?} in a child"))),
            _ => self.wrong_among(part),
        }
    }
}
