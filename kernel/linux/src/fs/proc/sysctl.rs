//! `/proc/sys`: what can be set while the kernel runs.

use alloc::string::String;
use core::sync::atomic::{AtomicUsize, Ordering};

use quire_machine::fallible::Lossy;
use quire_machine::log::Setting;
use quire_machine::physical;
use quire_machine::random;
use quire_memory::address_space::LOWEST;
use quire_memory::lru::turns;
use quire_memory::overcommit::{self, Overcommit, Reserve, reserve};
use quire_memory::swap;
use quire_memory::{reclaim, vmas};

use super::super::synthetic::{Item, directory, line, list, number, print, read_only, read_write};
use crate::errno::Errno;
use crate::fs::kmsg::FromPrograms;
use crate::fs::open::{self, FILES_MAX};
use crate::fs::pipe_room;
use crate::process::table;
use crate::system_name::{RELEASE, SYSTEM, VERSION, host_name, set_host_name};

/// The most processes: numbers below this (Linux: `PID_MAX_DEFAULT`).
const PID_MAX: u32 = 32768;

pub(super) fn root() -> Result<Item, Errno> {
    directory(|| {
        list([
            ("fs".into(), directory(files)?),
            ("kernel".into(), directory(kernel)?),
            ("vm".into(), directory(memory)?),
        ])
    })
}

fn files() -> Result<super::Entries, Errno> {
    list([
        (
            "file-max".into(),
            read_write(
                |out| line(out, open::totals().1),
                |value| {
                    open::set_most(number(value)?);
                    Ok(())
                },
            )?,
        ),
        (
            "file-nr".into(),
            read_only(|out| {
                let (open, most) = open::totals();
                print(out, format_args!("{open}\t0\t{most}\n"))
            })?,
        ),
        ("nr_open".into(), read_only(|out| line(out, FILES_MAX))?),
        (
            "pipe-max-size".into(),
            read_write(|out| line(out, pipe_room::max_bytes()), |value| pipe_room::set_max_bytes(number(value)?))?,
        ),
        ("pipe-user-pages-hard".into(), stored(&pipe_room::HARD)?),
        ("pipe-user-pages-soft".into(), stored(&pipe_room::SOFT)?),
    ])
}

/// A number that can be read and set, whichever it is.
fn stored(place: &'static AtomicUsize) -> Result<Item, Errno> {
    read_write(
        |out| line(out, place.load(Ordering::Relaxed)),
        |value| {
            place.store(number(value)?, Ordering::Relaxed);
            Ok(())
        },
    )
}

fn kernel() -> Result<super::Entries, Errno> {
    list([
        (
            "hostname".into(),
            read_write(
                |out| line(out, Lossy(host_name().as_bytes())),
                |name| set_host_name(name.trim_ascii_end().as_bytes()),
            )?,
        ),
        ("osrelease".into(), read_only(|out| line(out, RELEASE))?),
        ("ostype".into(), read_only(|out| line(out, SYSTEM))?),
        ("pid_max".into(), read_only(|out| line(out, PID_MAX))?),
        (
            "printk".into(),
            read_write(
                |out| {
                    let [console, message, minimum, default] = Setting::ALL.map(Setting::get);
                    line(out, format_args!("{console}\t{message}\t{minimum}\t{default}"))
                },
                set_log_levels,
            )?,
        ),
        (
            "printk_devkmsg".into(),
            read_write(|out| line(out, FromPrograms::now().name()), |name| FromPrograms::set(name.trim_ascii_end()))?,
        ),
        ("random".into(), directory(|| list([("uuid".into(), read_only(uuid)?)]))?),
        ("threads-max".into(), read_write(|out| line(out, table::most()), set_most_processes)?),
        ("version".into(), read_only(|out| line(out, VERSION))?),
    ])
}

/// The first numbers, as many as are given; those before a wrong one count (Linux: `do_proc_dointvec`).
fn set_log_levels(values: &str) -> Result<(), Errno> {
    if values.trim_ascii().is_empty() {
        return Err(Errno::EINVAL);
    }
    for (setting, value) in Setting::ALL.into_iter().zip(values.split_ascii_whitespace()) {
        setting.set(number(value)?);
    }
    Ok(())
}

