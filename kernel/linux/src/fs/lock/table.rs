//! The locks on all files, and which processes wait for one.

use alloc::vec::Vec;

use quire_machine::fallible::{NoMemory, TryVec};

use super::super::node::NodeIdentity;
use super::ranges::{FileLock, LockOwner, Locks, Mode, Span};

/// What sort of lock: the two do not conflict with one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// On spans of bytes (`fcntl`).
    Record,
    /// On the whole file (`flock`).
    Whole,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockRequest {
    /// The file.
    pub file: NodeIdentity,
    /// What sort of lock.
    pub sort: Sort,
    /// Who asks.
    pub owner: LockOwner,
    /// On which bytes.
    pub span: Span,
    /// The lock that it wants to have there; `None` to have none.
    pub mode: Option<Mode>,
}

impl LockRequest {
    fn lock(&self) -> Option<FileLock> {
        Some(FileLock { owner: self.owner, span: self.span, mode: self.mode? })
    }
}

/// Why a request is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another has a lock that conflicts. Its own lock may be gone (`flock` changes a lock by giving it up first).
    Conflict,
    /// It would wait for one that waits for it.
    Deadlock,
    /// There is no memory to note it.
    NoMemory,
}

impl From<NoMemory> for Refusal {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

struct File {
    identity: NodeIdentity,
    records: Locks,
    wholes: Locks,
}

impl File {
    const fn locks(&mut self, sort: Sort) -> &mut Locks {
        match sort {
            Sort::Record => &mut self.records,
            Sort::Whole => &mut self.wholes,
        }
    }
}

/// A process that waits for a record lock.
struct Wait {
    pid: u32,
    file: NodeIdentity,
    /// The process whose lock it found first. It looks for others when that lock is gone.
    holder: u32,
}

/// All locks, and the processes that wait for record locks.
#[derive(Default)]
pub struct Table {
    /// By identity; each has a lock.
    files: Vec<File>,
    /// By number.
    waits: Vec<Wait>,
}

impl Table {
    /// A circle of more processes is not found, so that no program makes a search for one long (Linux:
    /// `MAX_DEADLK_ITERATIONS`).
    const LONGEST_CIRCLE: usize = 12;

    /// Nothing is locked.
    pub const fn new() -> Self {
        Self { files: Vec::new(), waits: Vec::new() }
    }

    /// Whether nothing is locked.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn position(&self, file: NodeIdentity) -> Result<usize, usize> {
        self.files.binary_search_by_key(&file, |file| file.identity)
    }

    fn locks(&self, request: &LockRequest) -> Option<&Locks> {
        let file = &self.files[self.position(request.file).ok()?];
        Some(if request.sort == Sort::Record { &file.records } else { &file.wholes })
    }

    fn conflicts(&self, request: &LockRequest) -> impl Iterator<Item = &FileLock> {
        let locks = self.locks(request).zip(request.lock());
        locks.into_iter().flat_map(|(locks, wanted)| locks.conflicts(wanted))
    }

    /// A lock that keeps the request from being granted; for one that gives up, a lock that would be given up.
    pub fn conflict(&self, request: &LockRequest) -> Option<FileLock> {
        match request.mode {
            Some(_) => self.conflicts(request).next().copied(),
            None => self.locks(request)?.own(request.owner, request.span).copied(),
        }
    }

    /// Grants the request if nothing conflicts.
    ///
    /// # Errors
    /// [`Refusal::Conflict`], [`Refusal::NoMemory`].
    pub fn set(&mut self, request: &LockRequest) -> Result<(), Refusal> {
        if request.sort == Sort::Whole {
            if self.locks(request).and_then(|locks| locks.own(request.owner, request.span)).map(|lock| lock.mode)
                == request.mode
            {
                return Ok(());
            }
            // As on Linux: others may take it before the new one is had.
            self.forget(request.file, request.sort, request.owner);
        }
        if self.conflicts(request).next().is_some() {
            return Err(Refusal::Conflict);
        }
        let index = match self.position(request.file) {
            Ok(index) => index,
            Err(_) if request.mode.is_none() => return Ok(()),
            Err(index) => {
                self.files.reserve_more(1)?;
                let file = File { identity: request.file, records: Locks::new(), wholes: Locks::new() };
                #[expect(clippy::disallowed_methods, reason = "the room has been made")]
                self.files.insert(index, file);
                index
            }
        };
        let outcome = self.files[index].locks(request.sort).set(request.owner, request.span, request.mode);
        self.drop_if_empty(index);
        Ok(outcome?)
    }

    /// Takes away all locks of this sort that the owner has on the file; whether there were any.
    pub fn forget(&mut self, file: NodeIdentity, sort: Sort, owner: LockOwner) -> bool {
        let Ok(index) = self.position(file) else { return false };
        let had_any = self.files[index].locks(sort).forget(owner);
        self.drop_if_empty(index);
        had_any
    }

    fn drop_if_empty(&mut self, index: usize) {
        let file = &self.files[index];
        if file.records.is_empty() && file.wholes.is_empty() {
            self.files.remove(index);
        }
        if self.files.is_empty() {
            // What many locks needed is not kept when they have gone.
            self.files = Vec::new();
        }
    }

