//! How many instructions the core's short paths take, beside their targets: `cargo bench --bench instructions`.
//!
//! Each operation runs n and 2n times under callgrind, which counts instructions; the difference is n operations without
//! what was made ready for them, the loop around them included. Needs valgrind.
//!
//! What the numbers above their targets are made of: whoever looks at a table counts as its reader, and so does whoever
//! looks at an area, ten instructions each, because code without `unsafe` gives memory back only when it has counted that
//! nobody reads it. Taking a slot and freeing it do so, too, take the cluster's lock, and take and drop a reference to the
//! area, each of which is a locked instruction; the rest is the slot's bit, its word, and the numbers of used slots. In an
//! area that is nearly full a cluster gives a dozen slots before the next one has to be found, and comes back to its list
//! once for as many.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark may end for want of memory")]
#![allow(unreachable_pub, missing_docs, reason = "a benchmark exports nothing")]

use std::hint::black_box;
use std::sync::Arc;

use quire_swap::{Direction, Entry, Folio, Locked, SlotRun, Slots, Swap, SwapOps};

mod bare;

use bare::{Bare, BareFolio, new_folio, swap_with};
use quire_testkit::callgrind;

/// A name, what it costs at most, and how to do it so many times.
type Operation = (&'static str, Option<f64>, fn(u64));

const MEBI: u64 = 1 << 20;
const GIBI: u64 = 1 << 30;
/// Operations in one measurement.
const TIMES: u32 = 1 << 17;

const OPERATIONS: &[Operation] = &[
    ("allocate and free a slot, the same cluster", Some(120.0), alone),
    ("allocate and free a slot, 1 Mi slots, 1 % full", Some(120.0), |times| churn(MEBI, MEBI / 100, times)),
    ("allocate and free a slot, 1 Mi slots, 50 % full", Some(120.0), |times| churn(MEBI, MEBI / 2, times)),
    ("allocate and free a slot, 1 Mi slots, 99 % full", Some(120.0), |times| churn(MEBI, MEBI / 100 * 99, times)),
    ("allocate and free a slot, 1 Gi slots, as many used as in the first", Some(120.0), |times| {
        churn(GIBI, MEBI / 100, times);
    }),
    ("fill and empty clusters, a slot", Some(120.0), waves),
    ("look up a cached folio and drop the reference", None, lookup),
    ("take and drop the reference alone, which is the machine's part", None, reference),
    ("look up a slot that is not cached", Some(20.0), lookup_nothing),
    ("look up a slot that is not cached, with the area at hand as a fault has it", Some(20.0), lookup_nothing_in),
    ("the loop alone, which is in all of these", None, turn),
    (
        "the choice of a slot at random and the two moves of it alone, which are in those where an area is so full",
        None,
        choice,
    ),
    ("duplicate and put a count", None, duplicate),
    ("ask the backend through its table", None, |times| ask(&*backend(), times)),
    ("ask the backend directly", None, |times| ask_directly(&Backend, times)),
];

fn main() {
    if let Some((index, times)) = callgrind::operation() {
        return OPERATIONS[index].2(times);
    }
    let count = callgrind::count;
    println!("{:>12}  {:>7}  operation", "instructions", "target");
    for (index, (name, target, _)) in OPERATIONS.iter().enumerate() {
        let cost = f64::from(count(index, 2 * TIMES) - count(index, TIMES)) / f64::from(TIMES);
        let target = target.map_or(String::new(), |target| format!("{target}"));
        println!("{cost:>12.1}  {target:>7}  {name}");
    }
}

/// In an area that has `used` of `slots` in use, frees slots at random and takes new ones, 1024 at a time: as when pages
/// come back to many tasks, and others go out.
fn churn(slots: u64, used: u64, times: u64) {
    let swap = swap_with(slots);
    let mut held: Vec<Slots<Bare>> = (0..used).map(|_| swap.allocate(0).expect("there is room")).collect();
    let mut random = 12345_u64;
    for _ in 0..times / 1024 {
        for _ in 0..1024 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            held.swap_remove((random >> 33) as usize % held.len());
        }
        for _ in 0..1024 {
            held.push(swap.allocate(0).expect("there is room"));
        }
    }
    std::mem::forget(held);
}

