//! The tasks that wait for futexes, by key, and how one of them joins without missing a wake-up.
//!
//! # No wake-up is lost
//!
//! The word is user memory, which may have to be brought in first: it cannot be read under the lock of the queues. So each
//! bucket counts the wake-ups that it has seen. A waiter notes the count, reads the word, and is queued only if the count
//! is still the same ([`enqueue`]); otherwise it reads the word again. A waker stores to the word first and then calls
//! [`Queues::wake`]: either that comes before the note, and the lock makes the store visible to the waiter's read; or it
//! comes in between, and the waiter starts over; or it finds the waiter queued.
//!
//! Nothing here knows of memory or threads: the lock around [`Queues`] is [`Machine`]'s, and schedules on the host explore
//! the protocol with another.

use alloc::vec::Vec;
use core::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

use quire_machine::fallible::{self, NoMemory, TryVec};

/// A power of two.
const BUCKETS: usize = 64;

/// What the queues are used with.
pub trait Machine {
    /// See [`Queues`].
    type Key: Eq + Hash + Clone;
    /// See [`Queues`].
    type Waiter: Waiter;

    /// Does `work` with the queues, under their lock.
    fn with_queues<R>(&self, work: impl FnOnce(&mut Queues<Self::Key, Self::Waiter>) -> R) -> R;
}

/// A task that waits.
pub trait Waiter {
    /// Lets it run, which is called under the lock, once, when it is queued no more.
    fn wake(&self);
}

/// A waiter's place, whatever it is moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// How many wake-ups a bucket has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(u64);

struct Entry<K, W> {
    ticket: Ticket,
    key: K,
    bits: u32,
    waiter: W,
}

struct Bucket<K, W> {
    /// First come, first woken.
    entries: Vec<Entry<K, W>>,
    wakes: u64,
}

/// Waiters of type `W` by keys of type `K`.
pub struct Queues<K, W> {
    buckets: [Bucket<K, W>; BUCKETS],
    last_ticket: u64,
}

/// Mixes two words (FNV's prime and a final shift): keys of neighbouring words must not share a bucket.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }
}

impl<K: Eq + Hash + Clone, W: Waiter> Queues<K, W> {
    /// No task waits.
    pub const fn new() -> Self {
        Self { buckets: [const { Bucket { entries: Vec::new(), wakes: 0 } }; BUCKETS], last_ticket: 0 }
    }

    fn bucket(&mut self, key: &K) -> &mut Bucket<K, W> {
        let hash = BuildHasherDefault::<Mixer>::default().hash_one(key);
        &mut self.buckets[hash as usize % BUCKETS]
    }

    /// What the key's bucket has seen, for [`Self::push`].
    pub fn seen(&mut self, key: &K) -> Seen {
        Seen(self.bucket(key).wakes)
    }

    /// Queues a waiter, for wake-ups that have one of `bits` in common with its own, unless the bucket has seen a wake-up
    /// since `seen`: then there is no ticket.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn push(&mut self, seen: Seen, key: &K, bits: u32, waiter: W) -> Result<Option<Ticket>, NoMemory> {
        let ticket = Ticket(self.last_ticket + 1);
        let bucket = self.bucket(key);
        if bucket.wakes != seen.0 {
            return Ok(None);
        }
        bucket.entries.try_push(Entry { ticket, key: key.clone(), bits, waiter })?;
        self.last_ticket = ticket.0;
        Ok(Some(ticket))
    }

    /// Takes the waiter out that has this ticket and was queued with `key`; whether it was still there, and so
    /// was not woken and will not be.
    pub fn remove(&mut self, ticket: Ticket, key: &K) -> bool {
        // It is elsewhere only if it was moved.
        self.bucket(key).remove(ticket) || self.buckets.iter_mut().any(|bucket| bucket.remove(ticket))
    }

    /// Wakes up to `most` of those that wait for `key` with one of `bits`, the first first; returns how many those are.
    pub fn wake(&mut self, key: &K, bits: u32, most: usize) -> usize {
        let bucket = self.bucket(key);
        bucket.wakes += 1;
        let woken = bucket.take(|entry| entry.key == *key && entry.bits & bits != 0, most, |entry| entry.waiter.wake());
        bucket.free_if_empty();
        woken
    }

    /// Wakes up to `wake` of those that wait for `from`, and has up to `more` others wait for `to` instead; returns how many
    /// those are together, or none if the bucket has seen a wake-up since `seen`.
    ///
    /// # Errors
    /// [`NoMemory`]; no task was woken or moved.
    pub fn requeue(
        &mut self,
        seen: Seen,
        (from, to): (&K, &K),
        wake: usize,
        more: usize,
    ) -> Result<Option<usize>, NoMemory> {
        let bucket = self.bucket(from);
        if bucket.wakes != seen.0 {
            return Ok(None);
        }
        let waiting = bucket.entries.iter().filter(|entry| entry.key == *from).count();
        let moving = waiting.saturating_sub(wake).min(more);
        let mut moved = fallible::with_capacity(moving)?;
        self.bucket(to).entries.reserve_more(moving)?;
        let bucket = self.bucket(from);
        bucket.wakes += 1;
        let woken = bucket.take(|entry| entry.key == *from, wake, |entry| entry.waiter.wake());
        bucket.take(
            |entry| entry.key == *from,
            moving,
            |entry| {
                // There is room for it.
                let _ = moved.try_push(Entry { key: to.clone(), ..entry });
            },
        );
        // Not before this: it may be the same bucket, whose room is needed here.
        #[expect(clippy::disallowed_methods, reason = "the room has been made")]
        self.bucket(to).entries.append(&mut moved);
        self.bucket(from).free_if_empty();
        Ok(Some(woken + moving))
    }
}

