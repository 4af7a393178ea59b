//! `cargo run -- inspect`: what a kernel engineer asks of a machine first, while it runs or after its end.
//!
//! | module | subject |
//! |---|---|
//! | here | which machine, and what is asked |
//! | [`overview`] | memory against the watermarks, swap, compressed pools, tasks |
//! | [`where_tasks_are`] | backtraces, and locks held |
//! | [`questions`] | one frame, page, slot or task, and the reclaim lists |
//! | [`heap`] | what the kernel heap has |
//! | [`happened`] | the last events |

mod happened;
mod heap;
mod overview;
mod questions;
mod where_tasks_are;

use std::{
    error::Error,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use quire_boot::observatory::{Observatory, ObservatoryError, Snapshot, Symbols, What, backtrace::Panicked, site};

/// What is asked, and of which machine.
#[derive(Args, Debug)]
pub(crate) struct InspectOptions {
    /// What is asked; without it, why the machine stopped, where its tasks are, its memory and the last events
    #[command(subcommand)]
    question: Option<Question>,

    /// The machine's directory below target/machines [default: the last one that was started]
    #[arg(long, value_name = "DIRECTORY")]
    machine: Option<PathBuf>,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
enum Question {
    /// What is in a frame, whose it is, and where else that is
    Frame {
        /// The frame's number, such as 0x1a2b
        #[arg(value_parser = number)]
        frame: u64,
    },
    /// The walk through the page tables of a process, and on to the frame or the slot
    Page {
        /// The process
        pid: u32,
        /// The virtual address, such as 0x400000
        #[arg(value_parser = number)]
        address: u64,
    },
    /// What is in a slot of a swap area, and which pages are there
    Slot {
        /// The area's index
        area: u8,
        /// The slot's number
        #[arg(value_parser = number)]
        slot: u64,
    },
    /// Where a task is, what it has, what it did last
    Task {
        /// Its name, its process's number, or both as in `sh[12]`
        name: String,
    },
    /// The reclaim lists, by cgroup, and the pools of compressed pages
    Lists,
    /// What the kernel heap has, by the size of objects, and what of it is largest
    Heap,
}

/// A number, in hexadecimal with 0x before it.
fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "not a number; write it as 4711 or as 0x1267".to_owned())
}

/// Answers on standard output.
pub(crate) fn inspect(options: &InspectOptions) -> Result<(), Box<dyn Error>> {
    let directory = match &options.machine {
        Some(directory) => directory.clone(),
        None => site::all()?.pop().ok_or(
            "there is no machine to inspect: one is while it runs (cargo run, in another terminal), and after it has ended badly",
        )?,
    };
    let mut observatory = Observatory::open(&directory.join("memory"))?;
    let snapshot = observatory.read()?;
    let answer = match &options.question {
        None => everything(&mut observatory, &directory, &snapshot)?,
        Some(Question::Frame { frame }) => questions::frame(&snapshot, fits(*frame)?)?,
        Some(Question::Page { pid, address }) => questions::page(&mut observatory, &snapshot, *pid, *address)?,
        Some(Question::Slot { area, slot }) => questions::slot(&snapshot, *area, fits(*slot)?)?,
        Some(Question::Task { name }) => {
            let tasks = questions::tasks(&snapshot, name)?;
            let has = tasks.iter().map(|task| questions::task(&snapshot, task)).collect::<String>();
            where_the_tasks_are(&mut observatory, &directory, &snapshot, &|thread| {
                tasks.iter().any(|task| task.thread == thread)
            })? + &has
        }
        Some(Question::Heap) => heap::heap(&snapshot),
        Some(Question::Lists) => questions::lists(&snapshot) + &overview::pools(&snapshot),
    };
    // A reader that went away (`| head`) has seen enough.
    let _ = io::stdout().write_all(answer.as_bytes());
    Ok(())
}

fn fits(number: u64) -> Result<u32, String> {
    u32::try_from(number).map_err(|_| format!("there is nothing with the number {number:#x}"))
}

/// Why the machine stopped, where its tasks are, its memory and the last events.
fn everything(
    observatory: &mut Observatory,
    directory: &Path,
    snapshot: &Snapshot,
) -> Result<String, ObservatoryError> {
    let parts = [
        how_it_is(directory),
        why_it_stopped(observatory.panicked()?.as_ref(), snapshot),
        who_was_killed(snapshot),
        where_the_tasks_are(observatory, directory, snapshot, &|_| true)?,
        overview::overview(snapshot),
        happened::last(snapshot),
    ];
    Ok(parts.concat())
}

fn why_it_stopped(panicked: Option<&Panicked>, snapshot: &Snapshot) -> String {
    let Some(Panicked { thread, message }) = panicked else { return String::new() };
    format!("kernel panic in {}: {message}\n", happened::task(snapshot, *thread))
}

/// How many processes had to go because memory ran out, and which was the last, if the rings still know.
fn who_was_killed(snapshot: &Snapshot) -> String {
    let killed = snapshot.counter("oom_kill");
    if killed == 0 {
        return String::new();
    }
    let last = snapshot.events.iter().rfind(|event| matches!(event.what, What::OutOfMemory { .. }));
    let last = last.map(|event| format!("; the last one:\n{}", happened::line(snapshot, event))).unwrap_or_default();
    format!("memory ran out: {killed} killed{last}\n")
}

/// Without the kernel's symbols what is known without them is said.
fn where_the_tasks_are(
    observatory: &mut Observatory,
    directory: &Path,
    snapshot: &Snapshot,
    is_wanted: &dyn Fn(u32) -> bool,
) -> Result<String, ObservatoryError> {
    match Symbols::read(&directory.join("kernel")) {
        Ok(symbols) => {
            let mut backtraces = observatory.backtraces(&symbols)?;
            backtraces.retain(|backtrace| is_wanted(backtrace.thread));
            Ok(where_tasks_are::backtraces(snapshot, &backtraces, &observatory.ranks()?))
        }
        Err(error) => Ok(format!("no backtraces: {error}\n")),
    }
}

/// Whether the machine runs, or how it ended.
fn how_it_is(directory: &Path) -> String {
    let how = match fs::read_to_string(directory.join("end")) {
        Ok(end) => end,
        Err(_) if site::is_running(directory) => "it runs".to_owned(),
        Err(_) => "its launcher was killed".to_owned(),
    };
    // What to do about it, behind the semicolon, on a line of its own.
    format!("machine {}\n{}\n", directory.display(), how.trim_end().replace("; ", ";\n    "))
}
