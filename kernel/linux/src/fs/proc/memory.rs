//! Memory and swap: `/proc/meminfo`, `/proc/vmstat`, `/proc/swaps`.

use alloc::string::String;

use quire_compressed::zswap::{ATTRIBUTES, Directory};
use quire_machine::fallible::{self, TryText};
use quire_machine::frame::Kind;
use quire_machine::{heap, physical};
use quire_memory::swap;
use quire_memory::{lru, object, overcommit, progress, statistics};
use quire_swap::page::KIB_PER_PAGE;

use super::super::synthetic::print;
use super::mounts::Escaped;
use crate::errno::Errno;
use crate::fs::devices;

/// `/proc/meminfo`
pub(super) fn meminfo(out: &mut String) -> Result<(), Errno> {
    let pages = |pages: usize| pages as u64 * KIB_PER_PAGE;
    let (lists, [active, active_file]) = (lru::lengths(), lru::active());
    let (inactive, inactive_file) =
        (lists.swappable.saturating_sub(active), lists.droppable.saturating_sub(active_file));
    let (free, files, shared) = (physical::free_frames(), object::file_pages(), object::shared_pages());
    heap::trim();
    let zswap = |name| devices::zswap().and_then(|zswap| zswap.counter(name)).unwrap_or(0);
    let (swap_total, swap_used) = (swap::total_pages() * KIB_PER_PAGE, swap::used_pages() * KIB_PER_PAGE);
    let anonymous = physical::frames_of(Kind::Anonymous);
    for (name, kib) in [
        ("MemTotal", pages(physical::managed_frames())),
        ("MemFree", pages(free)),
        // Files' pages can be dropped at any time.
        ("MemAvailable", pages((free + files).saturating_sub(physical::watermarks().low))),
        ("Buffers", 0),
        ("Cached", pages(files + shared)),
        ("SwapCached", pages(physical::frames_in_swap_cache())),
        ("Active", pages(active + active_file)),
        ("Inactive", pages(inactive + inactive_file)),
        ("Active(anon)", pages(active)),
        ("Inactive(anon)", pages(inactive)),
        ("Active(file)", pages(active_file)),
        ("Inactive(file)", pages(inactive_file)),
        ("Unevictable", pages(lists.unevictable)),
        ("Mlocked", pages(lists.unevictable)),
        ("SwapTotal", swap_total),
        ("SwapFree", swap_total.saturating_sub(swap_used)),
        ("Zswap", zswap("pool_total_size") / 1024),
        ("Zswapped", zswap("stored_pages") * KIB_PER_PAGE),
        ("Dirty", 0),
        ("Writeback", pages(progress::writes_under_way())),
        ("AnonPages", pages(anonymous)),
        ("Shmem", pages(shared)),
        ("KReclaimable", 0),
        ("Slab", pages(heap::frames())),
        ("SReclaimable", 0),
        ("SUnreclaim", pages(heap::frames())),
        ("KernelStack", pages(physical::frames_of(Kind::Stack))),
        ("PageTables", pages(physical::frames_of(Kind::PageTable))),
        ("CommitLimit", overcommit::limit() * KIB_PER_PAGE),
        ("Committed_AS", overcommit::committed() * KIB_PER_PAGE),
    ] {
        let padding = 15_usize.saturating_sub(name.len());
        print(out, format_args!("{name}:{:padding$}{kib:8} kB\n", ""))?;
    }
    Ok(())
}

/// `/proc/slabinfo`
pub(super) fn slabinfo(out: &mut String) -> Result<(), Errno> {
    heap::trim();
    print(out, format_args!("slabinfo - version: 2.1\n"))?;
    print(
        out,
        format_args!(
            "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> \
             <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n"
        ),
    )?;
    for heap::SlabUsage { size, used, in_slab, slabs } in heap::slabs() {
        let all = slabs * in_slab;
        print(
            out,
            format_args!(
                "kmalloc-{size:<9} {used:6} {all:6} {size:6} {in_slab:4}    1 : tunables    0    0    0 : slabdata {slabs:6} \
                 {slabs:6}      0\n"
            ),
        )?;
    }
    Ok(())
}

/// `/proc/vmstat`
pub(super) fn vmstat(out: &mut String) -> Result<(), Errno> {
    for (name, value) in statistics::vmstat() {
        print(out, format_args!("{name} {value}\n"))?;
    }
    let Some(zswap) = devices::zswap() else { return Ok(()) };
    for (name, _, _) in ATTRIBUTES.iter().filter(|(_, directory, _)| *directory == Directory::Vmstat) {
        print(out, format_args!("{name} {}\n", zswap.counter(name).unwrap_or(0)))?;
    }
    Ok(())
}

/// The width of the column of paths.
const PATH_WIDTH: usize = 40;
/// Numbers below this get another tab behind them.
const NARROW: u64 = 10_000_000;

/// `/proc/swaps`
pub(super) fn swaps(out: &mut String) -> Result<(), Errno> {
    out.try_push_str("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")?;
    for area in swap::core().areas() {
        let path = fallible::text(format_args!("{}", Escaped(area.name())))?;
        let kind = if area.properties().is_file { "file\t" } else { "partition" };
        let space = PATH_WIDTH.saturating_sub(path.len()).max(1);
        let tab = |number: u64| if number < NARROW { "\t" } else { "" };
        let (size, used) = (area.usable() * KIB_PER_PAGE, area.used() * KIB_PER_PAGE);
        let (size_tab, used_tab, priority) = (tab(size), tab(used), area.priority());
        print(out, format_args!("{path}{:space$}{kind}\t{size}\t{size_tab}{used}\t{used_tab}{priority}\n", ""))?;
    }
    Ok(())
}
