//! Where memory's structures are, for those who look from outside: see `quire_protocol::observatory`.
//!
//! Nothing is copied: counters, cgroups, clusters and the figures of pools are read where they are. An area is made known when it is
//! enabled, a pool when its device has a size.
//!
//! # Locks
//!
//! None: the core enables one area of an index at a time, and a pool has a place that was claimed for it.

use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use quire_compressed::PoolLayout;
use quire_machine::observatory::{address, page};
use quire_protocol::observatory::{Area, AtomicArea, AtomicCgroups, AtomicCounter, AtomicPool, Counter, Pool};
use quire_swap::{AreaLayout, MAX_AREAS, Statistics};

use crate::cgroup::state;
use crate::counters::COUNTERS;
use crate::fault::served::{self, FaultService};
use crate::{lru, oom};

static AREAS: [AtomicArea; MAX_AREAS] = [const { AtomicArea::new() }; MAX_AREAS];
/// The most pools that are shown: one that finds no place is not.
const MOST_POOLS: usize = 33;
static POOLS: [AtomicPool; MOST_POOLS] = [const { AtomicPool::new() }; MOST_POOLS];
/// Which pool has a place, by where the number of its pages is; 0 for none.
static POOLS_OF: [AtomicU64; MOST_POOLS] = [const { AtomicU64::new(0) }; MOST_POOLS];
static CGROUPS: AtomicCgroups = AtomicCgroups::new();

/// What reclaim and faults count, what the swap core does once there was an area, and what zswap does.
const RECLAIM: usize = 28;
const SWAP: usize = 9;
const ZSWAP: usize = 6;
static COUNTED: [AtomicCounter; RECLAIM + SWAP + ZSWAP] = [const { AtomicCounter::new() }; RECLAIM + SWAP + ZSWAP];

/// Publishes all of it: once the policy is chosen.
pub(crate) fn start() {
    let page = page();
    let set = |word: &AtomicU64, value| word.store(value, Ordering::Relaxed);
    for (place, (name, counter)) in COUNTED.iter().zip(reclaims()) {
        note(place, name, address(counter));
    }
    set(&page.counters, address(&COUNTED));
    set(&page.counter_count, COUNTED.len() as u64);
    set(&page.areas, address(&AREAS));
    set(&page.area_count, AREAS.len() as u64);
    set(&page.pools, address(&POOLS));
    set(&page.pool_count, POOLS.len() as u64);
    set(&page.active_lists, lru::active_lists().into());
    CGROUPS.set(&state::layout());
    set(&page.cgroups, address(&CGROUPS));
}

/// An area is enabled: shows it.
pub(crate) fn area_enabled(layout: &AreaLayout<'_>) {
    for (place, (name, counter)) in COUNTED[RECLAIM..].iter().zip(swaps(layout.statistics)) {
        note(place, name, counter);
    }
    let clusters = layout.clusters.unwrap_or_default();
    AREAS[usize::from(layout.index)].publish(&Area {
        sequence: 0,
        enabled: 1,
        priority: i64::from(layout.priority).cast_unsigned(),
        slots: layout.slots,
        usable: layout.usable,
        used: layout.used.as_ptr().addr() as u64,
        name: layout.name.as_ptr().addr() as u64,
        name_length: layout.name.len() as u64,
        clusters: clusters.first as u64,
        cluster_count: clusters.count as u64,
        cluster_bytes: clusters.bytes as u64,
        table: clusters.table as u64,
    });
}

/// The area goes: shows it no more.
pub(crate) fn area_disabled(index: u8) {
    AREAS[usize::from(index)].publish(&Area::default());
}

