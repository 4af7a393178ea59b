//! Pages that cannot be read as their area goes: they are lost, and nothing else is.

use quire_memory::advice::Advice;
use quire_memory::charge::Charge;
use quire_memory::fatal::Fatal;
use quire_memory::object::{Object, ObjectError};
use quire_memory::reclaim;
use quire_swap::SlotRange;

use crate::computer::Computer;
use crate::disk::Disk;
use crate::process::{self, Process};
use crate::schedules::{BASE, PAGE, map_object, process as process_with, read, write};

const ALL: SlotRange = SlotRange { area: 0, slots: 0..u64::MAX };

#[test]
fn a_private_page_that_cannot_be_read_is_lost_and_its_slot_is_free() {
    let mut computer = Computer::start(300, 1, Disk::new(64, false));
    let (process, space) = process_with(4);
    process.run(|| (0..4).for_each(|page| write(page, page + 1).unwrap())).join();
    space.advise(BASE..BASE + 4 * PAGE, Advice::PageOut).unwrap();
    let (_, entry) = space.next_entry(BASE + PAGE, &ALL).expect("it is in swap");
    computer.disk.break_page(entry.slot().into());
    assert!(computer.disable(), "what is lost is in no slot any more");
    assert_eq!((space.usage().anonymous, space.usage().swapped), (3, 0));
    assert_eq!(process.run(|| [0, 2, 3].map(read)).join(), [Ok(1), Ok(3), Ok(4)]);
    assert!(process.run(|| read(1)).join().is_err() && matches!(process::take_fatal(), Some(Fatal::ReadFailed(_))));
    space.unmap(BASE + PAGE..BASE + 2 * PAGE).unwrap();
}

#[test]
fn a_page_of_an_object_that_cannot_be_read_is_lost_and_its_slot_is_free() {
    let mut computer = Computer::start(300, 1, Disk::new(64, false));
    let process = Process::empty();
    let object = Object::shared(PAGE, 0, false, Charge::NONE).unwrap();
    map_object(&process.memory(), &object, true, 0);
    process.run(|| write(0, 1).unwrap()).join();
    (0..20).for_each(|_| _ = reclaim::pass());
    assert_eq!((process.memory().usage().object, object.pages()), (0, 1));
    // The first slot that any page gets.
    (1..64).find(|page| quire_memory::swap::core().area(0).is_some_and(|area| area.entry(*page).is_some()));
    computer.disk.break_page(1);
    assert!(computer.disable(), "what is lost is in no slot any more");
    assert!(matches!(object.read_at(0, &mut [0; 8]), Err(ObjectError::ReadFailed(_))));
    object.set_length(0).unwrap();
    assert_eq!(object.pages(), 0);
}
