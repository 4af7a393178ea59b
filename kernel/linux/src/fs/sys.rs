//! `/sys`: devices and modules by attributes, one value a file (`sysfs(5)`).
//!
//! The tables that zram and zswap have are served as they are.

use alloc::string::String;
use alloc::sync::Arc;

use linux_raw_sys::general as linux;
use quire_compressed::zram::{ATTRIBUTES, Zram};
use quire_compressed::{Access, zswap};
use quire_machine::fallible::{self, TryVec};
use quire_memory::large_folio::{self, Setting, Switch};
use quire_memory::swap::{self, Quire};
use quire_memory::{lru, policy};
use quire_swap::header::PAGE_SIZE;

use super::block;
use super::devices::{self, BlockDevice, DiskCounters};
use super::devtmpfs::add_block_devices;
use super::node::Device;
use super::synthetic::{
    Entries, Item, Synthetic, Text, directory, line, list, listed, number, print, read_only, read_write, text,
};
use crate::errno::Errno;

/// The file system.
///
/// # Errors
/// `ENOMEM`.
pub fn filesystem() -> Result<Arc<Synthetic>, Errno> {
    Synthetic::new(linux::SYSFS_MAGIC, true, Some("/"), listed(root)?)
}

fn root() -> Result<Entries, Errno> {
    list([
        ("block".into(), directory(blocks)?),
        ("class".into(), directory(classes)?),
        ("fs".into(), directory(|| list([("cgroup".into(), directory(|| Ok(Entries::new()))?)]))?),
        ("kernel".into(), directory(kernel)?),
        ("module".into(), directory(modules)?),
    ])
}

/// A file of a table: a name in it, and what can be done with it.
struct Attribute<S, T> {
    access: Access,
    show: S,
    store: T,
}

impl<S, T> Text for Attribute<S, T>
where
    S: Fn() -> Result<String, Errno> + Send + Sync,
    T: Fn(&str) -> Result<(), Errno> + Send + Sync,
{
    fn permissions(&self) -> u32 {
        match self.access {
            Access::Read => 0o444,
            Access::Write => 0o200,
            Access::Both => 0o644,
        }
    }

    fn read(&self, out: &mut String) -> Result<(), Errno> {
        print(out, format_args!("{}", (self.show)()?))
    }

    fn write(&self, value: &str) -> Result<(), Errno> {
        (self.store)(value)
    }
}

fn attribute(
    access: Access,
    show: impl Fn() -> Result<String, Errno> + Send + Sync + 'static,
    store: impl Fn(&str) -> Result<(), Errno> + Send + Sync + 'static,
) -> Result<Item, Errno> {
    text(Attribute { access, show, store })
}

/// `/sys/block`
fn blocks() -> Result<Entries, Errno> {
    let mut entries = Entries::new();
    for (number, disk) in block::disks() {
        let name = fallible::text(format_args!("{}", block::name(disk.name())))?;
        entries.try_push((name.into(), directory(move || disk_attributes(disk, number))?))?;
    }
    for (number, zram) in block::zrams()? {
        let name = fallible::text(format_args!("zram{}", zram.number()))?;
        entries.try_push((name.into(), directory(move || zram_attributes(&zram, number))?))?;
    }
    Ok(entries)
}

fn zram_attributes(zram: &Arc<Zram<Quire>>, number: Device) -> Result<Entries, Errno> {
    let mut entries = Entries::new();
    for (name, access) in ATTRIBUTES {
        let (shown, stored) = (Arc::clone(zram), Arc::clone(zram));
        let show = move || Ok(shown.show(name)?);
        let store = move |value: &str| match name {
            "backing_dev" => set_backing(&stored, value),
            _ => Ok(stored.store(name, value)?),
        };
        entries.try_push((name.into(), attribute(access, show, store)?))?;
    }
    let (sized, opened) = (Arc::clone(zram), Arc::clone(zram));
    let sectors = move || sized.open().map_or(0, |disk| disk.pages() * (PAGE_SIZE as u64 / u64::from(block::SECTOR)));
    let is_read_only = move || opened.open_file().properties().read_only;
    entries.try_extend(block_attributes(number, sectors, is_read_only)?)?;
    Ok(entries)
}

