//! Waiting and waking in this kernel's memory.

use alloc::sync::Arc;
use core::time::Duration;

use quire_machine::sync::{Rank, SpinLock};
use quire_machine::task::{self, Thread, WaitQueue, Waited, scheduler};
use quire_machine::user::Fault;
use quire_memory::object::Object;
use quire_memory::sharing::Reach;

use super::key::{Key, Numbered};
use super::operation::{Operation, Unknown};
use super::queues::{self, Machine, Queues, Refusal, Waiter};
use super::word::FutexWord;
use crate::errno::Errno;
use crate::process::control_block::this;

static QUEUES: SpinLock<Queues<Key<Shared>, Arc<Thread>>> = SpinLock::new(Rank::Futexes, Queues::new());

/// The kernel's own queues.
struct Kernel;

/// An object that a word lies in.
#[derive(Clone)]
struct Shared(Arc<Object>);

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Shared {}

impl Numbered for Shared {
    fn number(&self) -> u32 {
        self.0.number()
    }
}

impl Waiter for Arc<Thread> {
    fn wake(&self) {
        self.set_woken(true);
        scheduler::unpark(self);
    }
}

impl Machine for Kernel {
    type Key = Key<Shared>;
    type Waiter = Arc<Thread>;

    fn with_queues<R>(&self, work: impl FnOnce(&mut Queues<Key<Shared>, Arc<Thread>>) -> R) -> R {
        work(&mut QUEUES.lock())
    }
}

impl FutexWord {
    /// What the word is known by (Linux: `get_futex_key`).
    ///
    /// # Errors
    /// `EINVAL` if it is not aligned; `EFAULT` if it is not in the user half or, unless private, there is no memory.
    fn key(self) -> Result<Key<Shared>, Errno> {
        let address = self.address.address();
        if !address.is_multiple_of(size_of::<u32>() as u64) {
            return Err(Errno::EINVAL);
        }
        self.address.cast::<u8>().range(size_of::<u32>() as u64)?;
        let space = this().space().ok_or(Errno::EFAULT)?;
        if self.is_private {
            return Ok(Key::Private { space: space.number(), address });
        }
        Ok(match space.reach(address).map_err(|_| Errno::EFAULT)? {
            Reach::Space => Key::Anonymous { space: space.number(), address },
            Reach::Object { object, offset } => Key::Shared { object: Shared(object), offset },
        })
    }
}

impl From<Refusal<Fault>> for Errno {
    fn from(refusal: Refusal<Fault>) -> Self {
        match refusal {
            Refusal::Changed => Self::EAGAIN,
            Refusal::Unreadable(Fault) => Self::EFAULT,
            Refusal::NoMemory => Self::ENOMEM,
        }
    }
}

/// Sleeps until the word's waiters are woken with one of `bits`, if it is `value` now; at most until `deadline`, a time since
/// boot.
///
/// # Errors
/// `EAGAIN` if the word has another value, `EFAULT`, `EINVAL`, `ENOMEM`; `ETIMEDOUT`; `RESTART` if a signal came first.
pub fn wait(word: FutexWord, value: u32, bits: u32, deadline: Option<Duration>) -> Result<(), Errno> {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let key = word.key()?;
    let thread = task::current();
    let waiter = || {
        thread.set_woken(false);
        Arc::clone(&thread)
    };
    let ticket = queues::enqueue(&Kernel, &key, bits, waiter, || Ok(word.address.load()? == value))?;
    let nothing_else = WaitQueue::new();
    let ended = match deadline {
        Some(deadline) => nothing_else.wait_until_or_interrupted(deadline, || thread.is_woken()),
        None => match nothing_else.wait_until_interrupted(|| thread.is_woken()) {
            Ok(()) => Waited::Done,
            Err(task::Interrupted) => Waited::Interrupted,
        },
    };
    // Who is out of the queue was woken, whatever else came at the same time.
    if ended == Waited::Done || !Kernel.with_queues(|queues| queues.remove(ticket, &key)) {
        return Ok(());
    }
    Err(if ended == Waited::TimedOut { Errno::ETIMEDOUT } else { Errno::RESTART })
}

/// Wakes up to `most` of those that wait for the word with one of `bits`; returns how many those were.
///
/// # Errors
/// `EFAULT`, `EINVAL`.
pub fn wake(word: FutexWord, bits: u32, most: usize) -> Result<usize, Errno> {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    Ok(wake_known(&word.key()?, bits, most))
}

fn wake_known(key: &Key<Shared>, bits: u32, most: usize) -> usize {
    /// Those that are woken while interrupts are off.
    const BATCH: usize = 64;
    let mut woken = 0;
    loop {
        let batch = BATCH.min(most - woken);
        let some = Kernel.with_queues(|queues| queues.wake(key, bits, batch));
        woken += some;
        if some < batch || woken == most {
            return woken;
        }
    }
}

/// Changes the word `other` by `operation`, wakes up to `most` of those that wait for `word`, and up to `most_others` of those that
/// wait for `other` if that was what the operation asks for; returns how many there were of both.
///
/// # Errors
/// `ENOSYS` for an operation that there is not; `EFAULT`, `EINVAL`.
pub fn wake_and_change(
    (word, other): (FutexWord, FutexWord),
    most: usize,
    most_others: usize,
    operation: Operation,
) -> Result<usize, Errno> {
    let keys = (word.key()?, other.key()?);
    let unknown = |Unknown| Errno::ENOSYS;
    let mut old = other.address.load()?;
    loop {
        let found = other.address.compare_exchange(old, operation.apply(old).map_err(unknown)?)?;
        if found == old {
            break;
        }
        old = found;
    }
    let wakes_others = operation.holds(old).map_err(unknown)?;
    let woken = wake_known(&keys.0, u32::MAX, most);
    Ok(woken + if wakes_others { wake_known(&keys.1, u32::MAX, most_others) } else { 0 })
}

/// Wakes up to `wake` of those that wait for the word `from`, and has up to `more` others wait for `to`; with `expected`, only if
/// `from` is that. Returns how many there were of both.
///
/// # Errors
/// `EAGAIN` if the word has another value; `EFAULT`, `EINVAL`, `ENOMEM`.
pub fn requeue(
    (from, to): (FutexWord, FutexWord),
    wake: usize,
    more: usize,
    expected: Option<u32>,
) -> Result<usize, Errno> {
    let keys = (from.key()?, to.key()?);
    let is_expected = || expected.map_or(Ok(true), |expected| Ok(from.address.load()? == expected));
    Ok(queues::requeue(&Kernel, (&keys.0, &keys.1), wake, more, is_expected)?)
}
