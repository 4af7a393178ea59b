//! Areas whose backend goes through a file system, and threads that are in one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use quire_swap::{
    AllocateError, Deviceless, IoError, Plug, ReadBatch, SwapOnOptions, SwapOps, SwapOpsFlags, WriteBatch, Written,
};

use quire_testkit::{Fake, FakeDisk, Memory, enable, lock, new_folio, new_swap};

struct OnFiles;

impl SwapOps<Fake> for OnFiles {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { no_file_systems: true, pages_on_disk: true, ..SwapOpsFlags::default() }
    }

    fn submit_read(&self, batch: ReadBatch<Fake>) {
        batch.complete(Err(IoError::Device));
    }

    fn submit_write(&self, batch: WriteBatch<Fake>) {
        batch.complete(Ok(()));
    }
}

#[test]
fn who_is_in_a_file_system_takes_no_slot_and_writes_no_page_where_another_is_entered() {
    let memory = Memory::new(8);
    let swap = new_swap();
    let area = Deviceless { name: "/mnt/swap", slots: 1024, ops: Arc::new(OnFiles) };
    let through = swap.swapon_without_disk(&area, SwapOnOptions::default()).unwrap();
    let is_in = |is_in| memory.in_file_system.store(is_in, Ordering::Relaxed);
    let folio = new_folio(0, 5).unwrap();
    let full = Some(AllocateError::Full);
    let refused = || (swap.allocate(0).err(), swap.allocate(1).err(), swap.allocate_on_disk(0).err());
    is_in(true);
    assert_eq!(refused(), (full, full, full));
    is_in(false);
    // Hints lead there from now on.
    let slots = (swap.allocate(0).unwrap(), swap.allocate(1).unwrap(), swap.allocate_on_disk(0).unwrap());
    let held = swap.hold_in_swap(&lock(&folio)).unwrap();
    is_in(true);
    assert_eq!(refused(), (full, full, full));
    let mut plug = Plug::new();
    assert!(matches!(swap.write(&mut plug, lock(&folio)), Written::ForAnother(_)) && plug.is_empty());
    let beside = enable(swap, &FakeDisk::new("/dev/vda", 600), None).unwrap();
    assert_eq!(swap.allocate(0).unwrap().area().index(), beside);
    assert_eq!(swap.allocate_on_disk(0).unwrap().area().index(), beside);
    is_in(false);
    assert!(matches!(swap.write(&mut plug, lock(&folio)), Written::Queued));
    plug.submit();
    drop((held, slots, folio));
    assert_eq!((swap.area(through).unwrap().used(), memory.free_frames()), (0, 8));
}
