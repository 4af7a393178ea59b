//! `/proc/PID`: one process.
//!
//! A directory knows only the process's number and looks it up each time: a process that has ended leaves `ESRCH` behind.

use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use quire_machine::fallible::{self, Lossy, TryText, TryVec};
use quire_machine::task::Thread;
use quire_memory::address_space::usage::{Usage, VmaView};
use quire_memory::oom;
use quire_swap::header::PAGE_SIZE;

use super::super::node::Device;
use super::super::synthetic::Entries;
use super::super::synthetic::{
    Directory, Item, Ownership, Text, line, list, number, print, read_only, read_write, text,
};
use super::super::terminal::job;
use super::mounts;
use super::system::clock_ticks;
use crate::errno::Errno;
use crate::process::control_block::{Life, Process, current, this};
use crate::process::credentials::{Credentials, Ids, SUPERUSER};
use crate::process::limits::{Limit, Resource};
use crate::process::table;

const KIB_PER_PAGE: usize = PAGE_SIZE / 1024;

/// The terminal's device number, as `ttyS0`.
const TERMINAL: Device = Device { major: 4, minor: 64 };

type Show = fn(&Process, &mut String) -> Result<(), Errno>;

pub(super) fn directory(pid: u32) -> Result<Item, Errno> {
    Ok(Item::Directory(fallible::shared(Files(pid))?))
}

/// `/proc/PID`: its process's user's, but for what is in it if the process is private.
struct Files(u32);

impl Directory for Files {
    fn entries(&self) -> Result<Entries, Errno> {
        entries(self.0)
    }

    fn owners(&self) -> Option<[Ownership; 2]> {
        let process = table::find(self.0)?;
        let owner = {
            let own = process.identity();
            (own.user.effective, own.group.effective)
        };
        Some([owner, if process.is_private() { (SUPERUSER, SUPERUSER) } else { owner }])
    }
}

/// `/proc/PID/fd`: for the process's user alone, and always for the process itself.
struct Descriptors(u32);

impl Directory for Descriptors {
    fn permissions(&self) -> u32 {
        0o500
    }

    fn owners(&self) -> Option<[Ownership; 2]> {
        let process = current().filter(|process| process.pid() == self.0)?;
        let own = process.identity();
        Some([(own.user.filesystem, own.group.filesystem); 2])
    }

    fn entries(&self) -> Result<Entries, Errno> {
        descriptors(self.0)
    }
}

/// `/proc/PID/maps`, which only those may read who may look into the process.
struct Maps(u32);

impl Text for Maps {
    fn permissions(&self) -> u32 {
        0o444
    }

    fn opened(&self) -> Result<(), Errno> {
        if may_look_into(&*find(self.0)?) { Ok(()) } else { Err(Errno::EACCES) }
    }

    fn read_part(&self, from: u64, out: &mut String) -> Result<Option<u64>, Errno> {
        maps(&*find(self.0)?, from, out)
    }
}

fn may_look_into(process: &Process) -> bool {
    this().may_look_into(process)
}

/// A link that only those may follow who may look into the process.
fn private_link(process: &Process, link: Item) -> Item {
    if may_look_into(process) { link } else { Item::Hidden }
}

fn find(pid: u32) -> Result<Arc<Process>, Errno> {
    table::find(pid).ok_or(Errno::ESRCH)
}

fn shown(pid: u32, show: Show) -> Result<Item, Errno> {
    read_only(move |out| show(&*find(pid)?, out))
}

fn entries(pid: u32) -> Result<Entries, Errno> {
    let mut entries = list([
        ("cmdline".into(), shown(pid, command_line)?),
        ("comm".into(), shown(pid, |process, out| line(out, process.name()))?),
        ("fd".into(), Item::Directory(fallible::shared(Descriptors(pid))?)),
        ("limits".into(), shown(pid, limits)?),
        ("maps".into(), text(Maps(pid))?),
        ("mounts".into(), read_only(mounts::mounts)?),
        ("oom_score".into(), shown(pid, oom_score)?),
        (
            "oom_score_adj".into(),
            read_write(
                move |out| line(out, find(pid)?.oom_score_adjustment()),
                move |value| {
                    let adjustment = number(value)?;
                    if !(-1000..=1000).contains(&adjustment) {
                        return Err(Errno::EINVAL);
                    }
                    find(pid)?.set_oom_score_adjustment(adjustment, &this().credentials())
                },
            )?,
        ),
        ("stat".into(), shown(pid, stat)?),
        ("statm".into(), shown(pid, statm)?),
        ("status".into(), shown(pid, status)?),
    ])?;
    if cfg!(debug_assertions) {
        entries.try_push((
            "fail-nth".into(),
            read_write(
                move |out| line(out, countdown(pid)?.running().fail_nth.get()),
                move |value| set_countdown(pid, value),
            )?,
        ))?;
    }
    if let Ok(process) = find(pid) {
        if let Some(program) = process.program() {
            let link = Item::To(Arc::clone(&program.node), fallible::copy(&program.path)?);
            entries.try_push(("exe".into(), private_link(&process, link)))?;
        }
        let start = process.location.start(Credentials::SUPERUSER);
        for (name, node) in [("cwd", &start.directory), ("root", &start.root)] {
            let link = Item::Place(start.clone(), Arc::clone(node));
            entries.try_push((name.into(), private_link(&process, link)))?;
        }
    }
    Ok(entries)
}

