//! What programs do with mappings, done by kernel tasks: `fork` with pages in memory and in swap, shared and private
//! objects, moving, locking, cutting. Every page's contents are checked, and everything is freed.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::ops::Range;

use quire_machine::frame::Kind;
use quire_machine::heap;
use quire_machine::physical;
use quire_machine::task;
use quire_memory::address_space::{Backing, MapError, MapRequest, Placement};
use quire_memory::admission::Limit;
use quire_memory::advice::Advice;
use quire_memory::object::{Object, Source};
use quire_memory::remap::Move;
use quire_memory::swap;
use quire_memory::tasks::Fatal;
use quire_memory::vma::Protection;
use quire_memory::{AddressSpace, fault::served, progress};
use quire_swap::header::{PAGE_SIZE, Page};

use super::checks::ram;
use super::failure::Failure;
use super::user;
use crate::command_line::CommandLine;
use crate::require;
use crate::swapon;

const PAGE: u64 = PAGE_SIZE as u64;
const START: u64 = 0x10_0000_0000;

type Check = Result<(), Failure>;
type Part = fn(&Arc<AddressSpace>, u64) -> Check;

pub(super) fn mappings(command_line: CommandLine<'static>) -> Result<String, Failure> {
    let enabled = swapon::enable(command_line)?;
    let pages = ram() / 4;
    let checks: [(&str, Part); 8] = [
        ("fork", forks),
        ("grandchildren", grandchildren),
        ("object", objects),
        ("source", sources),
        ("move", moves),
        ("lock", locks),
        ("protect", protections),
        ("advice", advice),
    ];
    for (name, check) in checks {
        let before = Held::now();
        in_a_space(move |space| check(space, pages)).map_err(|why| Failure(format!("{name}: {}", why.0)))?;
        let after = Held::now();
        require!(before == after, "{name}: held before: {before:?}, after: {after:?}");
    }
    let before = Held::now();
    let object = Object::swappable()?;
    let own = Arc::clone(&object);
    in_a_space(move |space| {
        share(space, &own, START, pages)?;
        write_pages(START, 0..pages, 7)?;
        page_out(space, START, pages)
    })?;
    let brought_back = swap::used_pages();
    require!(brought_back > 0, "nothing of the object is in swap");
    enabled.disable()?;
    let mut page = Box::new([0; PAGE_SIZE]);
    for index in 0..pages {
        object.read_at(index * PAGE, &mut page[..]).map_err(|error| Failure(format!("{error:?}")))?;
        require!(page[8..16] == (index ^ 7).to_le_bytes(), "page {index} of the object is not what was written");
    }
    drop(object);
    let after = Held { slots: before.slots, ..Held::now() };
    require!(before == after, "swapoff: held before: {before:?}, after: {after:?}");
    require!(served::add_up(), "the kinds of faults do not add up to all of them: {}", served::totals());
    let out = swap::statistics();
    Ok(format!("pages={pages} swapped_out={} brought_back_by_swapoff={brought_back}", out.pages_out + out.zero_out))
}

/// What must be freed.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    free: usize,
    tables: usize,
    slots: u64,
}

impl Held {
    /// Once what is being written has been: until then its frames are in use.
    fn now() -> Self {
        while progress::writes_under_way() > 0 {
            task::yield_now();
        }
        Self { free: heap::spare_frames(), tables: physical::frames_of(Kind::PageTable), slots: swap::used_pages() }
    }
}

/// Runs `work` in a task with a space of its own.
fn in_a_space(work: impl FnOnce(&Arc<AddressSpace>) -> Check + Send + 'static) -> Check {
    let space = AddressSpace::new()?;
    run_in(&space, work)
}

fn run_in(space: &Arc<AddressSpace>, work: impl FnOnce(&Arc<AddressSpace>) -> Check + Send + 'static) -> Check {
    let own = Arc::clone(space);
    quire_memory::tasks::spawn("mapper", Arc::clone(space), move || work(&own))?.join()
}

fn map(space: &AddressSpace, start: u64, pages: u64) -> Check {
    space.map(&MapRequest::anonymous(Placement::FixedNoReplace(start), pages * PAGE)).map_err(refused)?;
    Ok(())
}

fn share(space: &AddressSpace, object: &Arc<Object>, start: u64, pages: u64) -> Check {
    object.set_length(pages * PAGE).map_err(|error| Failure(format!("{error:?}")))?;
    let backing = Backing::Object { object: Arc::clone(object), offset: 0 };
    let request = MapRequest { backing, shared: true, ..MapRequest::anonymous(Placement::Fixed(start), pages * PAGE) };
    space.map(&request).map_err(refused)?;
    Ok(())
}

