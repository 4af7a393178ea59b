//! Which pages reclaim takes: not those that were accessed since they came, and those that were given away though there is no swap.

use quire_memory::advice::Advice;
use quire_memory::reclaim;

use crate::computer::Computer;
use crate::disk::Disk;
use crate::schedules::{BASE, PAGE, process, read, write};

/// The access that brought a page in is forgotten when others have come, by the processor as well: the next one counts.
#[test]
fn an_access_after_the_first_is_a_second_chance() {
    let _computer = Computer::start(300, 1, Disk::new(64, false));
    let (process, space) = process(8);
    let program = process.run(move || {
        (0..8).for_each(|page| write(page, page + 1).unwrap());
        assert_eq!(read(0), Ok(1));
        reclaim::pass();
        let mut is_here = false;
        space.in_core(BASE..BASE + PAGE, |_| is_here = true).unwrap();
        assert!(space.usage().swapped > 0 && is_here, "what was accessed goes before the others");
    });
    program.join();
}

#[test]
fn what_is_given_away_goes_without_swap() {
    let mut computer = Computer::start(300, 1, Disk::new(64, false));
    assert!(computer.disable());
    let (process, space) = process(8);
    process.run(|| (0..8).for_each(|page| write(page, page + 1).unwrap())).join();
    (0..20).for_each(|_| _ = reclaim::pass());
    assert_eq!(space.usage().anonymous, 8);
    space.advise(BASE..BASE + 6 * PAGE, Advice::Free).unwrap();
    process.run(|| write(0, 9).unwrap()).join();
    (0..20).for_each(|_| _ = reclaim::pass());
    assert_eq!(space.usage().anonymous, 3, "one was written again");
    assert_eq!(process.run(|| [0, 1, 7].map(read)).join(), [Ok(9), Ok(0), Ok(8)]);
}
