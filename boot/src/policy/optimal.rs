//! What no policy can do better: the page goes that is used again last (Belady, 1966).

use std::collections::BinaryHeap;

/// How many references of the trace, which has pages below `pages`, are hits with this many frames.
pub(crate) fn hits(trace: &[u32], frames: usize, pages: usize) -> usize {
    let next = next_uses(trace, pages);
    // What is in memory, with its next use, and with uses that are over, which come last.
    let mut by_next_use = BinaryHeap::new();
    let mut is_in_memory = vec![false; pages];
    let (mut used, mut hits) = (0, 0);
    for (&page, &next) in trace.iter().zip(&next) {
        if is_in_memory[page as usize] {
            hits += 1;
        } else {
            if used == frames
                && let Some((_, page)) = by_next_use.pop()
            {
                let page: u32 = page;
                is_in_memory[page as usize] = false;
                used -= 1;
            }
            is_in_memory[page as usize] = true;
            used += 1;
        }
        by_next_use.push((next, page));
    }
    hits
}

/// The position at which the page of each reference is used next.
fn next_uses(trace: &[u32], pages: usize) -> Vec<usize> {
    let mut uses = vec![usize::MAX; pages];
    let mut next: Vec<usize> =
        trace.iter().enumerate().rev().map(|(at, &page)| std::mem::replace(&mut uses[page as usize], at)).collect();
    next.reverse();
    next
}