    /// Notes that the process waits for what it requests, which conflicts. Locks of open file descriptions belong to no one
    /// process: who waits for one of them is not noted (Linux: `posix_locks_deadlock`).
    ///
    /// # Errors
    /// [`Refusal::Deadlock`], [`Refusal::NoMemory`].
    pub fn begin_wait(&mut self, pid: u32, request: &LockRequest) -> Result<(), Refusal> {
        self.end_wait(pid);
        let Some(LockOwner::Process(holder)) = self.conflict(request).map(|lock| lock.owner) else { return Ok(()) };
        let next = |waiter: &u32| self.wait(*waiter).ok().map(|place| self.waits[place].holder);
        if core::iter::successors(Some(holder), next).take(Self::LONGEST_CIRCLE).any(|holder| holder == pid) {
            return Err(Refusal::Deadlock);
        }
        let place = self.wait(pid).unwrap_or_else(|place| place);
        self.waits.reserve_more(1)?;
        #[expect(clippy::disallowed_methods, reason = "the room has been made")]
        self.waits.insert(place, Wait { pid, file: request.file, holder });
        Ok(())
    }

    /// The process waits no more.
    pub fn end_wait(&mut self, pid: u32) {
        if let Ok(place) = self.wait(pid) {
            self.waits.remove(place);
        }
    }

    /// Locks of the file have changed: who waits there looks again, and notes what it waits for then.
    pub fn end_waits(&mut self, file: NodeIdentity) {
        self.waits.retain(|wait| wait.file != file);
    }

    fn wait(&self, pid: u32) -> Result<usize, usize> {
        self.waits.binary_search_by_key(&pid, |wait| wait.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: NodeIdentity = (1, 1);

    fn request(pid: u32, byte: u64, mode: Mode) -> LockRequest {
        let span = Span { first: byte, last: byte };
        LockRequest { file: FILE, sort: Sort::Record, owner: LockOwner::Process(pid), span, mode: Some(mode) }
    }

    fn whole(number: u64, mode: Option<Mode>) -> LockRequest {
        LockRequest { file: FILE, sort: Sort::Whole, owner: LockOwner::OpenFile(number), span: Span::WHOLE, mode }
    }

    #[test]
    fn a_circle_is_found_when_it_closes() {
        for length in 2..20 {
            let mut table = Table::new();
            for pid in 0..length {
                table.set(&request(pid, u64::from(pid), Mode::Exclusive)).unwrap();
            }
            for pid in 0..length - 1 {
                assert_eq!(table.set(&request(pid, u64::from(pid) + 1, Mode::Shared)), Err(Refusal::Conflict));
                table.begin_wait(pid, &request(pid, u64::from(pid) + 1, Mode::Shared)).unwrap();
            }
            let closing = request(length - 1, 0, Mode::Exclusive);
            let is_found = table.begin_wait(length - 1, &closing) == Err(Refusal::Deadlock);
            assert_eq!(is_found, length as usize <= Table::LONGEST_CIRCLE, "a circle of {length}");
            // What one of them has given up keeps the next from nothing, though that has not woken yet.
            table.set(&LockRequest { mode: None, ..request(length - 1, u64::from(length) - 1, Mode::Shared) }).unwrap();
            table.end_waits(FILE);
            table.begin_wait(length - 1, &closing).unwrap();
        }
    }

    #[test]
    fn one_waits_for_each_of_those_that_hold_what_it_wants_in_turn() {
        let mut table = Table::new();
        for pid in [3, 2, 1] {
            table.set(&request(pid, 0, Mode::Shared)).unwrap();
        }
        table.set(&request(4, 4, Mode::Exclusive)).unwrap();
        table.begin_wait(3, &request(3, 4, Mode::Shared)).unwrap();
        let all = request(4, 0, Mode::Exclusive);
        for holder in [1, 2] {
            // The one whose lock is found first does not wait.
            table.begin_wait(4, &all).unwrap();
            assert!(table.forget(FILE, Sort::Record, LockOwner::Process(holder)));
        }
        assert_eq!(table.begin_wait(4, &all), Err(Refusal::Deadlock));
        table.end_wait(3);
        table.begin_wait(4, &all).unwrap();
    }

    #[test]
    fn a_lock_on_the_whole_file_is_given_up_before_it_is_changed() {
        let mut table = Table::new();
        for number in [1, 2] {
            table.set(&whole(number, Some(Mode::Shared))).unwrap();
        }
        table.set(&request(1, 0, Mode::Exclusive)).unwrap();
        assert_eq!(table.set(&whole(1, Some(Mode::Exclusive))), Err(Refusal::Conflict));
        table.set(&whole(2, Some(Mode::Exclusive))).unwrap();
        assert_eq!(table.set(&whole(1, Some(Mode::Shared))), Err(Refusal::Conflict));
        table.set(&whole(2, None)).unwrap();
        assert!(table.forget(FILE, Sort::Record, LockOwner::Process(1)));
        assert!(table.is_empty());
    }
}