fn refused(error: MapError) -> Failure {
    Failure(format!("refused: {error:?}"))
}

/// Writes to each page which it is and who wrote it.
fn write_pages(start: u64, pages: Range<u64>, by: u64) -> Check {
    for page in pages {
        user::write_word(start + page * PAGE + 8, page ^ by)?;
        user::write_word(start + page * PAGE + PAGE - 8, by)?;
    }
    Ok(())
}

fn check_pages(start: u64, pages: Range<u64>, by: u64) -> Check {
    for page in pages {
        let found = (user::read_word(start + page * PAGE + 8)?, user::read_word(start + page * PAGE + PAGE - 8)?);
        require!(found == (page ^ by, by), "page {page}: found {found:x?}, written by {by}");
    }
    Ok(())
}

fn page_out(space: &AddressSpace, start: u64, pages: u64) -> Check {
    space.advise(start..start + pages * PAGE, Advice::PageOut).map_err(refused)
}

/// A child sees what its parent had, in memory and in swap; what either writes the other does not see.
fn forks(space: &Arc<AddressSpace>, pages: u64) -> Check {
    map(space, START, pages)?;
    write_pages(START, 0..pages, 1)?;
    page_out(space, START, pages / 2)?;
    require!(space.usage().swapped as u64 >= pages / 4, "only {} pages are in swap", space.usage().swapped);
    let child = space.fork()?;
    let usage = (space.usage(), child.usage());
    require!(usage.0.swapped == usage.1.swapped && usage.0.anonymous == usage.1.anonymous, "usage differs: {usage:?}");
    write_pages(START, 0..pages / 4, 2)?;
    run_in(&child, move |space| {
        check_pages(START, 0..pages, 1)?;
        write_pages(START, pages / 8..pages * 3 / 4, 3)?;
        page_out(space, START, pages)?;
        check_pages(START, 0..pages / 8, 1)?;
        check_pages(START, pages / 8..pages * 3 / 4, 3)?;
        check_pages(START, pages * 3 / 4..pages, 1)
    })?;
    check_pages(START, 0..pages / 4, 2)?;
    check_pages(START, pages / 4..pages, 1)
}

/// Three generations share pages while memory is short; all of them can be paged out and come back.
fn grandchildren(space: &Arc<AddressSpace>, pages: u64) -> Check {
    let pages = pages * 3;
    map(space, START, pages)?;
    write_pages(START, 0..pages, 1)?;
    let child = space.fork()?;
    run_in(&child, move |space| {
        let grandchild = space.fork()?;
        run_in(&grandchild, move |_| {
            check_pages(START, 0..pages, 1)?;
            write_pages(START, 0..pages, 3)?;
            check_pages(START, 0..pages, 3)
        })?;
        check_pages(START, 0..pages, 1)?;
        write_pages(START, 0..pages / 2, 2)?;
        check_pages(START, pages / 2..pages, 1)
    })?;
    check_pages(START, 0..pages, 1)
}

/// What is written through one mapping of an object is seen through another, by a child, and by reading the object.
fn objects(space: &Arc<AddressSpace>, pages: u64) -> Check {
    let object = Object::swappable()?;
    share(space, &object, START, pages)?;
    write_pages(START, 0..pages, 4)?;
    page_out(space, START, pages)?;
    let child = space.fork()?;
    run_in(&child, move |_| {
        check_pages(START, 0..pages, 4)?;
        write_pages(START, pages / 2..pages, 5)
    })?;
    check_pages(START, 0..pages / 2, 4)?;
    check_pages(START, pages / 2..pages, 5)?;
    let mut word = [0; 8];
    let read = object.read_at((pages - 1) * PAGE + 8, &mut word);
    require!(read == Ok(8) && word == ((pages - 1) ^ 5).to_le_bytes(), "read_at gave {read:?}, {word:x?}");
    let wrote = object.write_at(PAGE - 4, &[9; 8]);
    require!(wrote == Ok(8) && user::read_word(START + PAGE - 4)? == 0x0909_0909_0909_0909, "write_at gave {wrote:?}");
    object.set_length(PAGE + 4).map_err(|error| Failure(format!("{error:?}")))?;
    require!(user::read_word(START + PAGE)? == 0x0909_0909, "what lies beyond the new end is not zero");
    let beyond = run_in(&space.fork()?, |_| match user::read_word(START + 2 * PAGE) {
        Err(_) if quire_memory::tasks::fatal(&task::current()) == Some(Fatal::BeyondObject(START + 2 * PAGE)) => Ok(()),
        found => {
            Err(Failure(format!("beyond the end: {found:x?}, {:?}", quire_memory::tasks::fatal(&task::current()))))
        }
    });
    beyond?;
    require!(object.pages() == 2, "{} pages of an object of two", object.pages());
    Ok(())
}