impl<K: Eq + Hash + Clone, W: Waiter> Default for Queues<K, W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, W> Bucket<K, W> {
    fn remove(&mut self, ticket: Ticket) -> bool {
        let is_removed = self.take(|entry| entry.ticket == ticket, 1, drop) == 1;
        self.free_if_empty();
        is_removed
    }

    /// Memory that many waiters needed is not kept when they have gone.
    fn free_if_empty(&mut self) {
        if self.entries.is_empty() {
            self.entries = Vec::new();
        }
    }

    /// Gives up to `most` of the entries that `is_meant` means to `each`; returns how many.
    fn take(&mut self, is_meant: impl Fn(&Entry<K, W>) -> bool, most: usize, each: impl FnMut(Entry<K, W>)) -> usize {
        let mut count = 0;
        let taken = self.entries.extract_if(.., |entry| {
            let is_taken = count < most && is_meant(entry);
            count += usize::from(is_taken);
            is_taken
        });
        taken.for_each(each);
        count
    }
}

/// Why a task was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<E> {
    /// The word is not what it should be.
    Changed,
    /// It could not be read.
    Unreadable(E),
    /// There is no memory to be queued with.
    NoMemory,
}

/// Queues `waiter` for `key` if `is_expected`, which reads the word and may sleep, says so, and the key's
/// waiters were not woken since it looked.
///
/// # Errors
/// [`Refusal`].
pub fn enqueue<M: Machine, E>(
    machine: &M,
    key: &M::Key,
    bits: u32,
    mut waiter: impl FnMut() -> M::Waiter,
    mut is_expected: impl FnMut() -> Result<bool, E>,
) -> Result<Ticket, Refusal<E>> {
    loop {
        let seen = machine.with_queues(|queues| queues.seen(key));
        if !is_expected().map_err(Refusal::Unreadable)? {
            return Err(Refusal::Changed);
        }
        let waiter = waiter();
        match machine.with_queues(|queues| queues.push(seen, key, bits, waiter)) {
            Ok(Some(ticket)) => return Ok(ticket),
            Ok(None) => {}
            Err(NoMemory) => return Err(Refusal::NoMemory),
        }
    }
}

/// [`Queues::requeue`], if `is_expected` says so of the word `from` and its waiters were not woken since it looked.
///
/// # Errors
/// [`Refusal`].
pub fn requeue<M: Machine, E>(
    machine: &M,
    keys: (&M::Key, &M::Key),
    wake: usize,
    more: usize,
    mut is_expected: impl FnMut() -> Result<bool, E>,
) -> Result<usize, Refusal<E>> {
    loop {
        let seen = machine.with_queues(|queues| queues.seen(keys.0));
        if !is_expected().map_err(Refusal::Unreadable)? {
            return Err(Refusal::Changed);
        }
        match machine.with_queues(|queues| queues.requeue(seen, keys, wake, more)) {
            Ok(Some(count)) => return Ok(count),
            Ok(None) => {}
            Err(NoMemory) => return Err(Refusal::NoMemory),
        }
    }
}
