//! `memory.max` below what a cgroup has: how much is on its way to the disk at once.

use quire_memory::AddressSpace;
use quire_memory::cgroup::Cgroup;
use quire_memory::folio::BATCH;

use crate::computer::Computer;
use crate::disk::Disk;
use crate::process::Process;
use crate::schedules::{map, write};

/// A caller that is killed has little more than this done afterwards.
#[test]
fn a_lower_limit_has_at_most_two_batches_on_their_way() {
    // A batch of this many is as long as one may be.
    const PAGES: u64 = 1200;
    let computer = Computer::start(PAGES as usize + 400, 1, Disk::new(2 * PAGES, true));
    let cgroup = Cgroup::root().new_child("one").unwrap();
    let process = Process::new(AddressSpace::new().unwrap(), cgroup.number());
    map(&process.memory(), PAGES);
    process.run(|| (0..PAGES).for_each(|page| write(page, page).unwrap())).join();
    let before = cgroup.current();
    process.run(move || cgroup.set_max(Some(before / 8))).join();
    let most = computer.disk.most_under_way();
    assert!(most.is_some_and(|most| most < 2 * BATCH), "{most:?} pages were on their way");
    process.end();
}