/// Takes a slot and frees it, with others beside it in use.
fn alone(times: u64) {
    let swap = swap_with(MEBI);
    let beside = swap.allocate(0);
    for _ in 0..times {
        drop(black_box(swap.allocate(0)));
    }
    drop(beside);
}

/// Takes and frees slots in waves of 8 clusters, so that tables appear and vanish.
fn waves(times: u64) {
    let swap = swap_with(MEBI);
    let mut held = Vec::with_capacity(4096);
    for _ in 0..times {
        held.push(swap.allocate(0).expect("there is room"));
        if held.len() == 4096 {
            held.clear();
        }
    }
}

fn cached() -> (&'static Swap<Bare>, Entry) {
    let swap = swap_with(MEBI);
    let locked = Locked::lock(new_folio());
    let entry = swap.add_to_swap(&locked).expect("there is room");
    (swap, entry)
}

fn lookup(times: u64) {
    let (swap, entry) = cached();
    for _ in 0..times {
        assert!(swap.lookup(black_box(entry)).is_some());
    }
}

fn reference(times: u64) {
    let folio = new_folio();
    for _ in 0..times {
        assert!(BareFolio::try_from_number(black_box(folio.number())).is_some());
    }
}

fn lookup_nothing(times: u64) {
    let (swap, entry) = cached();
    let beside = Entry::new(entry.area(), entry.slot() + 1).expect("not the header");
    for _ in 0..times {
        assert!(swap.lookup(black_box(beside)).is_none());
    }
}

fn lookup_nothing_in(times: u64) {
    let (swap, entry) = cached();
    let area = swap.area(entry.area()).expect("it is enabled");
    for _ in 0..times {
        assert!(area.lookup(black_box(entry.slot() + 1)).is_none());
    }
}

/// [`churn`] without a swap area.
fn choice(times: u64) {
    let mut held: Vec<[u64; 2]> = (0..MEBI / 100).map(|number| [number; 2]).collect();
    let mut random = 12345_u64;
    for _ in 0..times / 1024 {
        for _ in 0..1024 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            black_box(held.swap_remove((random >> 33) as usize % held.len()));
        }
        for _ in 0..1024 {
            held.push(black_box([random; 2]));
        }
    }
}

fn turn(times: u64) {
    for _ in 0..times {
        assert!(black_box(1_u32) != 0);
    }
}

fn duplicate(times: u64) {
    let (swap, entry) = cached();
    std::mem::forget(swap.duplicate(entry));
    for _ in 0..times {
        drop(black_box(swap.duplicate(entry).expect("the slot is in use")));
    }
}

/// A backend that does as little as can be done.
struct Backend;

impl SwapOps<Bare> for Backend {
    fn can_merge(&self, _: &quire_swap::Area<Bare>, previous: SlotRun, next: SlotRun, _: Direction) -> bool {
        previous.first != next.first
    }

    fn submit_read(&self, batch: quire_swap::ReadBatch<Bare>) {
        batch.complete(Ok(()));
    }

    fn submit_write(&self, batch: quire_swap::WriteBatch<Bare>) {
        batch.complete(Ok(()));
    }
}

fn backend() -> Arc<dyn SwapOps<Bare>> {
    black_box(Arc::new(Backend))
}

fn ask(backend: &dyn SwapOps<Bare>, times: u64) {
    let area = swap_with(MEBI).area(0).expect("it is enabled");
    let run = SlotRun { first: 1, length: 1 };
    for _ in 0..times {
        black_box(backend.can_merge(&area, black_box(run), run, Direction::Write));
    }
}

fn ask_directly(backend: &Backend, times: u64) {
    let area = swap_with(MEBI).area(0).expect("it is enabled");
    let run = SlotRun { first: 1, length: 1 };
    for _ in 0..times {
        black_box(backend.can_merge(&area, black_box(run), run, Direction::Write));
    }
}
