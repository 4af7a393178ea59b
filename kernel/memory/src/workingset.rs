//! Whether a page that came back from swap should have stayed (Linux: `mm/workingset.c`).
//!
//! Evictions are counted, and what a page leaves in its slot, its shadow, is the count at its eviction: when it comes back, the
//! difference is how many others have gone meanwhile, its refault distance.

use core::sync::atomic::{AtomicU64, Ordering};

use quire_swap::SHADOW_BITS;

use crate::cgroup::counts;
use crate::counters::COUNTERS;
use crate::lru::{self, List};
use crate::policy;

/// The clock by which refaults are judged: it counts evictions, from 1, since a shadow of 0 says nothing.
static EVICTIONS: AtomicU64 = AtomicU64::new(1);
const SHADOW_MASK: u64 = (1 << SHADOW_BITS) - 1;

/// What the eviction of a folio leaves in its slot.
pub(crate) fn next_age() -> u64 {
    EVICTIONS.fetch_add(1, Ordering::Relaxed) & SHADOW_MASK
}

/// Where a page goes that came back from swap, whose eviction left `shadow`: one that would have stayed, had the list of
/// active pages been given up for it, is active (Linux: `mm/workingset.c`).
pub fn list_after_refault(shadow: u64) -> List {
    if shadow == 0 {
        return List::Inactive;
    }
    COUNTERS.refaults.fetch_add(1, Ordering::Relaxed);
    let distance = EVICTIONS.load(Ordering::Relaxed).wrapping_sub(shadow) & SHADOW_MASK;
    let cgroup = counts::current();
    let active = if cgroup == counts::ROOT { lru::active() } else { lru::lengths_of_cgroup(cgroup).active };
    if policy::is_working_set(distance, active) {
        COUNTERS.refaults_activated.fetch_add(1, Ordering::Relaxed);
        return List::Active;
    }
    List::Inactive
}
