//! The queues by themselves, and their protocol schedule by schedule: every lock and every look at the word is a place
//! where another task may run. A wake-up that is lost leaves a task asleep for ever, which the scheduler reports.

use shuttle::sync::atomic::{AtomicU32, Ordering};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;

use super::key::{Key, Numbered};
use super::queues::{Machine, Queues, Refusal, Waiter, enqueue, requeue};

impl Numbered for u32 {
    fn number(&self) -> u32 {
        *self
    }
}

const ALL: u32 = u32::MAX;

fn key(address: u64) -> Key<u32> {
    Key::Private { space: 1, address }
}

/// A waiter that only says who it is.
struct Named<'a>(u32, &'a std::cell::RefCell<Vec<u32>>);

impl Waiter for Named<'_> {
    fn wake(&self) {
        self.1.borrow_mut().push(self.0);
    }
}

#[test]
fn the_first_is_woken_first_if_its_bits_are_meant() {
    let woken = std::cell::RefCell::default();
    let mut queues = Queues::new();
    let seen = queues.seen(&key(4));
    for (name, bits) in [(1, 0b01), (2, 0b10), (3, 0b11)] {
        assert!(queues.push(seen, &key(4), bits, Named(name, &woken)).unwrap().is_some());
    }
    assert_eq!(queues.wake(&key(8), ALL, 9), 0, "another word");
    assert_eq!(queues.wake(&Key::Anonymous { space: 1, address: 4 }, ALL, 9), 0, "the same word, but not private");
    assert_eq!(queues.wake(&key(4), 0b10, 1), 1);
    assert_eq!(queues.wake(&key(4), 0b10, 9), 1);
    assert_eq!(queues.wake(&key(4), ALL, 9), 1);
    assert_eq!(*woken.borrow(), [2, 3, 1]);
    assert!(queues.push(seen, &key(4), ALL, Named(4, &woken)).unwrap().is_none(), "woken since");
}

#[test]
fn those_that_are_moved_wait_elsewhere_and_can_give_up_there() {
    let woken = std::cell::RefCell::default();
    let mut queues = Queues::new();
    // Also onto the same word, which changes nothing but the order.
    for to in [key(64), key(4)] {
        let seen = queues.seen(&key(4));
        let tickets: Vec<_> =
            (1..=5).map(|name| queues.push(seen, &key(4), ALL, Named(name, &woken)).unwrap().unwrap()).collect();
        assert_eq!(queues.requeue(seen, (&key(4), &to), 1, 3).unwrap(), Some(4));
        assert_eq!(queues.requeue(seen, (&key(4), &to), 1, 3).unwrap(), None, "woken since");
        assert!(!queues.remove(tickets[0], &key(4)), "it was woken");
        assert!(queues.remove(tickets[2], &key(4)), "it was moved, and is found where it is now");
        assert!(!queues.remove(tickets[2], &key(4)));
        if to != key(4) {
            assert_eq!(queues.wake(&key(4), ALL, 9), 1, "the fifth was left");
        }
        assert_eq!(queues.wake(&to, ALL, 9), if to == key(4) { 3 } else { 2 });
    }
    assert_eq!(*woken.borrow(), [1, 5, 2, 4, 1, 5, 2, 4]);
}

/// Tasks that sleep until they are woken.
#[derive(Clone)]
struct Sleeper(Arc<(Mutex<bool>, Condvar)>);

impl Waiter for Sleeper {
    fn wake(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_one();
    }
}

#[derive(Clone)]
struct World {
    queues: Arc<Mutex<Queues<Key<u32>, Sleeper>>>,
    words: Arc<[AtomicU32; 2]>,
}

impl Machine for World {
    type Key = Key<u32>;
    type Waiter = Sleeper;

    fn with_queues<R>(&self, work: impl FnOnce(&mut Queues<Key<u32>, Sleeper>) -> R) -> R {
        work(&mut self.queues.lock().unwrap())
    }
}

impl World {
    fn new() -> Self {
        Self { queues: Arc::new(Mutex::new(Queues::new())), words: Arc::new([AtomicU32::new(0), AtomicU32::new(0)]) }
    }

    fn word(&self, word: u64) -> u32 {
        self.words[word as usize].load(Ordering::SeqCst)
    }

    /// `FUTEX_WAIT` without an end.
    fn wait(&self, word: u64, expected: u32) {
        let sleeper = Sleeper(Arc::new((Mutex::new(false), Condvar::new())));
        let is_expected = || Ok::<_, ()>(self.word(word) == expected);
        match enqueue(self, &key(word), ALL, || sleeper.clone(), is_expected) {
            Err(refusal) => assert_eq!(refusal, Refusal::Changed),
            Ok(_) => drop(sleeper.0.1.wait_while(sleeper.0.0.lock().unwrap(), |woken| !*woken)),
        }
    }

    fn set_and_wake(&self, word: u64, value: u32, most: usize) {
        self.words[word as usize].store(value, Ordering::SeqCst);
        self.with_queues(|queues| queues.wake(&key(word), ALL, most));
    }
}

fn explore(schedule: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(schedule, 2000);
    shuttle::check_pct(schedule, 2000, 3);
}

#[test]
fn no_wake_up_is_lost() {
    explore(|| {
        let world = World::new();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || {
                    while world.word(0) == 0 {
                        world.wait(0, 0);
                    }
                })
            })
            .collect();
        world.set_and_wake(0, 1, usize::MAX);
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

/// As a condition variable does: one waiter is woken and the others moved to the lock, which each hands on.
#[test]
fn no_wake_up_is_lost_on_the_way_to_another_word() {
    explore(|| {
        let world = World::new();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || {
                    while world.word(0) == 0 {
                        world.wait(0, 0);
                    }
                    world.set_and_wake(1, 1, 1);
                })
            })
            .collect();
        world.words[0].store(1, Ordering::SeqCst);
        let is_expected = || Ok::<_, ()>(world.word(0) == 1);
        requeue(&world, (&key(0), &key(1)), 1, usize::MAX, is_expected).unwrap();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}
