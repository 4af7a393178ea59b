//! What a process has said that a signal shall do: `sigaction(2)`.

use alloc::boxed::Box;

use linux_raw_sys::general as linux;
use quire_machine::fallible::{self, NoMemory};

use super::number::{DefaultAction, SIGNALS, Set, Signal};

const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;

/// What a signal does, in the form of Linux's `struct sigaction` of the system call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// 0 for the default, 1 to ignore it, else the handler's address.
    pub handler: u64,
    /// `SA_…` flags.
    pub flags: u64,
    /// Where the handler returns to: code that calls `rt_sigreturn`.
    pub restorer: u64,
    /// What is blocked beside the signal itself while the handler runs.
    pub mask: Set,
}

impl Action {
    /// The bytes of the structure.
    pub const BYTES: usize = 32;

    const DEFAULT: Self = Self { handler: DEFAULT, flags: 0, restorer: 0, mask: Set::EMPTY };

    /// The action that a program's `bytes` say; what cannot be blocked is taken out of the mask.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let word = |index: usize| u64::from_le_bytes(words[index]);
        Self { handler: word(0), flags: word(1), restorer: word(2), mask: Set::from_bits(word(3)) & !Set::UNSTOPPABLE }
    }

    /// The structure's bytes.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let words = [self.handler, self.flags, self.restorer, self.mask.bits()];
        for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    /// Whether `flag`, one of Linux's `SA_…`, is set.
    pub fn has(self, flag: u32) -> bool {
        self.flags & u64::from(flag) != 0
    }

    /// Whether the process has left the signal's default.
    pub fn is_default(self) -> bool {
        self.handler == DEFAULT
    }

    /// Whether the process ignores the signal.
    pub fn is_ignore(self) -> bool {
        self.handler == IGNORE
    }

    /// Whether nothing happens when `signal`, whose action this is, is delivered.
    pub(super) fn does_nothing(self, signal: Signal) -> bool {
        let default = matches!(signal.default_action(), DefaultAction::Ignore | DefaultAction::Continue);
        self.is_ignore() || self.is_default() && default
    }

    /// Whether `signal`, whose action this is, ends the process.
    pub(super) fn is_fatal(self, signal: Signal) -> bool {
        self.is_default() && signal.default_action() == DefaultAction::Terminate
    }
}

/// The actions of all signals: on the heap, as a process is moved about on kernel stacks while it is made.
#[derive(Debug)]
pub(super) struct Actions(Box<[Action]>);

impl Actions {
    /// The default of each.
    pub(super) fn new() -> Result<Self, NoMemory> {
        fallible::boxed_slice(&[Action::DEFAULT; SIGNALS]).map(Self)
    }

    pub(super) fn copy_from(&mut self, others: &Self) {
        self.0.copy_from_slice(&others.0);
    }

    pub(super) fn get(&self, signal: Signal) -> Action {
        self.0[signal.index()]
    }

    pub(super) fn set(&mut self, signal: Signal, action: Action) {
        self.0[signal.index()] = action;
    }

    /// What `execve` leaves: the new program has no handlers, and what was ignored stays ignored.
    pub(super) fn forget_handlers(&mut self) {
        for action in &mut *self.0 {
            let handler = if action.is_ignore() { IGNORE } else { DEFAULT };
            *action = Action { handler, ..Action::DEFAULT };
        }
    }

    /// Whether the end of a child leaves nothing to wait for (`SIGCHLD` ignored, or `SA_NOCLDWAIT`).
    pub(super) fn children_vanish(&self) -> bool {
        let action = self.get(Signal::SIGCHLD);
        action.is_ignore() || action.has(linux::SA_NOCLDWAIT)
    }
}