/// A path of the caller's becomes the device's own.
fn set_backing(zram: &Zram<Quire>, path: &str) -> Result<(), Errno> {
    if zram.open().is_some() {
        return Err(Errno::EBUSY);
    }
    let device = block::resolve(path.strip_suffix('\n').unwrap_or(path))?;
    Ok(zram.store("backing_dev", &device)?)
}

fn disk_attributes(disk: &'static Arc<dyn BlockDevice>, number: Device) -> Result<Entries, Errno> {
    let mut entries = block_attributes(number, || disk.sectors(), || disk.properties().read_only)?;
    entries.try_push(("stat".into(), read_only(|out| statistics(disk, out))?))?;
    entries.try_push(("queue".into(), directory(move || list([("rotational".into(), rotational(disk)?)]))?))?;
    Ok(entries)
}

/// An area heeds it from its `swapon` on.
fn rotational(disk: &'static Arc<dyn BlockDevice>) -> Result<Item, Errno> {
    read_write(
        |out| line(out, u8::from(disk.properties().rotational)),
        |value| {
            disk.set_rotational(number::<u64>(value)? != 0);
            Ok(())
        },
    )
}

/// Linux's columns of requests. Their time is not measured, and they are not merged after they were submitted: those are 0.
fn statistics(disk: &Arc<dyn BlockDevice>, out: &mut String) -> Result<(), Errno> {
    let DiskCounters { reads, writes, flushes, discards, sectors_read, sectors_written, in_flight } = disk.counters();
    let reading = format_args!("{reads:8} {0:8} {sectors_read:8} {0:8}", 0);
    let writing = format_args!("{writes:8} {0:8} {sectors_written:8} {0:8}", 0);
    line(
        out,
        format_args!(
            "{reading} {writing} {in_flight:8} {0:8} {0:8} {discards:8} {0:8} {0:8} {0:8} {flushes:8} {0:8}",
            0
        ),
    )
}

/// What every block device has: number, length in sectors, whether it can only be read.
fn block_attributes(
    device: Device,
    sectors: impl Fn() -> u64 + Send + Sync + 'static,
    is_read_only: impl Fn() -> bool + Send + Sync + 'static,
) -> Result<Entries, Errno> {
    list([
        ("dev".into(), read_only(move |out| line(out, format_args!("{}:{}", device.major, device.minor)))?),
        ("ro".into(), read_only(move |out| line(out, u8::from(is_read_only())))?),
        ("size".into(), read_only(move |out| line(out, sectors()))?),
    ])
}

/// `/sys/class`
fn classes() -> Result<Entries, Errno> {
    list([("zram-control".into(), directory(zram_control)?)])
}

/// zram's control files. Reading `hot_add` adds a device, as on Linux, so only the superuser may.
struct HotAdd;

impl Text for HotAdd {
    fn permissions(&self) -> u32 {
        0o400
    }

    fn read(&self, out: &mut String) -> Result<(), Errno> {
        let number = devices::zram_control().ok_or(Errno::ENODEV)?.hot_add()?;
        // A name that there was no memory for comes the next time.
        let _ = add_block_devices();
        line(out, number)
    }
}

fn zram_control() -> Result<Entries, Errno> {
    let remove = |value: &str| {
        devices::zram_control().ok_or(Errno::ENODEV)?.hot_remove(value)?;
        // A name that there was no memory for comes the next time.
        let _ = add_block_devices();
        Ok(())
    };
    list([("hot_add".into(), text(HotAdd)?), ("hot_remove".into(), super::synthetic::write_only(remove)?)])
}

/// `/sys/module`
fn modules() -> Result<Entries, Errno> {
    let parameters = || zswap_attributes(zswap::Directory::Parameters);
    list([("zswap".into(), directory(move || list([("parameters".into(), directory(parameters)?)]))?)])
}

