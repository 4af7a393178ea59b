//! Memory cgroups as directories (Linux: `Documentation/admin-guide/cgroup-v2.rst`, as far as memory goes).
//!
//! A directory is a cgroup; making one makes a cgroup, and one without processes and groups in it can be removed. The memory
//! controller is there and on in every cgroup.
//!
//! # Locking
//!
//! Each group has a lock for its list of groups and for whether it was removed, under which processes join it, too; no two
//! of them are held at once.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;
use quire_machine::fallible::{self, TryVec};
use quire_machine::sync::Once;
use quire_machine::sync::Rank;
use quire_machine::task::Mutex;
use quire_memory::cgroup::{Cgroup, CgroupEvent, MOST, NoCgroup, Uses};

use super::synthetic::{Directory, Entries, Item, Synthetic, inode, line, list, number, print, read_only, read_write};
use crate::errno::Errno;
use crate::process::control_block::current;
use crate::process::table;

/// The file system.
///
/// # Errors
/// `ENOMEM`.
pub fn filesystem() -> Result<Arc<Synthetic>, Errno> {
    Synthetic::new(linux::CGROUP2_SUPER_MAGIC, false, None, Arc::clone(root()?) as _)
}

fn root() -> Result<&'static Arc<CgroupDirectory>, Errno> {
    static ROOT: Once<Arc<CgroupDirectory>> = Once::new();
    ROOT.try_call_once(|| CgroupDirectory::new(Cgroup::root()))
}

/// The inode number of each cgroup's directory, by the cgroup's number; 0 for those that are not there.
///
/// # Errors
/// `ENOMEM`.
pub(super) fn inodes() -> Result<[u64; MOST], Errno> {
    let mut inodes = [0; MOST];
    let mut left = Vec::new();
    left.try_push((String::new(), Arc::clone(root()?)))?;
    while let Some((path, directory)) = left.pop() {
        inodes[usize::from(directory.cgroup.number())] = inode(&path);
        let children = fallible::copy(&directory.inside.lock().groups)?;
        for child in children {
            left.try_push((fallible::text(format_args!("{path}/{}", child.cgroup.name()))?, child))?;
        }
    }
    Ok(inodes)
}

struct CgroupDirectory {
    cgroup: Arc<Cgroup>,
    inside: Arc<Mutex<Inside>>,
}

/// What makes a group stay.
struct Inside {
    groups: Vec<Arc<CgroupDirectory>>,
    /// No process joins it any more.
    is_removed: bool,
}

impl CgroupDirectory {
    fn new(cgroup: Arc<Cgroup>) -> Result<Arc<Self>, Errno> {
        let inside = Inside { groups: Vec::new(), is_removed: false };
        let inside = fallible::shared(Mutex::new(Rank::Text, inside))?;
        Ok(fallible::shared(Self { cgroup, inside })?)
    }

    fn child(&self, name: &str) -> Option<Arc<Self>> {
        self.inside.lock().groups.iter().find(|child| child.cgroup.name() == name).cloned()
    }
}

impl Directory for CgroupDirectory {
    fn entries(&self) -> Result<Entries, Errno> {
        let mut entries = files(&self.cgroup, &self.inside)?;
        let children = fallible::copy(&self.inside.lock().groups)?;
        for child in children {
            let name = fallible::text(format_args!("{}", child.cgroup.name()))?;
            entries.try_push((name.into(), Item::Directory(child)))?;
        }
        Ok(entries)
    }

    fn make(&self, name: &str) -> Result<(), Errno> {
        match self.find(name) {
            Err(Errno::ENOENT) => {}
            Ok(_) => return Err(Errno::EEXIST),
            Err(error) => return Err(error),
        }
        let child = Self::new(self.cgroup.new_child(name).map_err(no_cgroup)?)?;
        let mut inside = self.inside.lock();
        if inside.is_removed {
            return Err(Errno::ENOENT);
        }
        if inside.groups.iter().any(|other| other.cgroup.name() == name) {
            return Err(Errno::EEXIST);
        }
        Ok(inside.groups.try_push(child)?)
    }

    fn remove(&self, name: &str) -> Result<(), Errno> {
        let child = self.child(name).ok_or(Errno::ENOENT)?;
        {
            let mut inside = child.inside.lock();
            if inside.is_removed || !inside.groups.is_empty() {
                return Err(Errno::EBUSY);
            }
            inside.is_removed = true;
        }
        if has_processes(&child.cgroup) {
            child.inside.lock().is_removed = false;
            return Err(Errno::EBUSY);
        }
        // Its pages go to the parent when the last reference goes: not under the lock.
        self.inside.lock().groups.retain(|other| !Arc::ptr_eq(other, &child));
        Ok(())
    }
}

/// As on Linux when a new memory cgroup finds no free number.
fn no_cgroup(error: NoCgroup) -> Errno {
    match error {
        NoCgroup::TooMany => Errno::ENOSPC,
        NoCgroup::NoMemory => Errno::ENOMEM,
    }
}

