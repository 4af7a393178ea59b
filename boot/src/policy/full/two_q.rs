//! 2Q, the full version with the sizes that the paper recommends: a quarter of memory for new pages, half as many
//! ghosts as frames (Johnson and Shasha, 1994).

use super::{lists::Lists, memory::Memory};

const NEW: u8 = 1;
const MAIN: u8 = 2;
const GHOST: u8 = 3;

pub(super) struct TwoQ {
    lists: Lists<3>,
    frames: usize,
}

impl TwoQ {
    pub(super) fn new(frames: usize, pages: usize) -> Self {
        Self { lists: Lists::new(pages), frames }
    }

    fn make_room(&mut self) {
        if self.lists.len(NEW) + self.lists.len(MAIN) < self.frames {
            return;
        }
        if (self.lists.len(NEW) > self.frames / 4 || self.lists.len(MAIN) == 0)
            && let Some(page) = self.lists.pop(NEW)
        {
            self.lists.push(GHOST, page);
            if self.lists.len(GHOST) > self.frames / 2 {
                self.lists.pop(GHOST);
            }
        } else {
            self.lists.pop(MAIN);
        }
    }
}

impl Memory for TwoQ {
    fn access(&mut self, page: u32) -> bool {
        match self.lists.list(page) {
            NEW => return true,
            MAIN => {
                self.lists.push(MAIN, page);
                return true;
            }
            GHOST => {
                self.lists.remove(page);
                self.make_room();
                self.lists.push(MAIN, page);
            }
            _ => {
                self.make_room();
                self.lists.push(NEW, page);
            }
        }
        false
    }
}
