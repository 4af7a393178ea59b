//! The first process: the program that the command line asks for, started when the kernel is ready.

use core::cell::Cell;

use quire_machine::arch::fpu::UserState;
use quire_machine::arch::registers::TrapFrame;
use quire_machine::fallible;
use quire_machine::stack::KernelStack;
use quire_machine::sync::Once;
use quire_machine::task;
use quire_machine::{log, log_error};
use quire_memory::charge::Charge;
use quire_memory::{AddressSpace, AllocationError};

use super::control_block::{INIT, Process};
use super::limits::{Limit, Resource};
use super::program::execute::{self, Request};
use super::program::words::{InitWords, Words};
use super::signal::ChildChange;
use super::{exit, table};
use crate::errno::Errno;
use crate::fs::start;

/// Where the first program is looked for when the command line names none (Linux: `init/main.c`).
const USUAL_PLACES: [&str; 5] = ["/init", "/sbin/init", "/etc/init", "/bin/init", "/bin/sh"];

/// What the first process's program is asked for with.
static WORDS: Once<InitWords<'static>> = Once::new();

/// Makes the first process and lets it start the program that the command line asks for.
///
/// # Errors
/// [`AllocationError`] when there is no memory for it.
pub fn start_init(words: InitWords<'static>) -> Result<(), AllocationError> {
    WORDS.call_once(|| words);
    let space = AddressSpace::new()?;
    let stack = KernelStack::new()?;
    let pid = table::free_number().unwrap_or(INIT);
    let process = fallible::shared(Process::new(pid, None, space, Charge::NONE)?)?;
    // Half of all that there can be (Linux: `fork_init`).
    let half = table::most() as u64 / 2;
    let mut limits = process.limits.get();
    for resource in [Resource::PROCESSES, Resource::SIGNALS] {
        limits.set(resource, Limit { soft: half, hard: half });
    }
    process.limits.replace(limits);
    if let Err(error) = start::console(&process.files) {
        log_error!("init", "there is no console: {error}");
    }
    let thread = process.make_thread(stack, &TrapFrame::starting(0, 0), UserState::starting()?, begin)?;
    table::insert(process);
    task::begin(&thread);
    Ok(())
}

/// What the first process's thread does first.
fn begin(frame: &Cell<TrapFrame>) {
    /// What a shell returns for a program that it cannot find.
    const NOT_FOUND: u8 = 127;
    if start_program(frame).is_err() {
        exit::end_current(ChildChange::Exited(NOT_FOUND));
    }
}

/// Starts the first process's program, in that process.
///
/// # Errors
/// The last reason why there is none.
fn start_program(frame: &Cell<TrapFrame>) -> Result<(), Errno> {
    let Some(words) = WORDS.get() else { return Err(Errno::ENOENT) };
    let asked = words.program.as_ref();
    let mut result = Err(Errno::ENOENT);
    for path in asked.map_or(&USUAL_PLACES[..], core::slice::from_ref) {
        result = try_program(path, words, frame);
        if let Err(error) = result {
            if error != Errno::ENOENT || asked.is_some() {
                log_error!("init", "{path} cannot be started: {error}");
            }
            continue;
        }
        log!("init", "{path} runs as the first process");
        return Ok(());
    }
    result
}

fn try_program(path: &str, words: &InitWords<'_>, frame: &Cell<TrapFrame>) -> Result<(), Errno> {
    let mut arguments = Words::new();
    arguments.push(path.as_bytes())?;
    words.arguments.iter().try_for_each(|word| arguments.push(word))?;
    let request = Request {
        program: execute::open(path.as_bytes())?,
        path: fallible::copy(path.as_bytes())?,
        arguments,
        environment: words.environment.clone(),
    };
    execute::execute(request, frame)
}
