//! Where memory's structures are, for those who look from outside: see `quire_protocol::observatory`.
//!
//! Nothing is copied: counters, cgroups and clusters are read where they are. An area is made known when it is enabled.

use core::sync::atomic::{AtomicU64, Ordering};

use quire_machine::observatory::{address, page};
use quire_protocol::observatory::{Area, AtomicArea, AtomicCgroups, AtomicCounter, Counter};
use quire_swap::{AreaLayout, MAX_AREAS, Statistics};

use crate::cgroup::counts;
use crate::counters::COUNTERS;
use crate::fault::served::{self, Served};
use crate::{lru, oom};

static AREAS: [AtomicArea; MAX_AREAS] = [const { AtomicArea::new() }; MAX_AREAS];
static CGROUPS: AtomicCgroups = AtomicCgroups::new();

/// What reclaim and faults count, and what the swap core does once there was an area.
const RECLAIM: usize = 28;
const SWAP: usize = 9;
static COUNTED: [AtomicCounter; RECLAIM + SWAP] = [const { AtomicCounter::new() }; RECLAIM + SWAP];

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
    set(&page.active_lists, lru::active_lists().into());
    CGROUPS.set(&counts::layout());
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

fn note(place: &AtomicCounter, name: &'static str, value: u64) {
    place.set(&Counter { name: name.as_ptr().addr() as u64, name_length: name.len() as u64, value });
}

/// Under the names of `/proc/vmstat`, where Linux has one.
fn reclaims() -> [(&'static str, &'static AtomicU64); RECLAIM] {
    let count = &COUNTERS;
    [
        ("pgfault", served::all()),
        ("fault_zero_filled", Served::ZeroFilled.counter()),
        ("fault_zero_mapped", Served::ZeroMapped.counter()),
        ("fault_read", Served::Read.counter()),
        ("fault_cached", Served::Cached.counter()),
        ("fault_zero_slot", Served::ZeroSlot.counter()),
        ("fault_object", Served::Object.counter()),
        ("fault_copied", Served::Copied.counter()),
        ("fault_reused", Served::Reused.counter()),
        ("fault_spurious", Served::Spurious.counter()),
        ("fault_fatal", Served::Fatal.counter()),
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
    let at = |counter: &quire_swap::Counter| core::ptr::from_ref(counter).addr() as u64;
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
