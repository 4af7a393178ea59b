//! ARC (Megiddo and Modha, 2003).

use super::{lists::Lists, memory::Memory};

/// Pages used once and more often, and the ghosts of both.
const RECENT: u8 = 1;
const FREQUENT: u8 = 2;
const RECENT_GHOST: u8 = 3;
const FREQUENT_GHOST: u8 = 4;

pub(super) struct Arc {
    lists: Lists<4>,
    frames: usize,
    /// How many pages used once should stay.
    target: usize,
}

impl Arc {
    pub(super) fn new(frames: usize, pages: usize) -> Self {
        Self { lists: Lists::new(pages), frames, target: 0 }
    }

    /// The paper's REPLACE.
    fn replace(&mut self, is_frequent_ghost: bool) {
        let recent = self.lists.len(RECENT);
        let (from, to) = if recent > 0 && (recent > self.target || is_frequent_ghost && recent == self.target) {
            (RECENT, RECENT_GHOST)
        } else {
            (FREQUENT, FREQUENT_GHOST)
        };
        if let Some(page) = self.lists.pop(from) {
            self.lists.push(to, page);
        }
    }

    fn make_room_for_new(&mut self) {
        let recent = self.lists.len(RECENT) + self.lists.len(RECENT_GHOST);
        let all = recent + self.lists.len(FREQUENT) + self.lists.len(FREQUENT_GHOST);
        if recent == self.frames {
            if self.lists.len(RECENT) < self.frames {
                self.lists.pop(RECENT_GHOST);
                self.replace(false);
            } else {
                self.lists.pop(RECENT);
            }
        } else if all >= self.frames {
            if all == 2 * self.frames {
                self.lists.pop(FREQUENT_GHOST);
            }
            self.replace(false);
        }
    }
}

impl Memory for Arc {
    fn access(&mut self, page: u32) -> bool {
        let (recent_ghosts, frequent_ghosts) = (self.lists.len(RECENT_GHOST), self.lists.len(FREQUENT_GHOST));
        let list = self.lists.list(page);
        match list {
            RECENT | FREQUENT => {}
            RECENT_GHOST => {
                self.target = (self.target + (frequent_ghosts / recent_ghosts).max(1)).min(self.frames);
                self.replace(false);
            }
            FREQUENT_GHOST => {
                self.target = self.target.saturating_sub((recent_ghosts / frequent_ghosts).max(1));
                self.replace(true);
            }
            _ => {
                self.make_room_for_new();
                self.lists.push(RECENT, page);
                return false;
            }
        }
        self.lists.push(FREQUENT, page);
        matches!(list, RECENT | FREQUENT)
    }
}
