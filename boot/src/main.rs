//! `quire`, the launcher: `cargo run` builds Quire, boots it in QEMU and ends with its verdict as exit status.

#![forbid(unsafe_code)]

mod bench;
mod book;
mod check;
mod demo_disks;
mod faults;
mod inspect;
mod lab;
mod lint;
mod miri;
mod mkswap;
mod options;
mod policy;
mod watch_options;

use std::{
    env, error, fs,
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use quire_boot::{
    Console, Error, Initramfs, Machine, Status, find_project, initramfs, observatory::Site, watch::Session,
};

use crate::{
    demo_disks::DemoDisks,
    options::{Act, Acts, DemoOptions, MachineOptions, Options, Task, task_first},
};

fn main() -> ExitCode {
    run(Options::parse_from(task_first(env::args_os().collect()))).unwrap_or_else(|error| {
        eprintln!("quire: {error}");
        ExitCode::from(2)
    })
}

fn run(Options { task, acts, machine }: Options) -> Result<ExitCode, Box<dyn error::Error>> {
    if let Some(Task::Lab(options)) = &task {
        // A student's tree is no project.
        return Ok(lab::lab(options)?);
    }
    find_project()?;
    Ok(match task {
        Some(Task::Lab(_)) => unreachable!("labs are above"),
        None if has_terminal() => boot(&machine, Act::DemoThenShell, &acts)?,
        None => boot(&machine, Act::Demo, &acts)?,
        Some(Task::Demo(DemoOptions { acts, machine })) => boot(&machine, Act::Demo, &acts)?,
        Some(Task::Shell(machine)) => boot(&machine, Act::Shell, &Acts::default())?,
        Some(Task::Initramfs { file }) => write_initramfs(&file)?,
        Some(Task::Mkswap(options)) => {
            mkswap::mkswap(&options)?;
            ExitCode::SUCCESS
        }
        Some(Task::Bench) if bench::bench()? => ExitCode::SUCCESS,
        Some(Task::Bench) => ExitCode::FAILURE,
        Some(Task::Book(options)) => {
            book::book(&options)?;
            ExitCode::SUCCESS
        }
        Some(Task::Check { kernel, options }) => check::check(kernel, &options)?,
        Some(Task::Lint) => lint::lint(),
        Some(Task::Miri) => miri::miri(),
        Some(Task::Inspect(options)) => {
            inspect::inspect(&options)?;
            ExitCode::SUCCESS
        }
        Some(Task::Policy(options)) => policy::policy(&options)?,
    })
}

/// Whether a person can read and answer.
fn has_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

fn boot(options: &MachineOptions, act: Act, acts: &Acts) -> Result<ExitCode, Box<dyn error::Error>> {
    let (console, how_to_leave) =
        if has_terminal() { (Console::Interactive, "; Ctrl-A X leaves") } else { (Console::Shown, "") };
    let machine = options.machine(act, acts)?.console(console);
    machine.check()?;
    let watch = options.picture.watch();
    let prepared = watch.is_wanted().then(|| watch.prepare()).transpose()?;
    let demo_disks = options.wants_demo_disks(act).then(DemoDisks::make).transpose()?;
    let more = if demo_disks.is_some() { ", disks for the demo" } else { "" };
    eprintln!("quire: {}{more}{how_to_leave}", options.summary());
    let machine = demo_disks.iter().flat_map(DemoDisks::disks).fold(machine, Machine::disk);
    let site = Arc::new(Site::new(machine.installed_memory())?);
    let mut machine = machine.observed_at(Arc::clone(&site));
    if let Some(prepared) = &prepared {
        machine = machine.monitored_at(prepared.monitor());
    }
    let session = prepared.map(|prepared| prepared.start(&site.memory())).transpose()?;
    let outcome = machine.run();
    let recorded = session.map(Session::end).unwrap_or_default();
    let outcome = outcome?;
    if outcome.status.is_qemus_fault() {
        eprint!("{}", outcome.qemu_messages);
    }
    if let Some(kept) = site.end(outcome.status) {
        eprintln!("quire: {kept}");
    }
    eprintln!("quire: {} ({:.1} s)", outcome.status, outcome.elapsed.as_secs_f64());
    for file in recorded {
        eprintln!("quire: the run is in {}", file.display());
    }
    Ok(ExitCode::from(Status::exit_code(outcome.status)))
}

fn write_initramfs(file: &Path) -> Result<ExitCode, Error> {
    let mut initramfs = Initramfs::new();
    if let Some(shell) = initramfs::shell() {
        initramfs = initramfs.shell(shell);
    }
    let packed = initramfs.pack()?;
    fs::write(file, packed).map_err(|source| Error::File { action: "write", path: file.to_owned(), source })?;
    Ok(ExitCode::SUCCESS)
}
