//! `/proc`: what the kernel knows, in Linux's words and columns (`proc(5)`).
//!
//! Each file is a function that appends its text; the lists below say where it is seen. What Quire does not have, such as
//! load averages, shows as zeros where a column needs a number.

mod frames;
mod memory;
mod mounts;
mod process;
mod sysctl;
pub mod system;

use alloc::sync::Arc;

use linux_raw_sys::general as linux;
use quire_machine::fallible::{self, TryVec};

use self::frames::Frames;
use super::synthetic::{Directory, Entries, Item, Synthetic, list, read_only};
use crate::errno::Errno;
use crate::process::control_block::current;
use crate::process::table;

/// The file system.
///
/// # Errors
/// `ENOMEM`.
pub fn filesystem() -> Result<Arc<Synthetic>, Errno> {
    Synthetic::new(linux::PROC_SUPER_MAGIC, false, Some("/sys/"), fallible::shared(Root)?)
}

struct Root;

impl Directory for Root {
    fn entries(&self) -> Result<Entries, Errno> {
        let mut entries = fixed()?;
        for process in table::all() {
            let name = fallible::text(format_args!("{}", process.pid()))?;
            entries.try_push((name.into(), process::directory(process.pid())?))?;
        }
        Ok(entries)
    }

    fn find(&self, name: &str) -> Result<Item, Errno> {
        match name.parse() {
            Ok(pid) => process::directory(table::find(pid).ok_or(Errno::ENOENT)?.pid()),
            Err(_) => fixed()?.into_iter().find(|(other, _)| other == name).map(|(_, item)| item).ok_or(Errno::ENOENT),
        }
    }
}

fn fixed() -> Result<Entries, Errno> {
    let mut entries = list([
        ("cmdline".into(), read_only(system::command_line)?),
        ("cpuinfo".into(), read_only(system::processors)?),
        ("filesystems".into(), read_only(system::filesystems)?),
        ("kpagecgroup".into(), Frames::Cgroup.file()?),
        ("kpagecount".into(), Frames::Count.file()?),
        ("kpageflags".into(), Frames::Flags.file()?),
        ("loadavg".into(), read_only(system::load)?),
        ("meminfo".into(), read_only(memory::meminfo)?),
        ("mounts".into(), Item::Link("self/mounts".into())),
        ("slabinfo".into(), read_only(memory::slabinfo)?),
        ("stat".into(), read_only(system::stat)?),
        ("swaps".into(), read_only(memory::swaps)?),
        ("sys".into(), sysctl::root()?),
        ("uptime".into(), read_only(system::uptime)?),
        ("version".into(), read_only(system::version)?),
        ("vmstat".into(), read_only(memory::vmstat)?),
    ])?;
    if let Some(process) = current() {
        let name = fallible::text(format_args!("{}", process.pid()))?;
        entries.try_push(("self".into(), Item::Link(name.into())))?;
    }
    Ok(entries)
}
