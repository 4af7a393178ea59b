//! `/sys`: devices and modules by attributes, one value a file (`sysfs(5)`).
//!
//! The tables that zram and zswap have are served as they are.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;

use linux_raw_sys::general as linux;
use quire_drivers::block::SECTOR_BYTES;
use quire_drivers::virtio_blk::Counters;
use quire_swap::header::PAGE_SIZE;
use quire_swap::zram::{ATTRIBUTES, Zram, ZramError};
use quire_swap::{Access, zswap};

use super::node::Device;
use super::synthetic::{Entries, Item, Synthetic, Text, directory, line, number, print, read_only, read_write};
use super::{add_block_devices, block};
use crate::disk::Disk;
use crate::errno::Errno;
use crate::swap::{self, Quire};
use crate::zram;

/// The file system.
pub fn filesystem() -> Arc<Synthetic> {
    Synthetic::new(linux::SYSFS_MAGIC, true, directory(root))
}

fn root() -> Entries {
    alloc::vec![
        ("block".into(), directory(blocks)),
        ("class".into(), directory(classes)),
        ("fs".into(), directory(|| alloc::vec![("cgroup".into(), directory(Entries::new))])),
        ("kernel".into(), directory(kernel)),
        ("module".into(), directory(modules)),
    ]
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
) -> Item {
    Item::Text(Arc::new(Attribute { access, show, store }))
}

/// `/sys/block`
fn blocks() -> Entries {
    let disks =
        block::disks().map(|(name, number, disk)| (name.into(), directory(move || disk_attributes(disk, number))));
    let zrams =
        block::zrams().map(|(name, number, zram)| (name.into(), directory(move || zram_attributes(&zram, number))));
    disks.chain(zrams).collect()
}

fn zram_attributes(zram: &Arc<Zram<Quire>>, number: Device) -> Entries {
    let mut entries = Entries::new();
    for (name, access) in ATTRIBUTES {
        let (shown, stored) = (Arc::clone(zram), Arc::clone(zram));
        let show = move || shown.show(name).map_err(|error| error.errno().into());
        let store = move |value: &str| stored.store(name, value).map_err(|error| error.errno().into());
        entries.push((name.into(), attribute(access, show, store)));
    }
    let sized = Arc::clone(zram);
    let sectors = move || sized.open().map_or(0, |disk| disk.pages() * (PAGE_SIZE as u64 / SECTOR_BYTES));
    entries.extend(block_attributes(number, sectors, false));
    entries
}

fn disk_attributes(disk: &'static Arc<Disk>, number: Device) -> Entries {
    let mut entries = block_attributes(number, || disk.geometry().sectors, disk.geometry().read_only);
    entries.push(("stat".into(), read_only(|out| statistics(disk, out))));
    entries.push(("queue".into(), directory(|| alloc::vec![("rotational".into(), rotational(disk))])));
    entries
}

/// An area heeds it from its `swapon` on.
fn rotational(disk: &'static Disk) -> Item {
    read_write(
        |out| line(out, u8::from(disk.is_rotational())),
        |value| {
            disk.set_rotational(number::<u64>(value)? != 0);
            Ok(())
        },
    )
}

/// Linux's columns of requests. Nobody measures their time or merges them after they were submitted: those are 0.
fn statistics(disk: &Disk, out: &mut String) -> Result<(), Errno> {
    let Counters { reads, writes, flushes, discards, bytes_read, bytes_written, in_flight, .. } = disk.counters();
    let (sectors_read, sectors_written) = (bytes_read / SECTOR_BYTES, bytes_written / SECTOR_BYTES);
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
    read_only_disk: bool,
) -> Entries {
    alloc::vec![
        ("dev".into(), read_only(move |out| line(out, format_args!("{}:{}", device.major, device.minor)))),
        ("ro".into(), read_only(move |out| line(out, u8::from(read_only_disk)))),
        ("size".into(), read_only(move |out| line(out, sectors()))),
    ]
}

/// `/sys/class`
fn classes() -> Entries {
    alloc::vec![("zram-control".into(), directory(zram_control))]
}

/// zram's control files. Reading `hot_add` adds a device, as on Linux, so only the superuser may.
struct HotAdd;

impl Text for HotAdd {
    fn permissions(&self) -> u32 {
        0o400
    }

    fn read(&self, out: &mut String) -> Result<(), Errno> {
        let number = zram::control().ok_or(Errno::ENODEV)?.hot_add().map_err(ZramError::errno)?;
        add_block_devices();
        line(out, number)
    }
}

fn zram_control() -> Entries {
    let remove = |value: &str| {
        zram::control().ok_or(Errno::ENODEV)?.hot_remove(value).map_err(ZramError::errno)?;
        add_block_devices();
        Ok(())
    };
    alloc::vec![
        ("hot_add".into(), Item::Text(Arc::new(HotAdd))),
        ("hot_remove".into(), super::synthetic::write_only(remove)),
    ]
}

/// `/sys/module`
fn modules() -> Entries {
    let parameters = || zswap_attributes(zswap::Directory::Parameters);
    alloc::vec![("zswap".into(), directory(move || alloc::vec![("parameters".into(), directory(parameters))]))]
}

/// `/sys/kernel`: zswap's counters, which Linux has in its debugging file system, and how pages are read ahead.
fn kernel() -> Entries {
    let counters = || zswap_attributes(zswap::Directory::Debug);
    let readahead = || alloc::vec![("vma_ra_enabled".into(), readahead_by_address())];
    alloc::vec![
        ("debug".into(), directory(move || alloc::vec![("zswap".into(), directory(counters))])),
        ("mm".into(), directory(move || alloc::vec![("swap".into(), directory(readahead))])),
    ]
}

fn readahead_by_address() -> Item {
    read_write(
        |out| line(out, swap::core().readahead_policy().by_address()),
        |value| {
            let by_address = quire_swap::boolean(value).ok_or(Errno::EINVAL)?;
            swap::core().readahead_policy().set_by_address(by_address);
            Ok(())
        },
    )
}

fn zswap_attributes(where_shown: zswap::Directory) -> Entries {
    let Some(zswap) = crate::zswap::get() else { return Entries::new() };
    let shown_there = zswap::ATTRIBUTES.iter().filter(|(_, directory, _)| *directory == where_shown);
    let entry = |(name, _, access): &(&'static str, zswap::Directory, Access)| {
        let (name, access) = (*name, *access);
        let show = move || zswap.show(name).map_err(|error| error.errno().into());
        let store = move |value: &str| zswap.set(name, value).map_err(|error| error.errno().into());
        (Cow::Borrowed(name), attribute(access, show, store))
    };
    shown_there.map(entry).collect()
}
