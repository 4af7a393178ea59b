//! `quire`, the launcher: `cargo run` builds Quire, boots it in QEMU and ends with its verdict as exit status.

#![forbid(unsafe_code)]

mod lint;
mod options;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::Parser;
use quire_boot::{Console, Error, Status};

use crate::options::{Options, Task};

fn main() -> ExitCode {
    let options = Options::parse();
    match options.task {
        Some(Task::Lint) => lint::lint(),
        None => boot(&options),
    }
}

fn boot(options: &Options) -> ExitCode {
    match run(options) {
        Ok(status) => ExitCode::from(status.exit_code()),
        Err(error) => {
            eprintln!("quire: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<Status, Error> {
    let (console, how_to_leave) =
        if io::stdin().is_terminal() { (Console::Interactive, "; Ctrl-A X leaves") } else { (Console::Shown, "") };
    let machine = options.machine().console(console);
    machine.check()?;
    eprintln!("quire: {}{how_to_leave}", options.summary());
    let outcome = machine.run()?;
    if outcome.status.is_qemus_fault() {
        eprint!("{}", outcome.qemu_messages);
    }
    eprintln!("quire: {} ({:.1} s)", outcome.status, outcome.elapsed.as_secs_f64());
    Ok(outcome.status)
}
