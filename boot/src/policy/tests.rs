//! What holds of every policy, and of ours on the traces that a seed makes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use quire_protocol::references;

use super::{
    full, generated, optimal,
    run::{Amount, Contender, run},
    trace::Trace,
};

/// The most hits that are possible: whichever page goes, tried out.
fn best(
    trace: &[u32],
    memory: BTreeSet<u32>,
    frames: usize,
    known: &mut BTreeMap<(usize, BTreeSet<u32>), usize>,
) -> usize {
    let Some((&page, rest)) = trace.split_first() else { return 0 };
    if let Some(hits) = known.get(&(trace.len(), memory.clone())) {
        return *hits;
    }
    let mut with_page = memory.clone();
    let hits = if !with_page.insert(page) {
        1 + best(rest, with_page, frames, known)
    } else if with_page.len() <= frames {
        best(rest, with_page, frames, known)
    } else {
        let without = |gone: &u32| with_page.iter().copied().filter(|page| page != gone).collect();
        memory.iter().map(|gone| best(rest, without(gone), frames, known)).max().unwrap_or(0)
    };
    known.insert((trace.len(), memory), hits);
    hits
}

/// LRU, without lists.
fn least_recent(trace: &[u32], frames: usize) -> usize {
    let mut memory = Vec::new();
    let mut hits = 0;
    for page in trace {
        match memory.iter().position(|known| known == page) {
            Some(at) => {
                memory.remove(at);
                hits += 1;
            }
            None if memory.len() == frames => {
                memory.remove(0);
            }
            None => {}
        }
        memory.push(*page);
    }
    hits
}

fn hits(make: full::Make, trace: &[u32], frames: usize, pages: usize) -> usize {
    let mut memory = make(frames, pages);
    trace.iter().filter(|page| memory.access(**page)).count()
}

proptest! {
    #[test]
    fn nothing_is_better_than_the_optimum(trace in proptest::collection::vec(0_u32..6, 1..24), frames in 1_usize..5) {
        prop_assert_eq!(optimal::hits(&trace, frames, 6), best(&trace, BTreeSet::new(), frames, &mut BTreeMap::new()));
    }

    #[test]
    fn every_policy_is_between_nothing_and_the_optimum(
        pages in proptest::collection::vec(0_u64..60, 1..600),
        frames in 1_u32..70,
        batch in 1_usize..40,
    ) {
        let trace = Trace::new("test", pages);
        let results = run(&trace, &Contender::all(), &[Amount::Frames(frames as usize), Amount::Percent(100)], batch);
        let optimum = optimal::hits(&trace.references, frames as usize, trace.pages.len());
        for (contender, outcomes) in &results.rows {
            prop_assert!(outcomes[0].hits <= optimum, "{}: {:?} of {optimum}", contender.name(), outcomes);
            prop_assert_eq!(outcomes[1].hits, trace.references.len() - trace.pages.len(), "{}", contender.name());
            prop_assert!(outcomes[0].in_vain <= outcomes[0].pages_read && outcomes[0].reads <= outcomes[0].pages_read);
        }
        let lru = &results.rows.iter().find(|(contender, _)| contender.name() == "LRU").unwrap().1;
        prop_assert_eq!(lru[0].hits, least_recent(&trace.references, frames as usize));
    }
}

/// What published figures rest on: the pages that came once pass by those that are used again.
#[test]
fn policies_that_see_every_access_do_what_they_are_known_for() {
    let looped: Vec<u32> = (0..11_000).map(|at| at % 110).collect();
    let by_name = |name| full::ALL.iter().find(|(known, _)| *known == name).unwrap().1;
    let on_loop = |name| hits(by_name(name), &looped, 100, 110);
    assert_eq!(["LRU", "ARC"].map(on_loop), [0; 2], "a loop that is larger than memory");
    assert!(on_loop("LIRS") > 9_700 && on_loop("2Q") > 8_500 && on_loop("S3-FIFO") > 7_000);

    // Ten pages in use, and as many of a scan again and again.
    let scanned: Vec<u32> =
        (0..10_000).map(|at| if at / 10 % 2 == 0 { at % 10 } else { 10 + at / 20 * 10 + at % 10 }).collect();
    let on_scan = |name| hits(by_name(name), &scanned, 15, 10_010);
    assert_eq!(["LRU", "ARC"].map(on_scan), [0; 2], "ARC remembers no more pages used once than there are frames");
    assert!(["2Q", "LIRS", "S3-FIFO"].map(on_scan).iter().all(|hits| *hits > 4_900));
}

#[test]
fn traces_with_one_seed_are_the_same_and_with_another_are_not() {
    for generator in references::ALL {
        let trace = generated(generator, 1);
        assert_eq!(trace.references, generated(generator, 1).references, "{}", generator.name);
        let is_random = !["loop", "matrix"].contains(&generator.name);
        assert_eq!(trace.references != generated(generator, 2).references, is_random, "{}", generator.name);
        assert!(trace.references.len() >= 100_000 && trace.pages.len() >= 1_100, "{}", generator.name);
    }
}

/// What makes a policy the default: see `docs/policies.md`.
#[test]
fn the_default_is_near_the_best_of_ours_and_not_below_lru() {
    let names = ["LRU", "s3-fifo", "clock-pro", quire_memory::policy::DEFAULT];
    let contenders = names.map(|name| Contender::named(name).unwrap());
    for generator in references::ALL {
        let trace = generated(generator, 1);
        let results = run(&trace, &contenders, &[Amount::Frames(1_000)], 1);
        let hits: Vec<usize> = results.rows.iter().map(|(_, outcomes)| outcomes[0].hits).collect();
        let [lru, s3_fifo, clock_pro, default] = hits[..] else { panic!("four policies") };
        let point = trace.references.len() / 100;
        assert!(default + point >= lru, "{}: {default} hits, LRU {lru}", generator.name);
        let best = s3_fifo.max(clock_pro);
        assert!(default + point >= best, "{}: {default} hits, another {best}", generator.name);
    }
}

#[test]
fn an_amount_of_memory_is_a_number_of_frames_or_a_share() {
    let trace = Trace::new("test", 0..50);
    for (text, frames) in [("1", 1), ("49", 49), ("51", 50), ("1%", 1), ("10%", 5), ("100%", 50)] {
        let results = run(&trace, &[Contender::named("OPT").unwrap()], &[text.parse().unwrap()], 1);
        assert_eq!(results.frames[0].0, frames, "{text}");
    }
    for text in ["0", "0%", "101%", "", "%", "-1", "+1", "1.5", "1 %", "5000000000", "x"] {
        assert!(text.parse::<Amount>().is_err(), "{text}");
    }
}
