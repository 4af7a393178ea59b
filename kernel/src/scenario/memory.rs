//! What the machine's memory must look like: protections of the kernel's pages, and frames that come and go.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use quire_machine::address_map::{DIRECT_MAP, KERNEL_IMAGE, USER_END};
use quire_machine::arch::translations;
use quire_machine::frame::Kind;
use quire_machine::heap;
use quire_machine::kernel_map::{self, Flags};
use quire_machine::physical;
use quire_machine::unique::UniqueFrame;
use quire_machine::watermark::Purpose;
use quire_memory::AddressSpace;
use quire_memory::address_space::MapError;

use super::failure::Failure;
use super::user;
use crate::command_line::CommandLine;
use crate::require;

pub(super) fn memory(_: CommandLine<'static>) -> Result<String, Failure> {
    let audited = audit_kernel_pages()?;
    reserves()?;
    address_spaces()?;
    Ok(format!("pages_audited={audited} frames={}", physical::managed_frames()))
}

/// No page is writable and executable, at another address neither, only the kernel's image is executable, nothing of the
/// kernel is the user's.
fn audit_kernel_pages() -> Result<u64, Failure> {
    let (mut audited, mut executable, mut bad) = (0_u64, Vec::new(), None);
    kernel_map::for_each_page(|page| {
        audited += 1;
        let runs = !page.flags.contains(Flags::NO_EXECUTE);
        if runs {
            executable.push(page.physical.start);
        }
        let wrong = page.flags.contains(Flags::USER_ACCESSIBLE)
            || runs && (page.flags.contains(Flags::WRITABLE) || page.address < KERNEL_IMAGE);
        if wrong {
            bad = Some(page);
        }
    });
    require!(!executable.is_empty(), "no page of the kernel is executable");
    executable.sort_unstable();
    kernel_map::for_each_page(|page| {
        let place = executable.partition_point(|start| *start < page.physical.start);
        let holds_code = executable.get(place).is_some_and(|start| page.physical.contains(start));
        if page.flags.contains(Flags::WRITABLE) && holds_code {
            bad = Some(page);
        }
    });
    if let Some(page) = bad {
        return Err(Failure(format!("a page is mapped as {page:x?}")));
    }
    let used = translations::used_user_words();
    require!(used == 0, "a kernel thread has {used} tables in its user half");
    Ok(audited)
}

/// Each purpose stops at its own watermark, the requests of reclaim can take the last frame, and all come back.
fn reserves() -> Result<(), Failure> {
    let free_before = heap::spare_frames();
    let marks = physical::watermarks();
    let mut taken = Vec::with_capacity(free_before);
    for purpose in [Purpose::Task, Purpose::Kernel, Purpose::Reclaim, Purpose::Requests] {
        while let Some(frame) = UniqueFrame::allocate(0, Kind::Device, purpose) {
            taken.push(frame);
        }
        let (free, floor) = (physical::free_frames(), marks.floor(purpose));
        if free != floor {
            drop(taken);
            return Err(Failure(format!("{purpose:?} stopped with {free} frames free, not {floor}")));
        }
    }
    drop(taken);
    let free = heap::spare_frames();
    require!(free == free_before, "{free_before} frames were free before, {free} after");
    Ok(())
}

/// VMAs are checked, pages are zero at first, what is not mapped cannot be touched, and nothing is left behind.
fn address_spaces() -> Result<(), Failure> {
    const PAGES: u64 = 300;
    const START: u64 = 0x10_0000_0000;
    let free_before = heap::spare_frames();
    let tables_before = physical::frames_of(Kind::PageTable);
    {
        let space = AddressSpace::new().map_err(|_| "no memory for an address space")?;
        for (range, expected) in [
            (START..START + PAGES * 0x1000, Ok(())),
            (START..START + 0x1000, Err(MapError::Overlap)),
            (0x5000..0x5000, Err(MapError::OutOfRange)),
            (0x5001..0x6001, Err(MapError::OutOfRange)),
            (USER_END..USER_END + 0x1000, Err(MapError::OutOfRange)),
        ] {
            let outcome = space.map_anonymous(range.clone());
            require!(outcome == expected, "mapping {range:x?} gave {outcome:?}, not {expected:?}");
        }
        let task = quire_memory::tasks::spawn("toucher", space, || {
            let zero = (0..PAGES).all(|page| user::read_word(START + page * 0x1000) == Ok(0));
            let wrote = (0..PAGES).all(|page| user::write_word(START + page * 0x1000, page) == Ok(()));
            let kept = (0..PAGES).all(|page| user::read_word(START + page * 0x1000) == Ok(page));
            let kernel = user::read_word(DIRECT_MAP + kernel_map::root().address()).is_err();
            let unmapped = user::write_word(0x5000, 1).is_err();
            (zero, wrote, kept, kernel, unmapped)
        });
        let outcome = task.map_err(|_| "no memory for a task")?.join();
        require!(
            outcome == (true, true, true, true, true),
            "a task found {outcome:?} of (zero at first, writable, kept, kernel refused, unmapped refused)"
        );
    }
    let (free, tables) = (heap::spare_frames(), physical::frames_of(Kind::PageTable));
    require!(free == free_before, "{free_before} frames were free before, {free} after");
    require!(tables == tables_before, "{tables_before} page tables before, {tables} after");
    Ok(())
}
