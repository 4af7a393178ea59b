//! What a folio's state says on its way.

use std::panic::{AssertUnwindSafe, catch_unwind};

use quire_swap::{DiskProperties, Entry, Folio, FolioFlag, Plug, Written};

use quire_testkit::{FakeDisk, Memory, enable, lock, new_folio, swap_on};

#[test]
fn a_page_on_its_way_may_be_written_unless_it_must_not_change_and_goes_again_when_it_has_come_through() {
    for stable_writes in [false, true] {
        let memory = Memory::new(8);
        let disk = FakeDisk::with("/dev/vda", 600, DiskProperties { stable_writes, ..DiskProperties::default() }, &[]);
        let (swap, _) = swap_on(&disk);
        let folio = new_folio(0, 5).unwrap();
        let held = swap.hold_in_swap(&lock(&folio)).unwrap();
        let state = folio.state();
        let seen =
            || (state.references(), state.may_be_written(), state.may_be_mapped(true), state.may_be_mapped(false));
        assert_eq!(seen(), (1, true, true, true));
        let mut plug = Plug::new();
        assert!(matches!(swap.write(&mut plug, lock(&folio)), Written::Queued));
        assert_eq!(seen(), (2, !stable_writes, !stable_writes, true));
        state.set(FolioFlag::Dirty);
        assert!(matches!(swap.write(&mut plug, lock(&folio)), Written::Queued));
        assert_eq!((disk.requests.lock().unwrap().len(), disk.pending()), (1, 0), "the first write was waited for");
        plug.submit();
        memory.run_all();
        assert_eq!((seen(), state.is(FolioFlag::Dirty)), ((1, true, true, true), false));
        drop(held);
        drop(folio);
        assert_eq!((memory.free_frames(), swap.area(0).unwrap().used()), (8, 0));
    }
}

#[test]
fn a_page_that_tasks_may_write_on_its_way_does_not_become_one_that_they_may_not() {
    let memory = Memory::new(8);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 600));
    let folio = new_folio(0, 5).unwrap();
    let _held = swap.hold_in_swap(&lock(&folio)).unwrap();
    let mut plug = Plug::new();
    assert!(matches!(swap.write(&mut plug, lock(&folio)), Written::Queued));
    let mut locked = lock(&folio);
    assert!(catch_unwind(AssertUnwindSafe(|| locked.start_writeback())).is_err());
    assert!(folio.state().may_be_written(), "tasks may write what a backend looks at");
    drop(locked);
    plug.submit();
    memory.run_all();
}

#[test]
fn a_folio_covers_its_own_slots_alone() {
    Memory::new(8);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 2000));
    enable(swap, &FakeDisk::new("/dev/vdb", 2000), None).unwrap();
    let folio = lock(&new_folio(2, 5).unwrap());
    let first = swap.add_to_swap(&folio).unwrap();
    for slot in first.slot() - 1..first.slot() + 6 {
        let covers = |area| folio.covers(Entry::new(area, slot).unwrap());
        assert_eq!(covers(first.area()), (first.slot()..first.slot() + 4).contains(&slot), "slot {slot}");
        assert!(!covers(1 - first.area()));
    }
    assert!(swap.try_free_slot(&folio) && !folio.covers(first));
}

#[test]
fn what_gets_a_slot_is_dirty_as_nothing_is_stored_there() {
    Memory::new(8);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 600));
    for together in [false, true] {
        let folio = lock(&new_folio(0, 5).unwrap());
        folio.state().clear(FolioFlag::Dirty);
        let _held = if together {
            swap.hold_together_in_swap([&folio].into_iter()).unwrap().next().unwrap()
        } else {
            swap.hold_in_swap(&folio).unwrap()
        };
        assert!(folio.state().is(FolioFlag::Dirty));
    }
}