/// Whose allocations count.
fn countdown(pid: u32) -> Result<Arc<Thread>, Errno> {
    find(pid)?.thread().ok_or(Errno::ESRCH)
}

fn set_countdown(pid: u32, value: &str) -> Result<(), Errno> {
    if !this().identity().is_superuser() {
        return Err(Errno::EPERM);
    }
    countdown(pid)?.running().fail_nth.set(number(value)?);
    Ok(())
}

/// `/proc/PID/fd`
fn descriptors(pid: u32) -> Result<Entries, Errno> {
    let mut entries = Entries::new();
    let Ok(process) = find(pid) else { return Ok(entries) };
    for number in process.files.numbers(0)? {
        let Ok(file) = process.files.get_or_path(number) else { continue };
        let name = fallible::text(format_args!("{number}"))?;
        let link = Item::To(Arc::clone(file.node()), fallible::copy(file.path())?);
        entries.try_push((name.into(), private_link(&process, link)))?;
    }
    Ok(entries)
}

fn usage(process: &Process) -> Usage {
    process.space().map(|space| space.usage()).unwrap_or_default()
}

/// The letter for what a process does, and the word behind it.
fn state(process: &Process) -> (char, &'static str) {
    match process.life() {
        Life::Ended(_) => ('Z', "zombie"),
        Life::Runs if process.standing().is_stopped() => ('T', "stopped"),
        Life::Runs if process.thread().is_some_and(|thread| thread.is_parked()) => ('S', "sleeping"),
        Life::Runs => ('R', "running"),
    }
}

fn command_line(process: &Process, out: &mut String) -> Result<(), Errno> {
    print(out, format_args!("{}", Lossy(&process.arguments())))
}

fn oom_score(process: &Process, out: &mut String) -> Result<(), Errno> {
    line(out, oom::score(process))
}

/// The VMAs that end above address `from`, until there is a page of text; returns the end of the last one if it is not the last
/// of all.
fn maps(process: &Process, from: u64, out: &mut String) -> Result<Option<u64>, Errno> {
    let Some(space) = process.space() else { return Ok(None) };
    let mut last = None;
    let shown = space.visit_vmas(from, |vma| {
        if out.len() >= PAGE_SIZE {
            return Err(None);
        }
        last = Some(vma.range.end);
        map(vma, out).map_err(Some)
    });
    match shown {
        Ok(()) => Ok(None),
        Err(None) => Ok(last),
        Err(Some(error)) => Err(error),
    }
}

fn map(vma: &VmaView<'_>, out: &mut String) -> Result<(), Errno> {
    let flag = |has, letter| if has { letter } else { '-' };
    let (read, write, execute) =
        (flag(vma.protection.read, 'r'), flag(vma.protection.write, 'w'), flag(vma.protection.execute, 'x'));
    let shared = if vma.shared { 's' } else { 'p' };
    let (range, offset) = (&vma.range, vma.offset);
    let begin = out.len();
    print(
        out,
        format_args!("{:08x}-{:08x} {read}{write}{execute}{shared} {offset:08x} 00:00 0 ", range.start, range.end),
    )?;
    // Linux pads to the column of names, and leaves the space at the end where there is none.
    match vma.name {
        Some(name) => {
            let padding = 73_usize.saturating_sub(out.len() - begin);
            print(out, format_args!("{:padding$}{name}\n", ""))
        }
        None => print(out, format_args!("\n")),
    }
}

fn statm(process: &Process, out: &mut String) -> Result<(), Errno> {
    let usage = usage(process);
    let data = usage.data + usage.stack;
    line(out, format_args!("{} {} {} {} 0 {data} 0", usage.mapped, usage.resident(), usage.object, usage.text))
}