/// A pool is in use: shows it.
pub(crate) fn pool_made(layout: &PoolLayout<'_>) {
    for (place, (name, counter)) in COUNTED[RECLAIM + SWAP..].iter().zip(layout.counters) {
        note(place, name, at(*counter));
    }
    let stored = at(layout.stored);
    let is_claimed =
        |owner: &AtomicU64| owner.compare_exchange(0, stored, Ordering::Acquire, Ordering::Relaxed).is_ok();
    let Some(place) = POOLS_OF.iter().position(is_claimed) else { return };
    POOLS[place].publish(&Pool {
        sequence: 0,
        name: layout.name.as_ptr().addr() as u64,
        name_length: layout.name.len() as u64,
        stored,
        same: at(layout.same),
        incompressible: layout.incompressible.map_or(0, at),
        compressed: at(layout.compressed),
        frames: at(layout.frames),
        pages: layout.pages,
    });
}

/// The pool goes, if it was shown: shows it no more.
pub(crate) fn pool_gone(stored: &AtomicU64) {
    if let Some(place) = POOLS_OF.iter().position(|owner| owner.load(Ordering::Relaxed) == at(stored)) {
        POOLS[place].publish(&Pool::default());
        POOLS_OF[place].store(0, Ordering::Release);
    }
}

/// Where something is that does not stay for ever.
#[inline]
fn at<T>(shown: &T) -> u64 {
    ptr::from_ref(shown).addr() as u64
}

fn note(place: &AtomicCounter, name: &'static str, value: u64) {
    place.set(&Counter { name: name.as_ptr().addr() as u64, name_length: name.len() as u64, value });
}

/// Under the names of `/proc/vmstat`, where Linux has one.
fn reclaims() -> [(&'static str, &'static AtomicU64); RECLAIM] {
    let count = &COUNTERS;
    [
        ("pgfault", served::all()),
        ("fault_zero_filled", served::counter(FaultService::ZeroFilled)),
        ("fault_zero_mapped", served::counter(FaultService::ZeroMapped)),
        ("fault_read", served::counter(FaultService::Read)),
        ("fault_cached", served::counter(FaultService::Cached)),
        ("fault_zero_slot", served::counter(FaultService::ZeroSlot)),
        ("fault_object", served::counter(FaultService::Object)),
        ("fault_copied", served::counter(FaultService::Copied)),
        ("fault_reused", served::counter(FaultService::Reused)),
        ("fault_spurious", served::counter(FaultService::Spurious)),
        ("fault_fatal", served::counter(FaultService::Fatal)),
        ("workingset_refault_anon", &count.refaults),
        ("workingset_activate_anon", &count.refaults_activated),
        ("pgactivate", &count.second_chances),
        ("pgdeactivate", &count.deactivated),
        ("pglazyfree", &count.given_away),
        ("pglazyfreed", &count.lazily_freed),
        ("pgsteal_kswapd", &count.stolen[0]),
        ("pgsteal_direct", &count.stolen[1]),
        ("pgscan_kswapd", &count.scanned_by[0]),
        ("pgscan_direct", &count.scanned_by[1]),
        ("pgscan_file", &count.scanned_files),
        ("allocstall_normal", &count.direct),
        ("pageoutrun", &count.wakeups),
        ("oom_kill", &oom::KILLS),
        ("reclaim_dropped", &count.dropped_clean),
        ("reclaim_written", &count.written),
        ("reclaim_flushes", &count.flushes),
    ]
}

/// The swap core's, whose counters stay from the first `swapon` on.
fn swaps(statistics: &Statistics) -> [(&'static str, u64); SWAP] {
    [
        ("pswpin", at(&statistics.pages_in)),
        ("pswpout", at(&statistics.pages_out)),
        ("swpin_zero", at(&statistics.zero_in)),
        ("swpout_zero", at(&statistics.zero_out)),
        ("swap_ra", at(&statistics.readahead)),
        ("swap_ra_hit", at(&statistics.readahead_hits)),
        ("swap_cache_hits", at(&statistics.cache_hits)),
        ("swap_write_batches", at(&statistics.write_batches)),
        ("swap_read_batches", at(&statistics.read_batches)),
    ]
}
