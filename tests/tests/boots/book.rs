//! The book's commands print in the guest what the book says, all of them in one boot, and what they do can be recorded.
//!
//! For who writes a chapter, `QUIRE_CHAPTER=FILE.md cargo test -p quire-tests --test boots book -- --nocapture` does and shows those of
//! that chapter alone.

use std::{env, time::Duration};

use quire_boot::{
    Disk, Machine, Size,
    chapters::{
        self,
        blocks::missing,
        session::{MARK, Session},
    },
    watch::{
        figure::{self, Beside, Stretch, figure},
        recorder::Recorder,
    },
};
use quire_tests::{ext4, run::Run};

/// From one picture to the next: more often would make the machine slower.
const TICK: Duration = Duration::from_millis(300);

#[test]
fn the_guest_prints_what_the_book_says() {
    let mut chapters = chapters::read().unwrap();
    // The lecture has the chapters' commands.
    let is_meant = |name: &str| env::var("QUIRE_CHAPTER").map_or(name != "lecture.md", |chapter| name == chapter);
    chapters.retain(|chapter| is_meant(&chapter.name));
    let session = Session::new(&chapters).unwrap();
    // The one of the launcher, and a disk with a file system.
    let Some(volume) = ext4::ext4(24 << 10, &ext4::Contents::new(), &[]) else { return };
    let machine = Machine::new().disk(Disk::swap(Size::mebibytes(256))).disk(volume.disk());
    let (recorder, machine) = Recorder::start(machine, TICK).unwrap();
    let run = Run::lines("book", session.script("book"), machine);
    let taken = recorder.end();
    run.figures().require_exactly("commands", session.typed.len() as u64);
    if env::var("QUIRE_CHAPTER").is_ok() {
        println!("{}", run.log());
    }
    let wrong = session.printed(run.log()).filter_map(|(typed, printed)| {
        let line = missing(&typed.command.prints, printed)?;
        Some(format!("docs/{}: {} does not print: {line}", typed.chapter, typed.command.words))
    });
    let wrong: Vec<String> = wrong.collect();
    run.require(wrong.is_empty(), &wrong.join("\n"));

    // As the book's build does for each chapter.
    let log = run.log();
    let chapter = &session.typed.last().expect("the book has commands").chapter;
    let part = session.part(chapter, log).expect("the commands ended");
    let page = figure(&taken, &Stretch { log, part, hidden: MARK, beside: Beside::Story });
    let page = page.unwrap_or_else(|| panic!("docs/{chapter} makes no figure of less than {} bytes", figure::LIMIT));
    run.require(page.contains("pages were written to swap"), "a figure does not say what it shows");
}
