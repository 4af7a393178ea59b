//! Where each task is: from its registers up its kernel stack, function by function.

use std::fmt::Write as _;

use quire_protocol::observatory::{Page, Stop};

use super::{
    error::ObservatoryError,
    memory::{KERNEL_IMAGE, Virtual},
    records::sequenced,
    snapshot::{Task, TaskState},
    symbols::{Place, Registers, Symbols, register},
};
use crate::project::find_project;

/// The most functions of one task.
const MOST: usize = 256;

/// Where a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backtrace {
    /// The task, by its thread's number.
    pub thread: u32,
    /// What the registers are taken from.
    pub since: Since,
    /// The functions, the innermost first.
    pub places: Vec<Place>,
}

impl Backtrace {
    /// The functions, the innermost first, each with its file and line; one that calls itself is named once.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        let told: Vec<_> = self.places.iter().filter(|place| !place.is_glue()).collect();
        let mut rest = &told[..];
        while let [place, ..] = rest {
            let is_same = |other: &&&Place| (&other.function, other.line) == (&place.function, place.line);
            let same = rest.iter().take_while(is_same).count();
            let function =
                if place.function.is_empty() { format!("{:#x}", place.address) } else { place.function.clone() };
            let times = if same > 1 { format!(" ({same} times)") } else { String::new() };
            _ = writeln!(text, "    {function}{times}");
            if let Some(file) = &place.file {
                _ = writeln!(text, "        at {}:{}", short(file), place.line.unwrap_or(0));
            }
            rest = &rest[same..];
        }
        text
    }
}

/// A file of the project without the directory that the project is in, one of the library's or of a crate's without what is before
/// them.
fn short(file: &str) -> &str {
    let project = find_project().ok().and_then(|project| project.to_str());
    if let Some(file) = project.and_then(|project| file.strip_prefix(project)?.strip_prefix('/')) {
        return file;
    }
    let library = file.find("/library/").map(|at| &file[at + 1..]);
    let in_crate = || file.split_once("/registry/src/")?.1.split_once('/').map(|(_, file)| file);
    library.or_else(in_crate).unwrap_or(file)
}

/// What a backtrace begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The task waits there.
    Parked,
    /// The kernel panicked there.
    Panic,
    /// The task runs, and was there at the last tick of the timer that found it in the kernel: a moment ago.
    Tick,
    /// The task runs, and where is not in memory.
    Unknown,
}

/// Why the kernel stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked {
    /// In which thread.
    pub thread: u32,
    /// What it said.
    pub message: String,
}

/// The registers and the words of the last panic, if there was one.
pub(super) fn panicked(memory: &Virtual<'_>, page: &Page) -> Result<Option<(Panicked, Registers)>, ObservatoryError> {
    let Some(stop) = stop(memory, page.stop)? else { return Ok(None) };
    let message = memory.text("the panic's message", stop.message, stop.message_length)?;
    Ok(Some((Panicked { thread: stop.thread as u32, message }, registers(&stop))))
}

/// Where all tasks are.
pub(super) fn all(
    memory: &Virtual<'_>,
    page: &Page,
    tasks: &[Task],
    symbols: &Symbols,
) -> Result<Vec<Backtrace>, ObservatoryError> {
    let panicked = panicked(memory, page)?.map(|(panicked, registers)| (panicked.thread, registers));
    let tick = stop(memory, page.tick)?.map(|stop| (stop.thread as u32, registers(&stop)));
    let backtrace = |task: &Task| {
        let of_task = |noted: Option<(u32, Registers)>| noted.filter(|(thread, _)| *thread == task.thread);
        let begin = if let Some((_, registers)) = of_task(panicked) {
            Some((Since::Panic, registers, false))
        } else if task.state == TaskState::Running {
            of_task(tick).map(|(_, registers)| (Since::Tick, registers, false))
        } else {
            switched(memory, task).map(|registers| (Since::Parked, registers, true))
        };
        let Some((since, registers, is_call)) = begin else {
            return Backtrace { thread: task.thread, since: Since::Unknown, places: Vec::new() };
        };
        Backtrace { thread: task.thread, since, places: walk(memory, symbols, registers, is_call) }
    };
    Ok(tasks.iter().map(backtrace).collect())
}

fn stop(memory: &Virtual<'_>, address: u64) -> Result<Option<Stop>, ObservatoryError> {
    if address == 0 {
        return Ok(None);
    }
    let stops = sequenced(memory, "where the kernel was", address, 1, Stop::BYTES, |bytes| {
        Stop::from_bytes(bytes).map(|stop| (stop.sequence, stop))
    })?;
    Ok(stops.into_iter().find(|stop| stop.sequence != 0))
}