/// Page `i` is full of words `i`.
struct Counting(u64);

impl Source for Counting {
    fn length(&self) -> u64 {
        self.0
    }

    fn fill(&self, index: u64, page: &mut Page) {
        for word in page.chunks_exact_mut(8) {
            word.copy_from_slice(&index.to_le_bytes());
        }
    }
}

/// Pages come from the source, are dropped without being written to swap, and come again; private writes do not reach the
/// object; what is written to the object does not get lost.
fn sources(space: &Arc<AddressSpace>, pages: u64) -> Check {
    let object = Object::from_source(Arc::new(Counting(pages * PAGE)), None)?;
    let backing = Backing::Object { object: Arc::clone(&object), offset: PAGE };
    let request = MapRequest { backing, ..MapRequest::anonymous(Placement::Fixed(START), (pages - 1) * PAGE) };
    space.map(&request).map_err(refused)?;
    let out = swap::statistics().pages_out;
    for page in 0..pages - 1 {
        let found = user::read_word(START + page * PAGE + 16)?;
        require!(found == page + 1, "page {page} of the mapping holds {found}");
    }
    page_out(space, START, pages - 1)?;
    require!(object.pages() == 0, "{} clean pages stayed", object.pages());
    require!(swap::statistics().pages_out == out, "clean pages were written to swap");
    user::write_word(START, 77)?;
    let mut word = [0; 8];
    let read = object.read_at(PAGE, &mut word);
    require!(read == Ok(8) && word == 1_u64.to_le_bytes(), "a private write reached the object: {word:x?}");
    let wrote = object.write_at(5 * PAGE, &99_u64.to_le_bytes());
    require!(
        wrote == Ok(8) && user::read_word(START + 4 * PAGE)? == 99,
        "a write to the object is not seen: {wrote:?}"
    );
    page_out(space, START, pages - 1)?;
    require!(user::read_word(START)? == 77 && user::read_word(START + 4 * PAGE)? == 99, "a written page was lost");
    require!(user::read_word(START + 4 * PAGE + 8)? == 5, "the rest of a written page was lost");
    Ok(())
}

/// What moves keeps its contents, also when a child shares it or it is in swap, and can be paged out at its new place.
fn moves(space: &Arc<AddressSpace>, pages: u64) -> Check {
    let elsewhere = START + 0x10_0000_0000;
    let beside = START + 0x20_0000_0000;
    map(space, START, pages)?;
    write_pages(START, 0..pages, 6)?;
    page_out(space, START, pages / 3)?;
    let child = space.fork()?;
    let moved = space.remap(START..START + pages * PAGE, 2 * pages * PAGE, Move::To(elsewhere));
    require!(moved == Ok(elsewhere), "moving gave {moved:?}");
    check_pages(elsewhere, 0..pages, 6)?;
    require!(user::read_word(elsewhere + pages * PAGE)? == 0, "what was added is not zero");
    page_out(space, elsewhere, 2 * pages)?;
    // Also from below, where a base is less than 0.
    let back = space.remap(elsewhere..elsewhere + pages * PAGE, pages * PAGE, Move::To(beside));
    require!(back == Ok(beside), "moving gave {back:?}");
    check_pages(beside, 0..pages, 6)?;
    write_pages(beside, 0..pages / 2, 8)?;
    page_out(space, beside, pages)?;
    run_in(&child, move |space| {
        check_pages(START, 0..pages, 6)?;
        page_out(space, START, pages)?;
        check_pages(START, 0..pages, 6)
    })?;
    check_pages(beside, 0..pages / 2, 8)?;
    check_pages(beside, pages / 2..pages, 6)?;
    let shorter = space.remap(beside..beside + pages * PAGE, PAGE, Move::Never);
    require!(shorter == Ok(beside) && user::read_word(beside + 8)? == 8, "shortening gave {shorter:?}");
    let nothing = space.remap(START..START + PAGE, 2 * PAGE, Move::IfNeeded);
    require!(nothing == Err(MapError::NotMapped), "moving nothing gave {nothing:?}");
    Ok(())
}

