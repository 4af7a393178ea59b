//! The locks of one sort on one file.
//!
//! # Invariants
//!
//! Locks are ordered by their first byte. Those of one owner are disjoint, and two of them that touch differ in their mode.
//! Locks of different owners overlap only if all there are shared.

use alloc::vec::Vec;

use quire_machine::fallible::{NoMemory, TryVec};
use quire_memory::charge::Charge;

use crate::errno::Errno;
use crate::fs::position::Position;

/// The last byte that a file can have (Linux: `OFFSET_MAX`).
pub const LAST_BYTE: u64 = i64::MAX as u64;

/// A run of bytes that is not empty, both ends included; the last is at most [`LAST_BYTE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub first: u64,
    /// The last byte.
    pub last: u64,
}

impl Span {
    /// What `struct flock` says: `length` bytes from `start` bytes behind `base` on, those before it if that is negative, or
    /// all behind it if it is 0 (Linux: `flock64_to_posix_lock`).
    ///
    /// # Errors
    /// `EINVAL` for what would begin before the file; `EOVERFLOW` for what would end beyond [`LAST_BYTE`].
    pub fn from(base: Position, start: i64, length: i64) -> Result<Self, Errno> {
        let base = base.get().cast_signed();
        let start = base.checked_add(start).ok_or(Errno::EOVERFLOW)?;
        let place = |byte: i64| u64::try_from(byte).map_err(|_| Errno::EINVAL);
        let first = place(start)?;
        Ok(match length {
            0 => Self { first, last: LAST_BYTE },
            1.. => Self { first, last: place(start.checked_add(length - 1).ok_or(Errno::EOVERFLOW)?)? },
            // What ends before the file's first byte begins there as well.
            ..0 => Self { first: place(start.checked_add(length).ok_or(Errno::EINVAL)?)?, last: place(start - 1)? },
        })
    }

    /// The same as `struct flock` says it, from the file's beginning.
    pub const fn to_start_and_length(self) -> (i64, i64) {
        let length = if self.last == LAST_BYTE { 0 } else { self.last - self.first + 1 };
        (self.first.cast_signed(), length.cast_signed())
    }

    /// A whole file, however long it gets.
    pub const WHOLE: Self = Self { first: 0, last: LAST_BYTE };

    const fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether nothing lies between the two.
    const fn touches(&self, other: &Self) -> bool {
        self.first <= other.last.saturating_add(1) && other.first <= self.last.saturating_add(1)
    }

    fn joined(&self, other: &Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// What a lock keeps others from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From exclusive locks (`F_RDLCK`, `LOCK_SH`).
    Shared,
    /// From all locks (`F_WRLCK`, `LOCK_EX`).
    Exclusive,
}

/// Whose a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOwner {
    /// The process of this number.
    Process(u32),
    /// An open file description, by a number that is its own as long as it is open.
    OpenFile(u64),
}

/// A lock that is held or wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLock {
    /// Whose it is.
    pub owner: LockOwner,
    /// On which bytes.
    pub span: Span,
    /// Against whom.
    pub mode: Mode,
}

impl FileLock {
    /// Whether the two cannot be held at once.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        let is_exclusive = self.mode == Mode::Exclusive || other.mode == Mode::Exclusive;
        self.owner != other.owner && is_exclusive && self.span.overlaps(&other.span)
    }
}

/// A lock in the list, and what its owner's memory cgroup is charged for it.
#[derive(Debug)]
struct Held {
    lock: FileLock,
    charge: Option<Charge>,
}

/// Locks on one file.
#[derive(Debug, Default)]
pub struct Locks {
    list: Vec<Held>,
}

impl Locks {
    /// Nothing is locked.
    pub const fn new() -> Self {
        Self { list: Vec::new() }
    }

    /// Whether nothing is locked.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All locks, by their first byte.
    pub fn iter(&self) -> impl Iterator<Item = &FileLock> {
        self.list.iter().map(|held| &held.lock)
    }

    /// The locks that keep `wanted` from being held.
    pub fn conflicts(&self, wanted: FileLock) -> impl Iterator<Item = &FileLock> {
        self.iter().filter(move |lock| lock.conflicts_with(&wanted))
    }

    /// A lock of this owner on a byte of `span`.
    pub fn own(&self, owner: LockOwner, span: Span) -> Option<&FileLock> {
        self.iter().find(|lock| lock.owner == owner && lock.span.overlaps(&span))
    }

    /// Gives the owner a lock with this mode on the bytes of `span`, or none, in the place of what it has there. The caller
    /// has seen that nothing conflicts.
    ///
    /// # Errors
    /// [`NoMemory`]; nothing changes.
    pub fn set(&mut self, owner: LockOwner, span: Span, mode: Option<Mode>) -> Result<(), NoMemory> {
        let is_inside =
            |lock: &FileLock| lock.owner == owner && lock.span.first < span.first && span.last < lock.span.last;
        // One lock becomes three at the most; giving up needs room only where it leaves two of one.
        let room = if mode.is_some() { 2 } else { usize::from(self.iter().any(is_inside)) };
        self.list.reserve_more(room)?;
        // Those of locks that go are there for what takes their place.
        let mut charges = [const { None }; 5];
        for place in &mut charges[..room] {
            *place = Some(Charge::new(size_of::<Held>()).map_err(|_| NoMemory)?);
        }
        let mut whole = span;
        let mut rest = [None; 2];
        let mut stays = |lock: &FileLock| {
            if lock.owner != owner {
                return true;
            }
            if mode == Some(lock.mode) {
                let joins = lock.span.touches(&span);
                if joins {
                    whole = whole.joined(&lock.span);
                }
                return !joins;
            }
            let overlaps = lock.span.overlaps(&span);
            if overlaps && lock.span.first < span.first {
                rest[0] = Some(FileLock { span: Span { last: span.first - 1, ..lock.span }, ..*lock });
            }
            if overlaps && span.last < lock.span.last {
                rest[1] = Some(FileLock { span: Span { first: span.last + 1, ..lock.span }, ..*lock });
            }
            !overlaps
        };
        self.list.retain_mut(|held| {
            let stays = stays(&held.lock);
            if !stays && let Some(place) = charges.iter_mut().find(|place| place.is_none()) {
                *place = held.charge.take();
            }
            stays
        });
        let new = mode.map(|mode| FileLock { owner, span: whole, mode });
        for lock in rest.into_iter().chain([new]).flatten() {
            let place = self.list.partition_point(|other| other.lock.span.first < lock.span.first);
            let charge = charges.iter_mut().find_map(Option::take);
            #[expect(clippy::disallowed_methods, reason = "the room has been made")]
            self.list.insert(place, Held { lock, charge });
        }
        Ok(())
    }

