//! What memory management has counted, under Linux's names.

use core::sync::atomic::{AtomicU64, Ordering};

use quire_machine::frame::Kind;
use quire_machine::{heap, physical};

use crate::counters::COUNTERS;
use crate::progress;
use crate::swap;
use crate::{fault, lru, object, oom};

/// `/proc/vmstat`: names and numbers, in Linux's order.
pub fn vmstat() -> [(&'static str, u64); 37] {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let lru::Lengths { swappable, droppable, unevictable } = lru::lengths();
    let [active, active_file] = lru::active();
    let swap = swap::statistics();
    let count = &COUNTERS;
    let kinds = physical::frames_by_kind();
    [
        ("nr_free_pages", physical::free_frames() as u64),
        ("nr_inactive_anon", swappable.saturating_sub(active) as u64),
        ("nr_active_anon", active as u64),
        ("nr_inactive_file", droppable.saturating_sub(active_file) as u64),
        ("nr_active_file", active_file as u64),
        ("nr_unevictable", unevictable as u64),
        ("nr_anon_pages", kinds[Kind::Anonymous as usize] as u64),
        ("nr_file_pages", kinds[Kind::Object as usize] as u64),
        ("nr_writeback", progress::writes_under_way() as u64),
        ("nr_shmem", object::shared_pages() as u64),
        ("nr_slab_unreclaimable", heap::frames() as u64),
        ("nr_page_table_pages", kinds[Kind::PageTable as usize] as u64),
        ("nr_kernel_stack", kinds[Kind::Stack as usize] as u64 * 4),
        ("workingset_refault_anon", get(&count.refaults)),
        ("workingset_activate_anon", get(&count.refaults_activated)),
        ("pswpin", swap.pages_in),
        ("pswpout", swap.pages_out),
        ("pgactivate", get(&count.second_chances)),
        ("pgdeactivate", get(&count.deactivated)),
        ("pglazyfree", get(&count.given_away)),
        ("pgfault", fault::served::faults()),
        ("pgmajfault", fault::served::major_faults()),
        ("pglazyfreed", get(&count.lazily_freed)),
        ("pgrefill", get(&count.deactivated)),
        ("pgsteal_kswapd", get(&count.stolen[0])),
        ("pgsteal_direct", get(&count.stolen[1])),
        ("pgscan_kswapd", get(&count.scanned_by[0])),
        ("pgscan_direct", get(&count.scanned_by[1])),
        ("pgscan_anon", get(&count.scanned) - get(&count.scanned_files)),
        ("pgscan_file", get(&count.scanned_files)),
        ("allocstall_normal", get(&count.direct)),
        ("oom_kill", get(&oom::KILLS)),
        ("swap_ra", swap.readahead),
        ("swap_ra_hit", swap.readahead_hits),
        ("swpin_zero", swap.zero_in),
        ("swpout_zero", swap.zero_out),
        ("pageoutrun", get(&count.wakeups)),
    ]
}
