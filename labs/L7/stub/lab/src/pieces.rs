//! Four pieces of code that several tasks run at once. Each has a race. This file is given: the grader has its own.
//!
//! A line is what one task does without another one in between, as if under a lock. Between two lines any other task may run.

use core::fmt;

/// Slots that there are.
const SLOTS: usize = 3;

/// What all tasks see.
#[derive(Clone, Debug)]
pub struct All {
    /// What each disk of a mirror holds in each slot.
    disks: [[u64; SLOTS]; 2],
    /// Slots whose page on the second disk is old.
    is_stale: [bool; SLOTS],
    /// How often each slot was written.
    version: [u64; SLOTS],
    in_use: [bool; SLOTS],
    /// Disks that are in use, and how many these are.
    is_working: [bool; 2],
    working: usize,
    pte: Pte,
    /// What a task wrote last.
    written: u64,
}

/// Where a task's page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pte {
    /// In memory, where it holds this.
    Present(u64),
    /// In a slot of the first disk.
    Entry(usize),
}

/// What a task knows for itself.
#[derive(Clone, Debug)]
pub struct Own {
    number: u64,
    page: u64,
    slot: usize,
    pte: Pte,
    stops: bool,
}

type Line = fn(&mut All, &mut Own);

/// Tasks with their lines, and what is true when all have come to their ends, whatever the order.
pub struct Piece {
    /// The tasks.
    pub tasks: &'static [(&'static str, &'static [Line])],
    rule: &'static str,
    holds: fn(&All) -> bool,
}

impl fmt::Debug for Piece {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.rule)
    }
}

/// The pieces, of which number 1 is the first.
pub const PIECES: [Piece; 4] = [
    Piece {
        tasks: &[("copier", COPIER), ("writer", WRITER)],
        rule: "slot 1 holds the same on both disks, unless it is marked as stale",
        holds: |all| all.is_stale[1] || all.disks[0][1] == all.disks[1][1],
    },
    Piece {
        tasks: &[("first", FIRST), ("second", SECOND), ("healer", HEALER)],
        rule: "one of the disks is in use",
        holds: |all| all.is_working.contains(&true),
    },
    Piece {
        tasks: &[("fault", BRING_IN), ("swapoff", BRING_IN), ("writer", STORE), ("reclaim", RECLAIM)],
        rule: "the page holds what was written last",
        holds: |all| match all.pte {
            Pte::Present(page) => page == all.written,
            Pte::Entry(slot) => all.disks[0][slot] == all.written,
        },
    },
    Piece {
        tasks: &[("freer", FREER), ("taker", TAKER), ("reader", READER)],
        rule: "a page that was stored is on one disk at least",
        holds: |all| all.written != 8 || all.disks[0][1] == 8 || all.disks[1][1] == 8,
    },
];

/// Brings slot 1 of the second disk up to date, and gives up when it sees that the slot was written meanwhile.
const COPIER: &[Line] = &[
    |all, own| own.number = all.version[1],
    |all, own| own.page = all.disks[0][1],
    |all, own| own.stops = own.number != all.version[1],
    |all, own| if !own.stops { all.disks[1][1] = own.page },
    |all, own| if !own.stops { all.is_stale[1] = false },
];

/// Writes slot 1 twice.
const WRITER: &[Line] = &[
    |all, _| all.disks[0][1] = 7,
    |all, _| all.disks[1][1] = 7,
    |all, _| (all.version[1], all.is_stale[1]) = (1, false),
    |all, _| all.disks[0][1] = 8,
    |all, _| all.disks[1][1] = 8,
    |all, _| all.version[1] = 2,
];

/// The first disk has had an error: it is no longer used, unless it is the last.
const FIRST: &[Line] = &[
    |all, own| own.stops = all.working < 2,
    |all, own| if !own.stops { all.working -= 1 },
    |all, own| if !own.stops { all.is_working[0] = false },
];

/// The same for the second.
const SECOND: &[Line] = &[
    |all, own| own.stops = all.working < 2,
    |all, own| if !own.stops { all.working -= 1 },
    |all, own| if !own.stops { all.is_working[1] = false },
];

/// Brings the first disk back if it is not in use, and the other one is, of which the pages are copied.
const HEALER: &[Line] = &[
    |all, own| own.stops = all.is_working[0] || !all.is_working[1],
    |all, own| if !own.stops { all.disks[0] = all.disks[1] },
    |all, own| if !own.stops && all.is_working[1] { (all.is_working[0], all.working) = (true, 2) },
];

