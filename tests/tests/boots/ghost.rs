//! Swap space with nothing behind it, with zswap and without, with a disk and without; and zswap before a disk alone.

use quire_boot::{Disk, Machine, Size};
use quire_tests::Run;

fn machine() -> Machine {
    Machine::new().memory(Size::mebibytes(32))
}

fn with_disk() -> Machine {
    machine().disk(Disk::swap(Size::mebibytes(128)))
}

#[test]
fn the_largest_ghost_area_costs_next_to_nothing_and_is_enabled_once() {
    let run = Run::new("ghost-size", machine());
    run.figures().require_exactly("pages", (1 << 32) - 1);
    run.require(run.figures().number("heap_bytes") < 64 << 10, "it costs 64 KiB or more");
    run.require(run.lines_with("/dev/ghostswap: is a swap area already").next().is_some(), "the log does not say why");
}

#[test]
fn zero_pages_need_nothing_but_names() {
    let run = Run::new("ghost load=200 contents=zero off=0 swapon=/dev/ghostswap,size=1G", machine());
    run.figures().require_exactly("zswpout", 0);
    run.figures().require_at_least("zero_out", 5000);
}

#[test]
fn memory_compressed_into_itself_is_more_memory() {
    let run = Run::new("ghost zswap.enabled=1 zswap.max_pool_percent=60 off=0 swapon=/dev/ghostswap", machine());
    run.figures().require_at_least("stored", 1000);
    run.figures().require_at_least("refused", 1);
    run.figures().require_exactly("zswpwb", 0);
    run.figures().require_exactly("failed_writes", 0);
}

/// Ghost, zswap and a disk, which leave in this order under load.
fn three_layers(words: &str) -> Run {
    let words = format!("ghost load=180 zswap.enabled=1 swapon=/dev/ghostswap,10 swapon=/dev/vda {words}");
    let run = Run::new(&words, with_disk());
    run.figures().require_at_least("zswpwb", 1000);
    run.figures().require_at_least("zswpin", 1);
    run
}

#[test]
fn cold_pages_go_to_a_disk_decompressed_and_the_ghost_leaves_first() {
    let run = three_layers("off=0,1 zswap.shrinker_enabled=1");
    run.figures().require_exactly("written_back_compressed", 0);
}

#[test]
fn cold_pages_go_to_a_disk_as_they_are_stored_and_the_disk_leaves_first() {
    is_packed(&three_layers("off=1,0 zswap.compressed_writeback=1"));
}

#[test]
fn zswap_is_before_a_disk_without_a_ghost() {
    let words = "ghost load=180 off=0 zswap.enabled=1 zswap.shrinker_enabled=1 swapon=/dev/vda";
    let run = Run::new(words, with_disk());
    run.figures().require_at_least("zswpwb", 1000);
    run.figures().require_at_least("zswpin", 100);
}

#[test]
fn zswap_packs_several_pages_into_a_block_of_its_own_disk() {
    let words = "ghost load=180 off=0 zswap.enabled=1 zswap.compressed_writeback=1 swapon=/dev/vda";
    let run = Run::new(words, with_disk());
    is_packed(&run);
}

/// What was written back went as it was stored, at one and a half pages a block or better, and came back with its neighbours.
fn is_packed(run: &Run) {
    run.figures().require_exactly("written_back_decompressed", 0);
    run.figures().require_exactly("written_back_compressed", run.figures().number("zswpwb"));
    // All of them are text: zswap takes neither random pages nor zeros.
    run.figures().require_at_least("written_back_packed", 1000);
    let [pages, blocks] = ["written_back_packed", "written_back_packed_blocks"].map(|name| run.figures().number(name));
    run.require(2 * pages >= 3 * blocks, &format!("{pages} pages of text took {blocks} blocks"));
    run.figures().require_at_least("read_back_neighbours", 1);
}

#[test]
fn a_disk_that_refuses_writes_leaves_pages_compressed() {
    let dead = "inject-error.0.event=none,inject-error.0.errno=5,inject-error.0.iotype=write";
    let disk = Disk::swap(Size::mebibytes(64)).faults(dead);
    let words = "ghost load=105 zswap.enabled=1 zswap.max_pool_percent=60 zswap.shrinker_enabled=1 \
                 swapon=/dev/ghostswap,10 swapon=/dev/vda";
    let run = Run::new(words, machine().disk(disk));
    run.figures().require_at_least("failed_writes", 1);
    run.figures().require_exactly("zswpwb", 0);
    run.figures().require_at_least("stored", 500);
}

#[test]
fn slots_that_cannot_be_read_cost_at_most_a_task_each() {
    // A page may be wanted again while it is on its way to such a slot, and is not read from there: not three times.
    const SLOTS: [usize; 3] = [300, 500, 700];
    let bad = |(number, slot): (usize, usize)| {
        let error = format!("inject-error.{number}");
        format!("{error}.event=none,{error}.errno=5,{error}.iotype=read,{error}.sector={}", slot * 8)
    };
    let bad = SLOTS.into_iter().enumerate().map(bad).collect::<Vec<_>>().join(",");
    let disk = Disk::swap(Size::mebibytes(128)).faults(&bad);
    let words = "ghost contents=text load=180 killed=3 zswap.enabled=1 swapon=/dev/ghostswap,10 swapon=/dev/vda";
    let run = Run::new(words, machine().disk(disk));
    run.figures().require_at_least("killed", 1);
    run.require(run.lines_with("of /dev/ghostswap").any(|line| line.contains(" killed: ")), "the log names no slot");
}

#[test]
fn a_damaged_page_costs_only_the_task_that_needs_it() {
    let run = Run::new("zswap-damage zswap.enabled=1 swapon=/dev/ghostswap", machine());
    run.figures().require_at_least("stored", 500);
    run.figures().require_at_least("decompress_fail", 1);
    run.figures().require_exactly("killed", 1);
    run.figures().require_exactly("survived", 2);
    let killed: Vec<&str> = run.lines_with(" killed: ").collect();
    run.require(killed.len() == 1 && killed[0].contains("/dev/ghostswap"), "not one task is named with the device");
}

#[test]
fn when_nothing_compresses_tasks_die_and_the_kernel_lives() {
    let run = Run::new("ghost-full zswap.enabled=1 swapon=/dev/ghostswap", machine());
    let killed = run.figures().number("killed");
    run.figures().require_at_least("killed", 1);
    run.figures().require_at_least("survived", 1);
    let named = run.lines_with("killed: out of memory").count() as u64;
    run.require(named == killed, "not every killed task is named");
}
