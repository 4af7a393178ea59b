//! What every system call has: its arguments, its outcome, its place in a list.

use core::cell::Cell;

use quire_machine::arch::registers::TrapFrame;
use quire_machine::user::Word;

use crate::errno::Errno;
use crate::process::control_block::this;

/// What a call returns: a value for the program, or an error.
pub(super) type Outcome = Result<u64, Errno>;

/// What a call was called with.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'a> {
    frame: &'a Cell<TrapFrame>,
    words: [Word; 6],
}

impl<'a> Arguments<'a> {
    /// What is in `rdi`, `rsi`, `rdx`, `r10`, `r8` and `r9`, and the other registers of the program.
    pub(super) fn new(frame: &'a Cell<TrapFrame>, words: [u64; 6]) -> Self {
        Self { frame, words: words.map(Word::new) }
    }

    /// The program's registers, with which it goes on.
    pub(super) const fn frame(&self) -> &'a Cell<TrapFrame> {
        self.frame
    }

    /// The arguments, which cannot be calculated with before it is said what each is.
    pub(super) const fn words(&self) -> [Word; 6] {
        self.words
    }

    /// One of the arguments.
    pub(super) const fn word(&self, index: usize) -> Word {
        self.words[index]
    }
}

/// A call's function.
pub(super) type Call = fn(&Arguments<'_>) -> Outcome;

/// The calls of one file: number and function.
pub(super) type Calls = &'static [(u32, Call)];

/// What only the superuser may do.
pub(super) fn require_superuser() -> Result<(), Errno> {
    let may = this().identity().is_superuser();
    if may { Ok(()) } else { Err(Errno::EPERM) }
}