/// Brings the page in, for a fault or for `swapoff`. The slot is free then.
const BRING_IN: &[Line] = &[
    |all, own| own.pte = all.pte,
    |all, own| if let Pte::Entry(slot) = own.pte { own.page = all.disks[0][slot] },
    |all, own| {
        // Another task may have brought it in.
        if let Pte::Entry(slot) = own.pte
            && all.pte == own.pte
        {
            all.pte = Pte::Present(own.page);
            all.in_use[slot] = false;
        }
    },
];

/// Writes to the page if it is in memory.
const STORE: &[Line] = &[|all, _| {
    if matches!(all.pte, Pte::Present(_)) {
        all.pte = Pte::Present(9);
        all.written = 9;
    }
}];

/// Takes a slot, and writes the page there; it leaves memory if it was not changed meanwhile.
const RECLAIM: &[Line] = &[
    |all, own| {
        let free = all.in_use.iter().position(|in_use| !in_use);
        match (all.pte, free) {
            (Pte::Present(page), Some(slot)) => {
                (own.page, own.slot, own.stops) = (page, slot, false);
                all.in_use[slot] = true;
            }
            _ => own.stops = true,
        }
    },
    |all, own| if !own.stops { all.disks[0][own.slot] = own.page },
    |all, own| if !own.stops && all.pte == Pte::Present(own.page) { all.pte = Pte::Entry(own.slot) },
];

/// Frees slot 1 and has the disks forget it.
const FREER: &[Line] = &[
    |all, _| all.in_use[1] = false,
    |all, _| all.disks[0][1] = 0,
    |all, _| all.disks[1][1] = 0,
];

/// Takes slot 1 if it is free, and stores a page there.
const TAKER: &[Line] = &[
    |all, own| own.stops = core::mem::replace(&mut all.in_use[1], true),
    |all, own| if !own.stops { all.disks[0][1] = 8 },
    |all, own| if !own.stops { all.disks[1][1] = 8 },
    |all, own| if !own.stops { all.written = 8 },
];

/// Reads slot 1 and changes nothing.
const READER: &[Line] = &[
    |all, own| own.page = all.disks[0][1],
    |all, own| own.number = all.disks[1][1],
];

/// Tasks on their way through a piece.
#[derive(Clone, Debug)]
pub struct Running {
    piece: &'static Piece,
    all: All,
    /// The line that each task comes to next, and what it knows.
    tasks: [(usize, Own); 4],
}

impl Running {
    /// The piece of that number, before the first line.
    pub fn new(number: usize) -> Option<Self> {
        let own = Own { number: 0, page: 0, slot: 0, pte: Pte::Present(0), stops: false };
        let all = All {
            disks: [[0, 5, 5], [0, 0, 5]],
            is_stale: [false, true, false],
            version: [0; SLOTS],
            in_use: [true; SLOTS],
            is_working: [true; 2],
            working: 2,
            pte: Pte::Entry(2),
            written: 5,
        };
        let piece = PIECES.get(number.checked_sub(1)?)?;
        Some(Self { piece, all, tasks: [0; 4].map(|line| (line, own.clone())) })
    }

    /// A task runs so many lines; none if there is no such task, or it has not so many left.
    pub fn run(&mut self, task: &str, lines: usize) -> Option<()> {
        let number = self.piece.tasks.iter().position(|(name, _)| *name == task)?;
        let (next, own) = &mut self.tasks[number];
        let lines = self.piece.tasks[number].1.get(*next..*next + lines)?;
        for line in lines {
            line(&mut self.all, own);
        }
        *next += lines.len();
        Some(())
    }

    /// All tasks run to their ends, one after the other, as they are named; then what is true whatever the order.
    ///
    /// # Errors
    /// It is not, in words.
    pub fn end(mut self) -> Result<(), &'static str> {
        for (name, lines) in self.piece.tasks {
            let number = self.piece.tasks.iter().position(|(other, _)| other == name).unwrap_or(0);
            self.run(name, lines.len() - self.tasks[number].0);
        }
        if (self.piece.holds)(&self.all) { Ok(()) } else { Err(self.piece.rule) }
    }
}
