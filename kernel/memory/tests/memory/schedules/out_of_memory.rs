//! Memory runs out while two processes use it.

use quire_machine::physical;
use quire_memory::oom::KILLS;
use quire_memory::upcall::Process as _;

use super::*;
use Outcome::{Done, Refused};

const FEW: usize = 150;
/// A header and slots, which are full before memory is.
const DISK: u64 = 10;

/// One is killed, whichever it is, and the other goes on with what it wrote. Only one is, as a rule.
#[test]
fn one_is_killed_and_the_other_goes_on() {
    explore(
        || {
            let _scene = Scene::of(FEW, Disk::new(DISK, true));
            let killed_before = get(&KILLS);
            // There is enough for either with its stack and its tables, and not for both.
            let pages = (physical::free_frames() - physical::watermarks().min) as u64 / 2;
            let program = |first: u64| {
                move || -> Result<(), Fault> {
                    (0..pages).try_for_each(|page| write(page, first + page))?;
                    (0..pages).try_for_each(|page| {
                        assert_eq!(read(page)?, first + page);
                        Ok(())
                    })
                }
            };
            let processes = [1000, 2000].map(|first| (process(pages).0, first));
            let running = processes.each_ref().map(|(process, first)| process.run(program(*first)));
            let results = running.map(quire_machine::task::JoinHandle::join);
            let killed = processes.each_ref().map(|(process, _)| process.is_killed());
            let victims = killed.iter().filter(|is_killed| **is_killed).count() as u64;
            assert_eq!(get(&KILLS) - killed_before, victims);
            // One that has done all its work may be killed as well.
            for (result, is_killed) in std::iter::zip(results, killed) {
                assert!(result.is_ok() || is_killed, "a process fails that was not killed");
            }
            for (process, _) in &processes {
                process.end();
            }
            match victims {
                1 => Done,
                // One has waited for the end of the other, and has given that up.
                2 => Refused,
                _ => panic!("there was not enough for both"),
            }
        },
        &[Done],
    );
}
