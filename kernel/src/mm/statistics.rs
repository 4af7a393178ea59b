//! What memory management has counted and how memory is used, under Linux's names, for `/proc/vmstat`, `/proc/meminfo` and
//! others.

use core::sync::atomic::{AtomicU64, Ordering};

use super::frame::Kind;
use super::{fault, heap, lru, object, oom, physical, reclaim};
use crate::swap;

/// `/proc/vmstat`: names and numbers, in Linux's order.
pub fn vmstat() -> [(&'static str, u64); 34] {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let lru::Lengths { active, inactive, active_file, inactive_file, unevictable } = lru::lengths();
    let swap = swap::statistics();
    let count = &reclaim::COUNTERS;
    let kinds = physical::frames_by_kind();
    [
        ("nr_free_pages", physical::free_frames() as u64),
        ("nr_inactive_anon", inactive as u64),
        ("nr_active_anon", active as u64),
        ("nr_inactive_file", inactive_file as u64),
        ("nr_active_file", active_file as u64),
        ("nr_unevictable", unevictable as u64),
        ("nr_anon_pages", kinds[Kind::Anonymous as usize] as u64),
        ("nr_file_pages", kinds[Kind::Object as usize] as u64),
        ("nr_writeback", reclaim::writes_under_way() as u64),
        ("nr_shmem", object::shared_pages() as u64),
        ("nr_page_table_pages", kinds[Kind::PageTable as usize] as u64),
        ("nr_kernel_stack", kinds[Kind::Stack as usize] as u64 * 4),
        ("workingset_refault_anon", get(&count.refaults)),
        ("workingset_activate_anon", get(&count.refaults_activated)),
        ("pswpin", swap.pages_in),
        ("pswpout", swap.pages_out),
        ("pgactivate", get(&count.second_chances)),
        ("pgdeactivate", get(&count.deactivated)),
        ("pgfault", get(&fault::COUNTERS.all)),
        ("pgmajfault", fault::major_faults()),
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

/// `/proc/meminfo`: names and KiB, in Linux's order.
pub fn meminfo() -> [(&'static str, u64); 21] {
    let lru::Lengths { active, inactive, active_file, inactive_file, unevictable } = lru::lengths();
    let kinds = physical::frames_by_kind();
    let of = |kind: Kind| kinds[kind as usize] as u64;
    let free = physical::free_frames() as u64;
    let (shared, files) = (object::shared_pages() as u64, object::file_pages() as u64);
    let (total_swap, free_swap) = swap::core().totals();
    let (heap_bytes, _) = heap::usage();
    let droppable = (active_file + inactive_file) as u64;
    let reserve = physical::watermarks().low as u64;
    let pages = [
        ("MemTotal", physical::managed_frames() as u64 + heap_bytes as u64 / 4096),
        ("MemFree", free),
        ("MemAvailable", (free + droppable).saturating_sub(reserve)),
        ("Buffers", 0),
        ("Cached", shared + files),
        ("SwapCached", physical::frames_in_swap_cache() as u64),
        ("Active", (active + active_file) as u64),
        ("Inactive", (inactive + inactive_file) as u64),
        ("Active(anon)", active as u64),
        ("Inactive(anon)", inactive as u64),
        ("Active(file)", active_file as u64),
        ("Inactive(file)", inactive_file as u64),
        ("Unevictable", unevictable as u64),
        ("Mlocked", unevictable as u64),
        ("SwapTotal", total_swap),
        ("SwapFree", free_swap),
        ("Writeback", reclaim::writes_under_way() as u64),
        ("AnonPages", of(Kind::Anonymous)),
        ("Shmem", shared),
        ("KernelStack", of(Kind::Stack)),
        ("PageTables", of(Kind::PageTable)),
    ];
    pages.map(|(name, pages)| (name, pages * 4))
}