/// `/sys/kernel`: zswap's counters, which Linux has in its debugging file system, how pages are read ahead, what the areas' backends
/// count, and which policy decides what goes.
fn kernel() -> Result<Entries, Errno> {
    let counters = || zswap_attributes(zswap::Directory::Debug);
    let readahead =
        || list([("vma_ra_enabled".into(), readahead_by_address()?), ("backends".into(), read_only(backends)?)]);
    list([
        ("debug".into(), directory(move || list([("zswap".into(), directory(counters)?)]))?),
        (
            "mm".into(),
            directory(move || {
                list([
                    ("swap".into(), directory(readahead)?),
                    ("reclaim".into(), reclaim()?),
                    ("transparent_hugepage".into(), directory(large_folios)?),
                ])
            })?,
        ),
    ])
}

/// The policies of reclaim, the one in brackets that decides in memory cgroups that are made from now on, as Linux shows what can be
/// chosen. Writing a name chooses; what there is keeps its policy.
fn reclaim() -> Result<Item, Errno> {
    let policies = |out: &mut String| choices(out, policy::NAMES.iter().copied(), lru::policy());
    let choose = |name: &str| lru::choose_policy(name.trim_ascii_end()).ok_or(Errno::EINVAL);
    directory(move || list([("policy".into(), read_write(policies, choose)?)]))
}

/// What can be chosen as a line, the chosen one in brackets.
fn choices(out: &mut String, names: impl Iterator<Item = &'static str>, chosen: &str) -> Result<(), Errno> {
    for (index, name) in names.enumerate() {
        let (before, after) = if name == chosen { ("[", "]") } else { ("", "") };
        print(out, format_args!("{}{before}{name}{after}", if index == 0 { "" } else { " " }))?;
    }
    print(out, format_args!("\n"))
}

/// `/sys/kernel/mm/transparent_hugepage`, with the one size that there is.
fn large_folios() -> Result<Entries, Errno> {
    let stats = || {
        let mut entries = Entries::new();
        for &(what, name) in large_folio::Count::ALL {
            entries.try_push((name.into(), read_only(move |out| line(out, large_folio::count(what)))?))?;
        }
        Ok(entries)
    };
    let size =
        move || list([("enabled".into(), switch(&large_folio::FOR_SIZE, true)?), ("stats".into(), directory(stats)?)]);
    list([("enabled".into(), switch(&large_folio::FOR_ALL_SIZES, false)?), ("hugepages-64kB".into(), directory(size)?)])
}

/// A setting of large folios, for one size or for all, from which nothing is inherited.
fn switch(switch: &'static Switch, is_of_size: bool) -> Result<Item, Errno> {
    let settings = move || Setting::ALL.into_iter().filter(move |setting| is_of_size || *setting != Setting::Inherit);
    read_write(
        move |out| choices(out, settings().map(Setting::name), switch.get().name()),
        move |value| {
            let chosen = settings().find(|setting| setting.name() == value.trim_ascii_end());
            switch.set(chosen.ok_or(Errno::EINVAL)?);
            Ok(())
        },
    )
}

/// A line for each counter of an area's backend: the area, the name, the number.
fn backends(out: &mut String) -> Result<(), Errno> {
    for area in swap::core().areas() {
        let mut result = Ok(());
        area.ops().show_counts(&mut |name, count| {
            if result.is_ok() {
                result = line(out, format_args!("{} {name} {count}", area.name()));
            }
        });
        result?;
    }
    Ok(())
}

fn readahead_by_address() -> Result<Item, Errno> {
    read_write(
        |out| line(out, swap::core().readahead_policy().by_address()),
        |value| {
            let by_address = quire_compressed::boolean(value).ok_or(Errno::EINVAL)?;
            swap::core().readahead_policy().set_by_address(by_address);
            Ok(())
        },
    )
}

fn zswap_attributes(where_shown: zswap::Directory) -> Result<Entries, Errno> {
    let Some(zswap) = devices::zswap() else { return Ok(Entries::new()) };
    let shown_there = zswap::ATTRIBUTES.iter().filter(|(_, directory, _)| *directory == where_shown);
    let mut entries = Entries::new();
    for &(name, _, access) in shown_there {
        let show = move || Ok(zswap.show(name)?);
        let store = move |value: &str| Ok(zswap.set(name, value)?);
        entries.try_push((name.into(), attribute(access, show, store)?))?;
    }
    Ok(entries)
}
