//! Signals that were sent and have not arrived yet.

use alloc::boxed::Box;

use quire_machine::fallible::{self, NoMemory};

use super::info::Info;
use super::number::{Set, Signal};

/// How many real-time signals may wait for one process (POSIX: at least 32).
const REAL_TIME: usize = 32;
/// And one of each other signal.
const ENTRIES: usize = REAL_TIME + 31;

/// There is no room for another real-time signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

/// The pending signals of one process, in the order in which they were sent. Room for all is taken at the start.
#[derive(Debug)]
pub(super) struct Pending {
    entries: Box<[(Signal, Info)]>,
    count: usize,
    set: Set,
}

impl Pending {
    pub(super) fn new() -> Result<Self, NoMemory> {
        let entries = fallible::boxed_slice(&[(Signal::SIGHUP, Info::Kernel); ENTRIES])?;
        Ok(Self { entries, count: 0, set: Set::EMPTY })
    }

    pub(super) fn set(&self) -> Set {
        self.set
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn entries(&self) -> &[(Signal, Info)] {
        &self.entries[..self.count]
    }

    /// Adds a signal; of those that are not real-time signals, one that is there already swallows the next.
    pub(super) fn push(&mut self, signal: Signal, info: Info) -> Result<(), QueueFull> {
        if signal.is_real_time() {
            if self.entries().iter().filter(|(other, _)| other.is_real_time()).count() == REAL_TIME {
                return Err(QueueFull);
            }
        } else if self.set.contains(signal) {
            return Ok(());
        }
        self.entries[self.count] = (signal, info);
        self.count += 1;
        self.set.insert(signal);
        Ok(())
    }

    /// Takes the next signal of `wanted`: `SIGKILL`, then those that an instruction caused, then the lowest number; of one
    /// number the oldest.
    pub(super) fn take(&mut self, wanted: Set) -> Option<(Signal, Info)> {
        let wanted = self.set & wanted;
        let signal = [Set::of(&[Signal::SIGKILL]), Set::SYNCHRONOUS, wanted]
            .iter()
            .find_map(|&first| (wanted & first).iter().next())?;
        let index = self.entries().iter().position(|&(other, _)| other == signal)?;
        let entry = self.entries[index];
        self.entries.copy_within(index + 1..self.count, index);
        self.count -= 1;
        if !self.entries().iter().any(|&(other, _)| other == signal) {
            self.set.remove(signal);
        }
        Some(entry)
    }

    /// Forgets every pending signal of `unwanted`.
    pub(super) fn discard(&mut self, unwanted: Set) {
        while self.take(unwanted).is_some() {}
    }
}
