//! The guest's own programs in one executable, which does what the name says that it is called by.
//!
//! They are ordinary Linux programs: static, with system calls by Linux's numbers and control by Linux's files, so the
//! same executable runs on Quire and on Linux, and what holds on one can be checked on the other. `boot/` puts them into
//! the initramfs as `/init` and as links in `/bin`.
//!
//! | module | subject |
//! |---|---|
//! | [`init`] | process 1: makes a place to live, runs a program or a shell, ends with its exit status |
//! | [`demo`] | swapping in seven acts, with their figures |
//! | [`check`] | programs that do what programs should not, and what the kernel promises those that behave |
//! | [`stress`] | fork, signals and exits at random while memory is short |
//! | [`fuzz`] | system calls at random, while a verifier looks after its pages |
//! | [`swbench`] | what a page-out and a fault cost |
//! | [`touches`] | how many touches read under a policy, in the order of a generator |
//! | [`walk`] | makes pages, has some leave memory and reads them again, and stops where one wants to look |
//! | [`mkswap`] | makes a swap area, with the type of its backend |
//! | [`mod@bench`] | the same for each kind of swap and contents, and what a first touch and a fork cost |
//! | [`process`], [`memory`], [`files`], [`areas`], [`cgroup`], [`damage`], [`books`] | what they share: children, mappings, the kernel's files, swap areas, memory cgroups, a disk that changes, what is in use |
//!
//! Every program is one thread: a child that `fork` makes is then as whole as its parent.

#![allow(unsafe_code, reason = "system calls by number, many of them wrong on purpose: it is theirs alone, in ring 3")]

mod areas;
mod bench;
mod books;
mod cgroup;
mod check;
mod damage;
mod demo;
mod files;
mod fuzz;
mod init;
mod memory;
mod mkswap;
mod process;
mod raw;
mod stress;
mod swbench;
mod touches;
mod walk;

use std::{env, path::Path, process::ExitCode};

/// A program by its name; what it gets are its arguments.
type Program = (&'static str, fn(&[String]) -> ExitCode);

const PROGRAMS: [Program; 10] = [
    ("init", init::main),
    ("demo", demo::main),
    ("check", check::main),
    ("stress", stress::main),
    ("fuzz", fuzz::main),
    ("swbench", swbench::main),
    ("bench", bench::main),
    ("touches", touches::main),
    ("mkswap", mkswap::main),
    ("walk", walk::main),
];

fn main() -> ExitCode {
    let words: Vec<String> = env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    // `quire-programs check …` is the same as `check …`.
    (0..2).find_map(|first| run(words.get(first..)?)).unwrap_or_else(|| {
        let names = PROGRAMS.map(|(name, _)| name).join("|");
        eprintln!("usage: {} {names} [ARGUMENT…]", env!("CARGO_PKG_NAME"));
        ExitCode::from(2)
    })
}

/// Runs the program that the first word names, if there is one.
fn run(words: &[String]) -> Option<ExitCode> {
    let (first, arguments) = words.split_first()?;
    let name = Path::new(first).file_name()?;
    let (_, program) = PROGRAMS.iter().find(|(program, _)| name == *program)?;
    Some(program(arguments))
}
