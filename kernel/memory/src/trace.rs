//! A reference trace of five pages, and the touches in it that fault under each policy when there are four frames.
//!
//! Walked by hand for `fifo` and `two-list`; the others are what the simulator said first, and the kernel has to say the same.

/// How many frames there are.
pub const FRAMES: usize = 4;

/// The pages in the order in which they are touched: Belady's, then a loop over all.
pub const TRACE: [u64; 22] = [0, 1, 2, 3, 0, 1, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 0, 1, 1, 4];

/// For each policy the touches that fault, by their place in the trace.
pub const FAULTS: &[(&str, &[usize])] = &[
    ("fifo", &[0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19]),
    ("clock", &[0, 1, 2, 3, 6, 9, 10, 11, 14, 15, 16, 17, 19]),
    ("two-list", &[0, 1, 2, 3, 6, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19]),
    ("mglru", &[0, 1, 2, 3, 6, 9, 10, 11, 14, 15, 16]),
    ("clock-pro", &[0, 1, 2, 3, 6, 9, 10, 11, 14, 16]),
    ("s3-fifo", &[0, 1, 2, 3, 6, 9, 10, 11, 14, 15, 16]),
    ("reuse", &[0, 1, 2, 3, 6, 9, 10, 11, 14, 15, 16]),
];

/// Those of the policy of that name.
pub fn faults(policy: &str) -> Option<&'static [usize]> {
    FAULTS.iter().find_map(|(name, faults)| (*name == policy).then_some(*faults))
}