    /// Takes away all that the owner has; whether that was anything.
    pub fn forget(&mut self, owner: LockOwner) -> bool {
        let before = self.list.len();
        self.list.retain(|held| held.lock.owner != owner);
        self.list.len() < before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BYTES: usize = 24;
    const OWNERS: [LockOwner; 3] = [LockOwner::Process(1), LockOwner::Process(2), LockOwner::OpenFile(1)];

    /// What each owner has on each byte; the last stands for all bytes from there on.
    type Model = [[Option<Mode>; BYTES]; 3];

    fn span() -> impl Strategy<Value = Span> {
        (0..BYTES as u64, 0..BYTES as u64).prop_map(|(one, other)| {
            let last = one.max(other);
            Span { first: one.min(other), last: if last == BYTES as u64 - 1 { LAST_BYTE } else { last } }
        })
    }

    fn mode() -> impl Strategy<Value = Option<Mode>> {
        prop::sample::select(vec![None, Some(Mode::Shared), Some(Mode::Exclusive)])
    }

    fn indices(span: Span) -> std::ops::RangeInclusive<usize> {
        span.first as usize..=span.last.min(BYTES as u64 - 1) as usize
    }

    fn check(locks: &Locks, model: &Model) {
        let mut found: Model = [[None; BYTES]; 3];
        let mut first = 0;
        for lock in locks.iter() {
            assert!(first <= lock.span.first && lock.span.first <= lock.span.last, "{locks:?}");
            first = lock.span.first;
            let owner = OWNERS.iter().position(|owner| *owner == lock.owner).unwrap();
            for byte in indices(lock.span) {
                assert_eq!(found[owner][byte].replace(lock.mode), None, "an owner's locks overlap: {locks:?}");
            }
            let is_like = |other: &&FileLock| other.owner == lock.owner && other.mode == lock.mode;
            let touching = locks.iter().filter(is_like).filter(|other| other.span.touches(&lock.span)).count();
            assert_eq!(touching, 1, "two locks that could be one: {locks:?}");
        }
        assert_eq!(&found, model);
    }

    #[test]
    fn spans_are_as_struct_flock_says_them() {
        let max = i64::MAX;
        let cases = [
            ((10, 5, 3), Ok((15, 3))),
            ((10, -10, 0), Ok((0, 0))),
            ((10, 0, -10), Ok((0, 10))),
            ((10, 0, -11), Err(Errno::EINVAL)),
            ((10, -11, 5), Err(Errno::EINVAL)),
            ((0, 0, -1), Err(Errno::EINVAL)),
            ((0, 0, i64::MIN), Err(Errno::EINVAL)),
            ((0, i64::MIN, i64::MIN), Err(Errno::EINVAL)),
            ((0, max, 1), Ok((max, 0))),
            ((0, max, 2), Err(Errno::EOVERFLOW)),
            ((0, 1, max), Ok((1, 0))),
            ((0, 2, max), Err(Errno::EOVERFLOW)),
            ((1, max, 0), Err(Errno::EOVERFLOW)),
            ((0, max, -max), Ok((0, max))),
        ];
        for ((base, start, length), expected) in cases {
            let span = Span::from(Position::new(base).unwrap(), start, length);
            assert_eq!(span.map(Span::to_start_and_length), expected, "{base} {start} {length}");
        }
    }

    proptest! {
        /// Beside what holds for each byte alone.
        #[test]
        fn locks_are_what_was_said_of_each_byte(
            calls in prop::collection::vec((0..3_usize, span(), mode()), 1..60),
        ) {
            let mut locks = Locks::new();
            let mut model: Model = [[None; BYTES]; 3];
            for (owner, span, mode) in calls {
                let wanted = mode.map(|mode| FileLock { owner: OWNERS[owner], span, mode });
                let is_held = |other: usize, byte: usize| match (mode, model[other][byte]) {
                    (None, _) | (_, None) | (Some(Mode::Shared), Some(Mode::Shared)) => false,
                    _ => other != owner,
                };
                let conflict = (0..3).any(|other| indices(span).any(|byte| is_held(other, byte)));
                prop_assert_eq!(wanted.is_some_and(|wanted| locks.conflicts(wanted).next().is_some()), conflict);
                let own = indices(span).any(|byte| model[owner][byte].is_some());
                prop_assert_eq!(locks.own(OWNERS[owner], span).is_some(), own);
                if !conflict {
                    locks.set(OWNERS[owner], span, mode).unwrap();
                    model[owner][indices(span)].fill(mode);
                }
                check(&locks, &model);
            }
            for (owner, all) in OWNERS.iter().zip(&mut model) {
                prop_assert_eq!(locks.forget(*owner), all.iter().any(Option::is_some));
                all.fill(None);
            }
            prop_assert!(locks.is_empty());
        }
    }
}