/// Locked pages stay in memory while the others go.
fn locks(space: &Arc<AddressSpace>, pages: u64) -> Check {
    let locked = pages / 4;
    map(space, START, pages)?;
    space.set_limit(Limit::Locked, locked * PAGE);
    let too_many = space.lock(START..START + (locked + 1) * PAGE, true, false);
    require!(too_many == Err(MapError::LockLimit), "locking too much gave {too_many:?}");
    space.lock(START..START + locked * PAGE, true, false).map_err(refused)?;
    require!(space.usage().locked as u64 == locked, "{} pages are locked", space.usage().locked);
    require!(space.resident() as u64 >= locked, "locked pages are not in memory");
    let other = START + 0x10_0000_0000;
    map(space, other, pages * 4)?;
    write_pages(other, 0..pages * 4, 1)?;
    let mut resident = 0;
    space.in_core(START..START + locked * PAGE, |_| resident += 1).map_err(refused)?;
    require!(resident == locked, "only {resident} of {locked} locked pages stayed");
    require!(space.usage().swapped > 0, "nothing was swapped out meanwhile");
    space.lock(START..START + locked * PAGE, false, true).map_err(refused)?;
    page_out(space, START, locked)?;
    require!(space.usage().locked == 0, "{} pages are still locked", space.usage().locked);
    check_pages(other, 0..pages * 4, 1)
}

/// Only what a mapping allows can be done, also when the page is in memory, hidden, or in swap.
fn protections(space: &Arc<AddressSpace>, pages: u64) -> Check {
    map(space, START, pages)?;
    write_pages(START, 0..pages, 9)?;
    let all = START..START + pages * PAGE;
    let read_only = Protection { read: true, ..Protection::NONE };
    space.protect(all.clone(), Protection::NONE).map_err(refused)?;
    page_out(space, START, pages / 2)?;
    for address in [START, START + (pages - 1) * PAGE] {
        dies_of(space, Fatal::NotAllowed(address), move || user::read_word(address).map(drop))?;
    }
    space.protect(all.clone(), read_only).map_err(refused)?;
    check_pages(START, 0..pages, 9)?;
    dies_of(space, Fatal::NotAllowed(START), || user::write_word(START, 0))?;
    space.protect(all.start + PAGE..all.end, Protection::READ_WRITE).map_err(refused)?;
    write_pages(START, 1..pages, 10)?;
    check_pages(START, 1..pages, 10)?;
    let hole = space.protect(all.start..all.end + PAGE, read_only);
    require!(hole == Err(MapError::NotMapped), "protecting what is not mapped gave {hole:?}");
    space.unmap(START + 5 * PAGE..START + 6 * PAGE).map_err(refused)?;
    dies_of(space, Fatal::NotMapped(START + 5 * PAGE), || user::read_word(START + 5 * PAGE).map(drop))?;
    check_pages(START, 6..pages, 10)
}

/// Whether a child of the space that does `work` is killed for `reason`.
fn dies_of(
    space: &AddressSpace,
    reason: Fatal,
    work: impl FnOnce() -> Result<(), user::Fault> + Send + 'static,
) -> Check {
    run_in(&space.fork()?, move |_| {
        let outcome = work();
        let fatal = quire_memory::tasks::fatal(&task::current());
        require!(outcome.is_err() && fatal == Some(reason), "expected {reason:x?}, but {outcome:?}, {fatal:x?}");
        Ok(())
    })
}

/// What advice does to contents and to what is in memory.
fn advice(space: &Arc<AddressSpace>, pages: u64) -> Check {
    map(space, START, pages)?;
    write_pages(START, 0..pages, 11)?;
    let all = START..START + pages * PAGE;
    let half = START..START + pages / 2 * PAGE;
    page_out(space, START, pages)?;
    let swapped = space.usage().swapped as u64;
    require!(swapped == pages, "{swapped} of {pages} pages are in swap");
    space.advise(half.clone(), Advice::WillNeed).map_err(refused)?;
    require!(space.resident() as u64 >= pages / 2, "what is needed soon was not brought in");
    space.advise(half.clone(), Advice::DontNeed).map_err(refused)?;
    require!(user::read_word(START + 8)? == 0, "what is not needed is still there");
    require!(space.usage().anonymous == 0, "{} pages are in memory", space.usage().anonymous);
    check_pages(START, pages / 2..pages, 11)?;
    space.advise(half, Advice::Populate { write: true }).map_err(refused)?;
    require!(space.usage().anonymous as u64 >= pages / 2, "pages were not made");
    let beyond = space.advise(all.start..all.end + PAGE, Advice::Cold);
    require!(beyond == Err(MapError::NotMapped), "advice for what is not mapped gave {beyond:?}");
    Ok(())
}
