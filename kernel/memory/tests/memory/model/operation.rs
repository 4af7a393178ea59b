//! What programs and the kernel do to memory.

use std::ops::Range;

use proptest::prelude::*;

use super::{CGROUPS, MOST_PROCESSES, OBJECT_PAGES, OBJECTS, PAGES, PLACES};

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Map {
        process: usize,
        first: u64,
        pages: u64,
        write: bool,
        kind: u8,
        object: usize,
        offset: u64,
        populate: bool,
    },
    Unmap {
        process: usize,
        first: u64,
        pages: u64,
    },
    Protect {
        process: usize,
        first: u64,
        pages: u64,
        protection: u8,
    },
    Move {
        process: usize,
        first: u64,
        pages: u64,
        to: u64,
        new_pages: u64,
    },
    Advise {
        process: usize,
        first: u64,
        pages: u64,
        advice: u8,
    },
    Lock {
        process: usize,
        first: u64,
        pages: u64,
        lock: bool,
    },
    Read {
        process: usize,
        page: u64,
    },
    Write {
        process: usize,
        page: u64,
        place: usize,
        word: u64,
    },
    ObjectRead {
        object: usize,
        index: u64,
        place: usize,
    },
    ObjectWrite {
        object: usize,
        index: u64,
        place: usize,
        word: u64,
    },
    /// The object ends after so many pages, and half of one.
    Cut {
        object: usize,
        pages: u64,
        half: bool,
    },
    Punch {
        object: usize,
        first: u64,
        pages: u64,
    },
    /// The pages get their memory, if they have none.
    Allocate {
        object: usize,
        first: u64,
        pages: u64,
    },
    Fork {
        process: usize,
    },
    End {
        process: usize,
    },
    Reclaim {
        passes: usize,
    },
    SwapOff,
    SwapOn,
    /// A cgroup may have so many pages of memory, and of swap.
    Limit {
        cgroup: usize,
        pages: u64,
    },
    LimitSwap {
        cgroup: usize,
        pages: u64,
    },
    /// The process goes to another cgroup, or to the root.
    Join {
        process: usize,
        cgroup: usize,
    },
    /// A cgroup goes, with those in it, and another comes.
    Remove {
        cgroup: usize,
    },
    /// After so many requests one fails.
    FailDisk {
        write: bool,
        succeed: u32,
    },
    /// After so many allocations one fails.
    FailAllocation {
        succeed: u32,
    },
}

/// With such limits for cgroups, in pages.
pub(super) fn operation(limits: Range<u64>) -> impl Strategy<Value = Operation> {
    let process = 0..MOST_PROCESSES;
    let first = 0..PAGES;
    let pages = prop_oneof![3 => 1..4_u64, 1 => 1..PAGES];
    let range = (process.clone(), first.clone(), pages);
    let word = prop_oneof![1 => Just(0), 6 => any::<u64>()];
    prop_oneof![
        6 => (range.clone(), any::<bool>(), 0..4_u8, 0..OBJECTS, 0..OBJECT_PAGES, any::<bool>()).prop_map(
            |((process, first, pages), write, kind, object, offset, populate)| Operation::Map {
                process, first, pages, write, kind, object, offset, populate
            }
        ),
        2 => range.clone().prop_map(|(process, first, pages)| Operation::Unmap { process, first, pages }),
        2 => (range.clone(), 0..3_u8).prop_map(|((process, first, pages), protection)| Operation::Protect {
            process, first, pages, protection
        }),
        2 => (range.clone(), 0..PAGES, 1..8_u64).prop_map(|((process, first, pages), to, new_pages)| Operation::Move {
            process, first, pages: pages.min(8), to, new_pages
        }),
        6 => (range.clone(), prop_oneof![8 => 0..4_u8, 1 => 4..7_u8, 4 => Just(7)]).prop_map(|((process, first, pages), advice)| Operation::Advise {
            process, first, pages, advice
        }),
        1 => (range, any::<bool>()).prop_map(|((process, first, pages), lock)| Operation::Lock {
            process, first, pages: pages.min(4), lock
        }),
        20 => (process.clone(), first.clone()).prop_map(|(process, page)| Operation::Read { process, page }),
        30 => (process.clone(), first, 0..PLACES.len(), word.clone()).prop_map(|(process, page, place, word)| {
            Operation::Write { process, page, place, word }
        }),
        3 => (0..OBJECTS, 0..OBJECT_PAGES, 0..PLACES.len()).prop_map(|(object, index, place)| Operation::ObjectRead {
            object, index, place
        }),
        3 => (0..OBJECTS, 0..OBJECT_PAGES, 0..PLACES.len(), word).prop_map(|(object, index, place, word)| {
            Operation::ObjectWrite { object, index, place, word }
        }),
        1 => (0..OBJECTS, 0..=OBJECT_PAGES, any::<bool>()).prop_map(|(object, pages, half)| Operation::Cut {
            object, pages, half: half && pages < OBJECT_PAGES
        }),
        1 => (0..OBJECTS, 0..OBJECT_PAGES, 1..4_u64).prop_map(|(object, first, pages)| Operation::Punch {
            object, first, pages
        }),
        1 => (0..OBJECTS, 0..OBJECT_PAGES, 1..8_u64).prop_map(|(object, first, pages)| Operation::Allocate {
            object, first, pages
        }),
        1 => (0..CGROUPS, limits).prop_map(|(cgroup, pages)| Operation::Limit { cgroup, pages }),
        1 => (0..CGROUPS, 0..100_u64).prop_map(|(cgroup, pages)| Operation::LimitSwap { cgroup, pages }),
        2 => (process.clone(), 0..=CGROUPS).prop_map(|(process, cgroup)| Operation::Join { process, cgroup }),
        1 => (0..CGROUPS).prop_map(|cgroup| Operation::Remove { cgroup }),
        1 => (any::<bool>(), 0..8_u32).prop_map(|(write, succeed)| Operation::FailDisk { write, succeed }),
        1 => (0..40_u32).prop_map(|succeed| Operation::FailAllocation { succeed }),
        2 => process.clone().prop_map(|process| Operation::Fork { process }),
        1 => process.prop_map(|process| Operation::End { process }),
        6 => (1..4_usize).prop_map(|passes| Operation::Reclaim { passes }),
        1 => Just(Operation::SwapOff),
        2 => Just(Operation::SwapOn),
    ]
}
