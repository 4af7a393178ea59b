//! How long the core's short paths take on this machine: `cargo bench --bench time`.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark may end for want of memory")]
#![allow(unreachable_pub, missing_docs, reason = "a benchmark exports nothing")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use quire_swap::{Folio, Locked, Plug};

mod bare;

use bare::{new_folio, swap_with};

const SLOTS: u64 = 1 << 20;

fn slots(criterion: &mut Criterion) {
    for percent in [1, 50, 99] {
        let swap = swap_with(SLOTS);
        let held: Vec<_> = (0..SLOTS / 100 * percent).map(|_| swap.allocate(0).expect("there is room")).collect();
        criterion.bench_function(&format!("allocate and free a slot, {percent} % full"), |bencher| {
            bencher.iter(|| swap.allocate(0).expect("there is room"));
        });
        drop(held);
    }
}

fn lookup(criterion: &mut Criterion) {
    let swap = swap_with(SLOTS);
    let locked = Locked::lock(new_folio());
    let entry = swap.add_to_swap(&locked).expect("there is room");
    criterion.bench_function("look up a cached folio", |bencher| {
        bencher.iter(|| swap.lookup(black_box(entry)).is_some());
    });
}

/// A page out and back in, on a disk that takes no time.
fn round_trip(criterion: &mut Criterion) {
    let swap = swap_with(SLOTS);
    criterion.bench_function("a page out and in", |bencher| {
        bencher.iter(|| {
            let locked = Locked::lock(new_folio());
            let number = locked.number();
            let entry = swap.add_to_swap(&locked).expect("there is room");
            let reference = swap.duplicate(entry).expect("it is in use");
            let mut plug = Plug::new();
            swap.write(&mut plug, locked);
            plug.submit();
            let folio = bare::BareFolio::try_from_number(number).expect("it is cached");
            assert!(swap.evict(Locked::lock(folio), 2, 0).is_ok());
            let fault = swap.fault_in(entry, 0, None).expect("it is stored");
            drop(reference);
            assert!(swap.try_free_slot(&fault.folio));
        });
    });
}

criterion_group!(benches, slots, lookup, round_trip);
criterion_main!(benches);
