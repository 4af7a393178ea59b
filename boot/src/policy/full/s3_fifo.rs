//! S3-FIFO, with counts up to 3, a tenth of memory for new pages and as many ghosts as the rest has frames (Yang,
//! Zhang, Qiu, Yue and Rashmi, 2023).

use super::{lists::Lists, memory::Memory};

const SMALL: u8 = 1;
const MAIN: u8 = 2;
const GHOST: u8 = 3;
const COUNT_MAX: u8 = 3;

pub(super) struct S3Fifo {
    lists: Lists<3>,
    counts: Vec<u8>,
    small: usize,
    frames: usize,
}

impl S3Fifo {
    pub(super) fn new(frames: usize, pages: usize) -> Self {
        Self { lists: Lists::new(pages), counts: vec![0; pages], small: (frames / 10).max(1), frames }
    }

    /// Looks at one page.
    fn look(&mut self) {
        if (self.lists.len(SMALL) > self.small || self.lists.len(MAIN) == 0)
            && let Some(page) = self.lists.pop(SMALL)
        {
            let is_used = self.counts[page as usize] > 1;
            self.counts[page as usize] = 0;
            self.lists.push(if is_used { MAIN } else { GHOST }, page);
            if self.lists.len(GHOST) > self.frames - self.small {
                self.lists.pop(GHOST);
            }
        } else if let Some(page) = self.lists.pop(MAIN)
            && self.counts[page as usize] > 0
        {
            self.counts[page as usize] -= 1;
            self.lists.push(MAIN, page);
        }
    }
}

impl Memory for S3Fifo {
    fn access(&mut self, page: u32) -> bool {
        let list = self.lists.list(page);
        if matches!(list, SMALL | MAIN) {
            self.counts[page as usize] = (self.counts[page as usize] + 1).min(COUNT_MAX);
            return true;
        }
        while self.lists.len(SMALL) + self.lists.len(MAIN) >= self.frames {
            self.look();
        }
        self.counts[page as usize] = 0;
        self.lists.push(if list == GHOST { MAIN } else { SMALL }, page);
        false
    }
}