fn files(cgroup: &Arc<Cgroup>, inside: &Arc<Mutex<Inside>>) -> Result<Entries, Errno> {
    let controllers = || read_only(|out| line(out, "memory"));
    let listed = Arc::clone(cgroup);
    let (joined, inside) = (Arc::clone(cgroup), Arc::clone(inside));
    let mut entries = list([
        ("cgroup.controllers".into(), controllers()?),
        (
            "cgroup.procs".into(),
            read_write(move |out| members(&listed, out), move |value| join(&joined, &inside, value))?,
        ),
        ("cgroup.subtree_control".into(), read_write(|out| line(out, "memory"), control)?),
    ])?;
    if cgroup.parent().is_none() {
        return Ok(entries);
    }
    let shown = |show: fn(&Cgroup, &mut String) -> Result<(), Errno>| {
        let cgroup = Arc::clone(cgroup);
        read_only(move |out| show(&cgroup, out))
    };
    let limit = |get: fn(&Cgroup) -> Option<u64>, set: fn(&Cgroup, Option<u64>)| {
        let (shown, changed) = (Arc::clone(cgroup), Arc::clone(cgroup));
        let show = move |out: &mut String| match get(&shown) {
            Some(bytes) => line(out, bytes),
            None => line(out, "max"),
        };
        let change = move |value: &str| {
            set(&changed, bytes_or_max(value)?);
            Ok(())
        };
        read_write(show, change)
    };
    entries.try_extend([
        (
            "cgroup.events".into(),
            shown(|cgroup, out| print(out, format_args!("populated {}\nfrozen 0\n", u8::from(has_processes(cgroup)))))?,
        ),
        ("memory.current".into(), shown(|cgroup, out| line(out, cgroup.current()))?),
        ("memory.events".into(), shown(events)?),
        ("memory.max".into(), limit(Cgroup::max, Cgroup::set_max)?),
        ("memory.peak".into(), shown(|cgroup, out| line(out, cgroup.peak()))?),
        ("memory.stat".into(), shown(statistics)?),
        ("memory.swap.current".into(), shown(|cgroup, out| line(out, cgroup.swap_current()))?),
        (
            "memory.swap.events".into(),
            shown(|cgroup, out| {
                let events = [CgroupEvent::SwapHigh, CgroupEvent::SwapMax, CgroupEvent::SwapFail];
                let [high, max, fail] = events.map(|event| cgroup.events(event));
                print(out, format_args!("high {high}\nmax {max}\nfail {fail}\n"))
            })?,
        ),
        ("memory.swap.high".into(), limit(Cgroup::swap_high, Cgroup::set_swap_high)?),
        ("memory.swap.max".into(), limit(Cgroup::swap_max, Cgroup::set_swap_max)?),
        ("memory.swap.peak".into(), shown(|cgroup, out| line(out, cgroup.swap_peak()))?),
    ])?;
    Ok(entries)
}

fn events(cgroup: &Cgroup, out: &mut String) -> Result<(), Errno> {
    let [max, oom, kill] =
        [CgroupEvent::Max, CgroupEvent::OutOfMemory, CgroupEvent::Kill].map(|event| cgroup.events(event));
    print(out, format_args!("low 0\nhigh 0\nmax {max}\noom {oom}\noom_kill {kill}\n"))
}

fn statistics(cgroup: &Cgroup, out: &mut String) -> Result<(), Errno> {
    let Uses { anonymous, file, stacks, tables, heap, swap_cached } = cgroup.uses();
    let lines = [
        ("anon", anonymous),
        ("file", file),
        ("kernel", stacks + tables + heap),
        ("kernel_stack", stacks),
        ("pagetables", tables),
        ("swapcached", swap_cached),
        ("slab_reclaimable", 0),
        ("slab_unreclaimable", heap),
        ("slab", heap),
        ("pswpin", cgroup.events(CgroupEvent::PageIn)),
        ("pswpout", cgroup.events(CgroupEvent::PageOut)),
    ];
    lines.into_iter().try_for_each(|(name, value)| print(out, format_args!("{name} {value}\n")))
}

fn bytes_or_max(value: &str) -> Result<Option<u64>, Errno> {
    match value.trim_ascii() {
        "max" => Ok(None),
        value => quire_compressed::size(value).map(Some).ok_or(Errno::EINVAL),
    }
}

/// The processes in a cgroup.
fn members(cgroup: &Cgroup, out: &mut String) -> Result<(), Errno> {
    let mut members = table::all().filter(|process| process.memory_cgroup() == cgroup.number());
    members.try_for_each(|process| line(out, process.pid()))
}

/// Moves a process, by number, or the writer with 0, to a cgroup, which may be there no more: `ENODEV`.
fn join(cgroup: &Cgroup, inside: &Mutex<Inside>, value: &str) -> Result<(), Errno> {
    let process = match number(value)? {
        0 => current(),
        pid => table::find(pid),
    };
    let process = process.ok_or(Errno::ESRCH)?;
    let inside = inside.lock();
    if inside.is_removed {
        return Err(Errno::ENODEV);
    }
    process.set_memory_cgroup(cgroup);
    Ok(())
}

/// Controllers to turn on or off: memory is on, and stays.
fn control(value: &str) -> Result<(), Errno> {
    let is_known = |word: &str| matches!(word, "+memory" | "-memory");
    if value.split_ascii_whitespace().all(is_known) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Whether a process is in the cgroup.
fn has_processes(cgroup: &Cgroup) -> bool {
    table::exists(|process| process.memory_cgroup() == cgroup.number())
}
