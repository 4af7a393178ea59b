//! A reference trace of five pages, and the touches in it that fault when there are four frames.
//!
//! Worked out by hand from the policy: a page is inactive at first; looked at, it becomes active if it was accessed, else it
//! goes; the active list feeds the inactive one when that is the shorter; a page that comes back soon is active.

/// How many frames there are.
pub const FRAMES: usize = 4;

/// The pages in the order in which they are touched: Belady's, then a loop over all.
pub const TRACE: [u64; 22] = [0, 1, 2, 3, 0, 1, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 0, 1, 1, 4];

/// The touches that fault, by their place in the trace.
pub const FAULTS: [usize; 16] = [0, 1, 2, 3, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 19];