/// A random UUID, another one each time (RFC 9562, version 4).
fn uuid(out: &mut String) -> Result<(), Errno> {
    let mut bytes = [0; 16];
    random::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let number = u128::from_be_bytes(bytes);
    let (low, middle, high) = (number >> 96, number >> 80 & 0xffff, number >> 64 & 0xffff);
    let (sequence, node) = (number >> 48 & 0xffff, number & 0xffff_ffff_ffff);
    line(out, format_args!("{low:08x}-{middle:04x}-{high:04x}-{sequence:04x}-{node:012x}"))
}

/// A number that can be read and set.
fn setting(get: fn() -> u64, set: fn(u64)) -> Result<Item, Errno> {
    read_write(
        move |out| line(out, get()),
        move |value| {
            set(number(value)?);
            Ok(())
        },
    )
}

/// At least 20, and not more than would take up all memory with their stacks and tables (Linux: `sysctl_max_threads`).
fn set_most_processes(value: &str) -> Result<(), Errno> {
    let value = number(value)?;
    if !(20..=0x3fff_ffff).contains(&value) {
        return Err(Errno::EINVAL);
    }
    table::set_most(value);
    Ok(())
}

fn memory() -> Result<super::Entries, Errno> {
    list([
        (
            "admin_reserve_kbytes".into(),
            setting(
                || reserve(Reserve::Superuser),
                |kibibytes| overcommit::set_reserve(Reserve::Superuser, kibibytes),
            )?,
        ),
        (
            "max_map_count".into(),
            read_write(
                |out| line(out, vmas::most()),
                |value| {
                    vmas::set_most(number::<u32>(value)? as usize);
                    Ok(())
                },
            )?,
        ),
        (
            "min_free_kbytes".into(),
            read_write(
                |out| line(out, physical::watermark_settings().0),
                |value| {
                    physical::set_watermarks(number(value)?, physical::watermark_settings().1);
                    Ok(())
                },
            )?,
        ),
        ("mmap_min_addr".into(), read_only(|out| line(out, LOWEST))?),
        ("overcommit_kbytes".into(), setting(|| overcommit::ratio_and_kibibytes().1, overcommit::set_kibibytes)?),
        ("overcommit_memory".into(), read_write(|out| line(out, overcommit::mode() as u8), set_overcommit)?),
        ("overcommit_ratio".into(), setting(|| overcommit::ratio_and_kibibytes().0, overcommit::set_ratio)?),
        (
            "page-cluster".into(),
            read_write(|out| line(out, swap::core().readahead_policy().page_cluster()), set_page_cluster)?,
        ),
        ("swappiness".into(), read_write(|out| line(out, reclaim::swappiness()), set_swappiness)?),
        (
            "user_reserve_kbytes".into(),
            setting(|| reserve(Reserve::Others), |kibibytes| overcommit::set_reserve(Reserve::Others, kibibytes))?,
        ),
        (
            "watermark_scale_factor".into(),
            read_write(|out| line(out, physical::watermark_settings().1), set_watermark_scale_factor)?,
        ),
    ])
}

fn set_swappiness(value: &str) -> Result<(), Errno> {
    let value: u32 = number(value)?;
    if value > turns::SWAPPINESS_MAX {
        return Err(Errno::EINVAL);
    }
    reclaim::set_swappiness(value);
    Ok(())
}

/// In ten-thousandths of memory (Linux: 1 to 3,000).
fn set_watermark_scale_factor(value: &str) -> Result<(), Errno> {
    let value: usize = number(value)?;
    if !(1..=3000).contains(&value) {
        return Err(Errno::EINVAL);
    }
    physical::set_watermarks(physical::watermark_settings().0, value);
    Ok(())
}

fn set_overcommit(value: &str) -> Result<(), Errno> {
    let modes = [Overcommit::Guess, Overcommit::Always, Overcommit::Never];
    let index: usize = number(value)?;
    overcommit::set_mode(*modes.get(index).ok_or(Errno::EINVAL)?);
    Ok(())
}

fn set_page_cluster(value: &str) -> Result<(), Errno> {
    let value: u8 = number(value)?;
    if value > quire_swap::PAGE_CLUSTER_MAX {
        return Err(Errno::EINVAL);
    }
    swap::core().readahead_policy().set_page_cluster(value);
    Ok(())
}
