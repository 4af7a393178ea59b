//! `/proc`: what the kernel knows, in Linux's words and columns (`proc(5)`).
//!
//! Each file is a function that appends its text; the lists below say where it is seen. What Quire does not have, such as
//! load averages, shows as zeros where a column needs a number.

mod memory;
mod process;
mod sysctl;
mod system;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::{self, Write};

use linux_raw_sys::general as linux;

use super::namespace;
use super::synthetic::{Directory, Entries, Item, Synthetic, print, read_only};
use crate::errno::Errno;
use crate::process as processes;

/// The file system.
pub fn filesystem() -> Arc<Synthetic> {
    Synthetic::new(linux::PROC_SUPER_MAGIC, false, Item::Directory(Arc::new(Root)))
}

struct Root;

impl Directory for Root {
    fn entries(&self) -> Entries {
        let mut entries = fixed();
        for process in processes::all() {
            entries.push((format!("{}", process.pid()).into(), process::directory(process.pid())));
        }
        entries
    }

    fn find(&self, name: &str) -> Option<Item> {
        match name.parse() {
            Ok(pid) => processes::find(pid).map(|_| process::directory(pid)),
            Err(_) => fixed().into_iter().find(|(other, _)| other == name).map(|(_, item)| item),
        }
    }
}

fn fixed() -> Entries {
    let mut entries = alloc::vec![
        ("cmdline".into(), read_only(system::command_line)),
        ("cpuinfo".into(), read_only(system::processors)),
        ("filesystems".into(), read_only(system::filesystems)),
        ("loadavg".into(), read_only(system::load)),
        ("meminfo".into(), read_only(memory::meminfo)),
        ("mounts".into(), Item::Link("self/mounts".into())),
        ("stat".into(), read_only(system::stat)),
        ("swaps".into(), read_only(memory::swaps)),
        ("sys".into(), sysctl::directory()),
        ("uptime".into(), read_only(system::uptime)),
        ("version".into(), read_only(system::version)),
        ("vmstat".into(), read_only(memory::vmstat)),
    ];
    if let Some(process) = processes::current() {
        entries.push(("self".into(), Item::Link(format!("{}", process.pid()))));
    }
    entries
}

/// `/proc/PID/mounts`
fn mounts(out: &mut String) -> Result<(), Errno> {
    for mount in namespace::mounts().all() {
        let (source, path) = (Escaped(&mount.source), Escaped(&mount.path));
        let (kind, options) = (mount.kind, mount.options);
        print(out, format_args!("{source} {path} {kind} {options} 0 0\n"))?;
    }
    Ok(())
}

/// A text in a column: octal numbers in the place of what would look like the column's end.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            ' ' | '\t' | '\n' | '\\' => write!(formatter, "\\{:03o}", u32::from(letter)),
            _ => formatter.write_char(letter),
        })
    }
}
