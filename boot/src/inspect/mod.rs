//! `cargo run -- inspect`: what a kernel engineer asks of a machine first, while it runs or after its end.
//!
//! | module | subject |
//! |---|---|
//! | here | which machine, and what is asked |
//! | [`overview`] | memory against the watermarks, swap, tasks |
//! | [`where_tasks_are`] | backtraces, and locks held |
//! | [`happened`] | the last events |

mod happened;
mod overview;
mod where_tasks_are;

use std::{
    error::Error,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use quire_boot::observatory::{Observatory, ObservatoryError, Snapshot, Symbols, backtrace::Panicked, site};

/// What is asked, and of which machine.
#[derive(Args, Debug)]
pub(crate) struct InspectOptions {
    /// The machine's directory below target/machines [default: the last one that was started]
    #[arg(long, value_name = "DIRECTORY")]
    machine: Option<PathBuf>,
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
    let parts = [
        how_it_is(&directory),
        why_it_stopped(observatory.panicked()?.as_ref(), &snapshot),
        where_the_tasks_are(&mut observatory, &directory, &snapshot)?,
        overview::overview(&snapshot),
        happened::last(&snapshot),
    ];
    let text = parts.concat();
    // A reader that went away (`| head`) has seen enough.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn why_it_stopped(panicked: Option<&Panicked>, snapshot: &Snapshot) -> String {
    let Some(Panicked { thread, message }) = panicked else { return String::new() };
    format!("kernel panic in {}: {message}\n", happened::task(snapshot, *thread))
}

/// Without the kernel's symbols what is known without them is said.
fn where_the_tasks_are(
    observatory: &mut Observatory,
    directory: &Path,
    snapshot: &Snapshot,
) -> Result<String, ObservatoryError> {
    match Symbols::read(&directory.join("kernel")) {
        Ok(symbols) => {
            let backtraces = observatory.backtraces(&symbols)?;
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
    format!("machine {}: {}\n", directory.display(), how.trim_end())
}
