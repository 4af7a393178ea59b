//! `quire`, the launcher: `cargo run` builds Quire, boots it in QEMU and ends with its verdict as exit status.

#![forbid(unsafe_code)]

mod lint;
mod options;

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use quire_boot::{Console, Error, Machine, Status};

use crate::options::{Options, Task};

fn main() -> ExitCode {
    let options = Options::parse();
    match options.task {
        Some(Task::Lint) => lint::lint(),
        None => boot(&options),
    }
}

fn boot(options: &Options) -> ExitCode {
    let console = if std::io::stdin().is_terminal() { Console::Interactive } else { Console::Shown };
    let machine = options.machine().console(console);
    match run(options, &machine) {
        Ok(status) => ExitCode::from(status.exit_code()),
        Err(error) => {
            eprintln!("quire: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options, machine: &Machine) -> Result<Status, Error> {
    machine.check()?;
    eprintln!("quire: {}", options.summary());
    let outcome = machine.run()?;
    if !outcome.status.is_success() {
        eprint!("{}", outcome.qemu_messages);
    }
    eprintln!("quire: {} ({:.1} s)", outcome.status, outcome.elapsed.as_secs_f64());
    Ok(outcome.status)
}
