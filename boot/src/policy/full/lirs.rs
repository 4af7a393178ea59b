//! LIRS, with one frame in a hundred for pages of high inter-reference recency (Jiang and Zhang, 2002).

use super::{lists::Lists, memory::Memory};

/// In the stack: pages of low inter-reference recency, and others, in memory or not.
const LOW: u8 = 1;
/// In the queue: pages in memory of high inter-reference recency.
const HIGH: u8 = 1;

pub(super) struct Lirs {
    /// By recency. The one at the end is low.
    stack: Lists<1>,
    queue: Lists<1>,
    is_low: Vec<bool>,
    low: usize,
    low_max: usize,
    frames: usize,
}

impl Lirs {
    pub(super) fn new(frames: usize, pages: usize) -> Self {
        let high = (frames / 100).max(1);
        let (stack, queue) = (Lists::new(pages), Lists::new(pages));
        // One frame alone holds a page of either kind.
        Self { stack, queue, is_low: vec![false; pages], low: 0, low_max: frames.saturating_sub(high), frames }
    }

    /// Takes what is not low from the end of the stack.
    fn prune(&mut self) {
        while let Some(page) = self.stack.tail(LOW)
            && !self.is_low[page as usize]
        {
            self.stack.remove(page);
        }
    }

    fn become_low(&mut self, page: u32) {
        self.is_low[page as usize] = true;
        self.low += 1;
        self.queue.remove(page);
        if self.low > self.low_max
            && let Some(last) = self.stack.pop(LOW)
        {
            self.is_low[last as usize] = false;
            self.low -= 1;
            self.queue.push(HIGH, last);
            self.prune();
        }
    }
}

impl Memory for Lirs {
    fn access(&mut self, page: u32) -> bool {
        let is_in_stack = self.stack.list(page) == LOW;
        if self.is_low[page as usize] {
            self.stack.push(LOW, page);
            self.prune();
            return true;
        }
        let hit = self.queue.list(page) == HIGH;
        if !hit && self.low + self.queue.len(HIGH) == self.frames {
            self.queue.pop(HIGH);
        }
        self.stack.push(LOW, page);
        if is_in_stack && self.low_max > 0 || self.low < self.low_max {
            self.become_low(page);
        } else {
            self.queue.push(HIGH, page);
            self.prune();
        }
        hit
    }
}