/// `/proc/PID/stat`: 52 columns.
fn stat(process: &Process, out: &mut String) -> Result<(), Errno> {
    let usage = usage(process);
    let ticks = |ticks: &core::sync::atomic::AtomicU64| {
        clock_ticks(quire_machine::clock::TICK * ticks.load(Ordering::Relaxed) as u32)
    };
    let count = |counter: &core::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (own, children) = (&process.usage, &process.children_usage);
    let (group, session) = (process.group(), process.session());
    let (terminal, foreground) = if job::is_terminal_of(process) {
        (TERMINAL.number(), job::foreground().map_or(-1, u32::cast_signed))
    } else {
        (0, -1)
    };
    print(
        out,
        format_args!(
            "{} ({}) {} {} {group} {session} {terminal} {foreground} 0",
            process.pid(),
            process.name(),
            state(process).0,
            process.parent()
        ),
    )?;
    print(
        out,
        format_args!(
            " {} {} {} {}",
            count(&own.minor_faults),
            count(&children.minor_faults),
            count(&own.major_faults),
            count(&children.major_faults)
        ),
    )?;
    print(
        out,
        format_args!(
            " {} {} {} {} 20 0 1 0 {}",
            ticks(&own.user_ticks),
            ticks(&own.system_ticks),
            ticks(&children.user_ticks),
            ticks(&children.system_ticks),
            clock_ticks(process.started())
        ),
    )?;
    print(out, format_args!(" {} {} {}", usage.mapped * PAGE_SIZE, usage.resident(), u64::MAX))?;
    // From the addresses of code and stack to the exit code: nothing that Quire shows.
    for _ in 26..=52 {
        out.try_push_str(" 0")?;
    }
    Ok(out.try_push_str("\n")?)
}

/// `/proc/PID/limits`
fn limits(process: &Process, out: &mut String) -> Result<(), Errno> {
    let shown = |limit: u64| match limit {
        Limit::NONE => fallible::text(format_args!("unlimited")),
        limit => fallible::text(format_args!("{limit}")),
    };
    let mut row = |name: &str, soft: &str, hard: &str, unit: &str| {
        print(out, format_args!("{name:<25} {soft:<20} {hard:<20} "))?;
        if unit.is_empty() { print(out, format_args!("\n")) } else { print(out, format_args!("{unit:<10}\n")) }
    };
    row("Limit", "Soft Limit", "Hard Limit", "Units")?;
    for ((name, unit), Limit { soft, hard }) in Resource::NAMES.into_iter().zip(process.limits().all()) {
        row(name, &shown(soft)?, &shown(hard)?, unit)?;
    }
    Ok(())
}

/// `/proc/PID/status`
fn status(process: &Process, out: &mut String) -> Result<(), Errno> {
    let (letter, word) = state(process);
    let (pid, parent) = (process.pid(), process.parent());
    print(out, format_args!("Name:\t{}\nState:\t{letter} ({word})\n", process.name()))?;
    print(out, format_args!("Tgid:\t{pid}\nPid:\t{pid}\nPPid:\t{parent}\nTracerPid:\t0\n"))?;
    let credentials = process.credentials();
    for (name, ids) in [("Uid", credentials.user), ("Gid", credentials.group)] {
        let Ids { real, effective, saved, filesystem } = ids;
        print(out, format_args!("{name}:\t{real}\t{effective}\t{saved}\t{filesystem}\n"))?;
    }
    out.try_push_str("Groups:\t")?;
    for group in credentials.groups() {
        print(out, format_args!("{group} "))?;
    }
    out.try_push_str("\n")?;
    // As on Linux, not of one that is on its way out and has left its memory.
    if let Some(space) = process.space() {
        let usage = space.usage();
        for (name, pages) in [
            ("VmPeak", usage.mapped),
            ("VmSize", usage.mapped),
            ("VmLck", usage.locked),
            ("VmHWM", usage.peak.max(usage.resident())),
            ("VmRSS", usage.resident()),
            ("RssAnon", usage.anonymous),
            ("RssFile", usage.object),
            ("VmData", usage.data),
            ("VmStk", usage.stack),
            ("VmExe", usage.text),
            ("VmPTE", usage.tables),
            ("VmSwap", usage.swapped),
        ] {
            print(out, format_args!("{name}:\t{:8} kB\n", pages * KIB_PER_PAGE))?;
        }
    }
    print(out, format_args!("Threads:\t1\n"))
}
