//! Translations: what is remembered, for how long, and what is marked and checked on the way.

use quire_machine::arch::page_table::leaf;
use quire_machine::arch::translations::forget_page;
use quire_machine::frame::Kind;
use quire_machine::simulated::{mmu, program};
use quire_machine::task::scheduler;
use quire_machine::upcall::Access;
use quire_machine::user::UserPtr;
use x86_64::structures::paging::PageTableFlags as Flags;

use crate::space::{READ, Space, WRITE, address, faults, frame, machine, read, serve_faults};

#[test]
fn a_translation_stays_until_it_is_flushed() {
    let _machine = machine(1);
    let (old, new) = (frame(Kind::Anonymous, 1), frame(Kind::Anonymous, 2));
    let space = Space::enter();
    let page = space.map(&old, READ);
    assert_eq!(read(page), 1);
    space.set(page, leaf(new.number(), READ));
    assert_eq!(read(page), 1, "the flush is missing");
    forget_page(address(page));
    assert_eq!(read(page), 2);
    space.set(page, 0);
    assert_eq!(read(page), 2, "the flush is missing");
    mmu::forget_user();
    assert!(program::read(address(page), &mut [0]).is_err());
    space.leave();
}

#[test]
fn neighbours_are_remembered_if_they_were_accessed() {
    let _machine = machine(1);
    let (old, new) = (frame(Kind::Anonymous, 1), frame(Kind::Anonymous, 2));
    let space = Space::enter();
    let [first, accessed, untouched] = [READ, READ | Flags::ACCESSED, READ].map(|flags| space.map(&old, flags));
    read(first);
    assert!(!space.flags(untouched).contains(Flags::ACCESSED));
    for page in [accessed, untouched] {
        space.set(page, leaf(new.number(), READ));
    }
    assert_eq!((read(accessed), read(untouched)), (1, 2));
    scheduler::set_space(None);
    scheduler::set_space(Some(space.clone()));
    assert_eq!(read(accessed), 2, "other tables were in use meanwhile");
    space.leave();
}

#[test]
fn a_page_is_marked_as_accessed_and_as_dirty() {
    let _machine = machine(1);
    let frame = frame(Kind::Anonymous, 1);
    let space = Space::enter();
    let page = space.map(&frame, WRITE);
    let marks = || space.flags(page) & (Flags::ACCESSED | Flags::DIRTY);
    assert_eq!(marks(), Flags::empty());
    read(page);
    assert_eq!(marks(), Flags::ACCESSED);
    program::write(address(page) + 4095, &[9]).unwrap();
    assert_eq!(marks(), Flags::ACCESSED | Flags::DIRTY);
    space.set(page, leaf(frame.number(), WRITE));
    program::write(address(page), &[7]).unwrap();
    assert_eq!(marks(), Flags::empty(), "the translation says that the page is dirty already");
    forget_page(address(page));
    program::write(address(page), &[8]).unwrap();
    assert_eq!(marks(), Flags::ACCESSED | Flags::DIRTY);
    space.leave();
}

#[test]
fn what_the_entries_do_not_allow_is_a_fault() {
    let _machine = machine(1);
    let frame = frame(Kind::Anonymous, 1);
    let space = Space::enter();
    let page = space.map(&frame, READ);
    let kernels = space.map(&frame, WRITE.difference(Flags::USER_ACCESSIBLE));
    let at = address(page) + 8;
    assert!(program::write(at, &[2]).is_err());
    assert!(program::execute(at).is_err());
    assert!(program::read(address(kernels), &mut [0]).is_err());
    assert!(program::read(1 << 47, &mut [0]).is_err());
    let user = Access { write: false, execute: false, user: true };
    assert_eq!(
        faults(),
        [
            (at, Access { write: true, ..user }),
            (at, Access { execute: true, ..user }),
            (address(kernels), user),
            (1 << 47, user)
        ]
    );
    assert_eq!(UserPtr::<u8>::new(at).read(), Ok(1));
    assert!(UserPtr::<u8>::new(at).write(2).is_err(), "write protection binds the kernel");
    assert_eq!(faults(), [(at, Access { write: true, execute: false, user: false })]);
    space.leave();
}

#[test]
fn a_fault_that_is_served_is_tried_again() {
    let _machine = machine(1);
    let frame = frame(Kind::Anonymous, 1);
    let space = Space::enter();
    let (number, own) = (frame.number(), space.clone());
    serve_faults(move |address, access| {
        let flags = if access.write { WRITE } else { READ };
        own.set((address / 4096) as usize, leaf(number, flags));
        true
    });
    assert_eq!((read(3), read(4)), (1, 1));
    // Across two pages, by a program and by the kernel.
    program::write(address(4) - 2, &[5, 6, 7]).unwrap();
    assert_eq!(UserPtr::<[u8; 4]>::new(address(4) - 2).read(), Ok([5, 6, 7, 1]));
    assert_eq!(faults().len(), 4);
    serve_faults(|_, _| false);
    space.leave();
}

#[test]
fn the_kernel_reads_and_changes_numbers_in_one_step() {
    let _machine = machine(1);
    let mut frame = frame(Kind::Anonymous, 0);
    frame.bytes_mut()[8..12].copy_from_slice(&7_u32.to_le_bytes());
    let space = Space::enter();
    let page = space.map(&frame, READ);
    let number = UserPtr::<u32>::new(address(page) + 8);
    assert_eq!(number.load(), Ok(7));
    assert!(number.compare_exchange(7, 8).is_err());
    assert!(number.cast::<u8>().range(4).is_ok_and(|range| range.writable().is_err()));
    space.set(page, leaf(frame.number(), WRITE));
    mmu::forget_user();
    assert_eq!(number.compare_exchange(6, 8), Ok(7));
    assert_eq!(number.compare_exchange(7, 8), Ok(7));
    assert!(number.cast::<u8>().range(4).is_ok_and(|range| range.writable() == Ok(4)));
    assert_eq!(number.load(), Ok(8));
    space.leave();
}

#[test]
fn a_right_that_was_added_is_found_by_a_fault() {
    let _machine = machine(1);
    let frame = frame(Kind::Anonymous, 1);
    let space = Space::enter();
    let page = space.map(&frame, READ);
    read(page);
    space.set(page, leaf(frame.number(), WRITE));
    serve_faults(|_, _| true);
    program::write(address(page), &[3]).unwrap();
    assert_eq!(faults().len(), 1, "the translation allowed less");
    assert_eq!(read(page), 3);
    space.leave();
}

#[test]
#[should_panic(expected = "a flush is missing")]
fn a_frame_that_is_freed_before_the_flush_is_a_bug() {
    let _machine = machine(1);
    let frame = frame(Kind::Anonymous, 1);
    let space = Space::enter();
    let page = space.map(&frame, READ);
    read(page);
    space.set(page, 0);
    drop(frame);
}

#[test]
fn what_lies_before_a_page_that_is_not_there_is_read_and_can_be_written() {
    let _machine = machine(1);
    let one = frame(Kind::Anonymous, 7);
    let space = Space::enter();
    let page = space.map(&one, WRITE);
    let across = UserPtr::<u8>::new(address(page) + 4000).range(200).unwrap();
    let mut bytes = [0xff; 200];
    assert_eq!(across.read_some(&mut bytes), Ok(96));
    assert!(bytes[..96].iter().all(|byte| *byte != 0xff));
    assert_eq!(across.writable(), Ok(96));
    let behind = across.behind(96);
    assert!(behind.read_some(&mut bytes[..1]).is_err() && behind.writable().is_err());
    assert_eq!(behind.first(0).writable(), Ok(0));
    space.leave();
}