fn registers(stop: &Stop) -> Registers {
    let mut registers = Registers::default();
    let Stop { rip, rsp, rbp, rbx, r12, r13, r14, r15, .. } = *stop;
    for (number, value) in [
        (register::RIP, rip),
        (register::RSP, rsp),
        (register::RBP, rbp),
        (register::RBX, rbx),
        (register::R12, r12),
        (register::R13, r13),
        (register::R14, r14),
        (register::R15, r15),
    ] {
        registers.0[number] = value;
    }
    registers
}

/// The registers of a task that does not run, as `quire_machine::arch::context::switch` has left them on its stack.
fn switched(memory: &Virtual<'_>, task: &Task) -> Option<Registers> {
    use register::{R12, R13, R14, R15, RBP, RBX, RIP, RSP};
    let pushed = [R15, R14, R13, R12, RBX, RBP, RIP];
    let mut registers = Registers::default();
    for (number, index) in pushed.into_iter().zip(0..) {
        registers.0[number] = memory.word("a task's stack", task.stack_pointer.wrapping_add(8 * index)).ok()?;
    }
    registers.0[RSP] = task.stack_pointer.wrapping_add(8 * pushed.len() as u64);
    Some(registers)
}

/// From these registers on. `is_call`: the address is behind a call, and the line is the call's.
fn walk(memory: &Virtual<'_>, symbols: &Symbols, registers: Registers, is_call: bool) -> Vec<Place> {
    let word = |address| memory.word("a kernel stack", address).ok();
    let (mut registers, mut is_call) = (registers, is_call);
    let mut places = Vec::new();
    while places.len() < MOST {
        let at = registers.0[register::RIP];
        if at < KERNEL_IMAGE {
            break;
        }
        if symbols.is_trap_return(at) {
            places.extend(symbols.places(at - 1));
            let Some(interrupted) = interrupted(registers.0[register::RSP], word) else { break };
            (registers, is_call) = interrupted;
            continue;
        }
        let mut address = at - u64::from(is_call);
        // A task that has never run begins there. Further up, it is the call before it that never returns.
        if is_call && places.is_empty() && symbols.is_beginning(at) {
            address = at;
        }
        places.extend(symbols.places(address));
        let Some(caller) = symbols.caller(&registers, address, word) else { break };
        // A stack only gets shorter; on another one it begins anew.
        if caller.0[register::RSP] == registers.0[register::RSP] && caller.0[register::RIP] == at {
            break;
        }
        (registers, is_call) = (caller, true);
    }
    places
}

/// The registers that a trap interrupted in the kernel, as `quire_machine::arch::registers::TrapFrame` has them.
/// Where no code of the kernel's is, a call has led: then those of its caller, and that they are a call's. `None` for a program's.
fn interrupted(frame: u64, word: impl Fn(u64) -> Option<u64>) -> Option<(Registers, bool)> {
    use register::{R12, R13, R14, R15, RBP, RBX, RIP, RSP};
    const PLACES: [(usize, u64); 8] =
        [(R15, 0), (R14, 1), (R13, 2), (R12, 3), (RBP, 8), (RBX, 13), (RIP, 17), (RSP, 20)];
    const CODE_SEGMENT: u64 = 18;
    let mut registers = Registers::default();
    for (number, index) in PLACES {
        registers.0[number] = word(frame.wrapping_add(8 * index))?;
    }
    if word(frame.wrapping_add(8 * CODE_SEGMENT))? & 3 != 0 {
        return None;
    }
    let is_elsewhere = registers.0[RIP] < KERNEL_IMAGE;
    if is_elsewhere {
        registers.0[RIP] = word(registers.0[RSP])?;
        registers.0[RSP] = registers.0[RSP].wrapping_add(8);
    }
    Some((registers, is_elsewhere))
}

#[cfg(test)]
mod tests {
    use super::{Backtrace, Place, Since, short};

    #[test]
    fn files_are_named_from_where_a_reader_knows_them() {
        for (file, shown) in [
            ("/rustc/59807/library/core/src/panicking.rs", "library/core/src/panicking.rs"),
            (
                "/root/.rustup/toolchains/x/lib/rustlib/src/rust/library/alloc/src/boxed.rs",
                "library/alloc/src/boxed.rs",
            ),
            ("/root/.cargo/registry/src/index.crates.io-1949/spin-0.12.3/src/once.rs", "spin-0.12.3/src/once.rs"),
            (concat!(env!("CARGO_MANIFEST_DIR"), "/../elsewhere.rs"), "boot/../elsewhere.rs"),
            ("elsewhere.rs", "elsewhere.rs"),
        ] {
            assert_eq!(short(file), shown);
        }
    }

    #[test]
    fn one_that_calls_itself_is_named_once_and_glue_never() {
        let place = |function: &str| Place { address: 7, function: function.to_owned(), file: None, line: None };
        let names = ["deeper", "deeper", "core::ops::function::FnOnce::call_once{{vtable.shim}}", "start", ""];
        let backtrace = Backtrace { thread: 1, since: Since::Parked, places: names.map(place).to_vec() };
        assert_eq!(backtrace.lines(), "    deeper (2 times)\n    start\n    0x7\n");
    }
}
