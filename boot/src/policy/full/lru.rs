//! The page goes that was used least recently.

use super::{lists::Lists, memory::Memory};

const MEMORY: u8 = 1;

pub(super) struct Lru {
    lists: Lists<1>,
    frames: usize,
}

impl Lru {
    pub(super) fn new(frames: usize, pages: usize) -> Self {
        Self { lists: Lists::new(pages), frames }
    }
}

impl Memory for Lru {
    fn access(&mut self, page: u32) -> bool {
        let hit = self.lists.list(page) == MEMORY;
        if !hit && self.lists.len(MEMORY) == self.frames {
            self.lists.pop(MEMORY);
        }
        self.lists.push(MEMORY, page);
        hit
    }
}
