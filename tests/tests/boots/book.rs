//! The book's commands print in the guest what the book says, all of them in one boot.
//!
//! For who writes a chapter, `QUIRE_CHAPTER=FILE.md cargo test -p quire-tests --test boots book -- --nocapture` does and shows those of
//! that chapter alone.

use std::{env, fmt::Write as _};

use quire_boot::{
    Disk, Machine, Size,
    chapters::{
        self,
        blocks::{Command, commands, missing},
    },
};
use quire_tests::{ext4, run::Run};

/// Stands in the log before what a command prints.
const MARK: &str = "-- command of the book";

/// What the guest's shell is to do for a command of the book; `None` if that is none for the guest, or what it prints is not said.
/// The launcher's `--append "swapon=DEVICE -- PROGRAM"` is the program, with that area.
fn in_guest(command: &Command<'_>) -> Option<String> {
    if command.in_guest {
        return Some(command.words.to_owned());
    }
    let words = command.words.strip_prefix("cargo run -- --append \"")?.strip_suffix('"')?;
    let (first, program) = words.split_once("-- ").filter(|_| !command.prints.is_empty())?;
    let device = first.trim();
    if device.is_empty() {
        return Some(program.to_owned());
    }
    let device = device.strip_prefix("swapon=").filter(|device| !device.contains([' ', ',']));
    let device = device.unwrap_or_else(|| panic!("only a boot of its own could do this: {}", command.words));
    Some(format!("swapon {device}; {program}; swapoff {device}"))
}

#[test]
fn the_guest_prints_what_the_book_says() {
    let mut chapters = chapters::read().unwrap();
    // The lecture has the chapters' commands.
    let is_meant = |name: &str| env::var("QUIRE_CHAPTER").map_or(name != "lecture.md", |chapter| name == chapter);
    chapters.retain(|chapter| is_meant(&chapter.name));
    let commands: Vec<_> = chapters
        .iter()
        .flat_map(|chapter| commands(chapter).into_iter().map(move |command| (&chapter.name, command)))
        .collect();
    let commands: Vec<_> =
        commands.iter().filter_map(|(name, command)| Some((name, command, in_guest(command)?))).collect();
    let mut script = String::from(". /etc/profile\n");
    for (number, (.., words)) in commands.iter().enumerate() {
        let _ = writeln!(script, "echo; echo '{MARK} {number}'\n{words}");
    }
    let _ = writeln!(script, "echo; echo '{MARK} {0}'; echo 'quire: book ok commands={0}'", commands.len());
    // The one of the launcher, and a disk with a file system.
    let Some(volume) = ext4::ext4(24 << 10, &ext4::Contents::new(), &[]) else { return };
    let machine = Machine::new().disk(Disk::swap(Size::mebibytes(256))).disk(volume.disk());
    let run = Run::lines("book", script, machine);
    run.figures().require_exactly("commands", commands.len() as u64);
    if env::var("QUIRE_CHAPTER").is_ok() {
        println!("{}", run.log());
    }
    let printed: Vec<&str> = run.log().split(MARK).skip(1).collect();
    let wrong = commands.iter().zip(printed).filter_map(|((name, command, _), printed)| {
        let line = missing(&command.prints, printed)?;
        Some(format!("docs/{name}: {} does not print: {line}", command.words))
    });
    let wrong: Vec<String> = wrong.collect();
    run.require(wrong.is_empty(), &wrong.join("\n"));
}
