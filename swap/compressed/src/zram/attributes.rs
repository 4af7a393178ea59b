//! A device's attributes, as in `/sys/block/zramN`: text in, text out, with the names, formats and errors of Linux
//! (`drivers/block/zram/zram_drv.c`).

use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use quire_swap::header::PAGE_SIZE;
use quire_swap::heap::{self, NoMemory};
use quire_swap::sync::Lock;
use quire_swap::{Claim, DeviceState, DiskProperties};

use super::algorithms::Algorithms;
use super::disk::ZramDisk;
use super::error::ZramError;
use super::ops::properties;
use super::recompress::Recompression;
use super::writeback::{Manner, Selection};
use crate::attribute::{Access, boolean, memory_size};
use crate::level::Level;
use crate::machine::PoolMachine;
use crate::ranks;

/// A zram device, with a size or still without.
pub struct Zram<M: PoolMachine> {
    number: u32,
    path: String,
    device_state: Arc<DeviceState>,
    state: Lock<State<M>, M, { ranks::ZRAM as u8 }>,
}

/// What is set, and what became of it.
struct State<M: PoolMachine> {
    /// There once a size was set, until the device is reset.
    disk: Option<Arc<ZramDisk<M>>>,
    /// How many [`OpenZram`] there are.
    openings: usize,
    /// The most frames; 0 for no limit.
    limit: u64,
    algorithms: Algorithms,
    backing: Option<Arc<Claim<M>>>,
    compressed_writeback: bool,
    /// Blocks that are written back together.
    writeback_batch: usize,
    /// What of the budget for writeback was set before the size was.
    budget: u64,
    budget_enabled: bool,
}

/// A device that a program has open, with a size or without: it is neither reset nor removed meanwhile.
pub struct OpenZram<M: PoolMachine>(Arc<Zram<M>>);

impl<M: PoolMachine> OpenZram<M> {
    /// What the device is like.
    pub fn properties(&self) -> DiskProperties {
        properties(&self.0.device_state)
    }

    /// The device for use, if it has a size now.
    pub fn disk(&self) -> Option<Arc<ZramDisk<M>>> {
        self.0.open()
    }

    /// What all who use the device share.
    pub fn device_state(&self) -> &Arc<DeviceState> {
        &self.0.device_state
    }
}

impl<M: PoolMachine> Drop for OpenZram<M> {
    fn drop(&mut self) {
        self.0.state.lock().openings -= 1;
    }
}

impl<M: PoolMachine> State<M> {
    const fn new() -> Self {
        Self {
            disk: None,
            openings: 0,
            limit: 0,
            algorithms: Algorithms::NONE,
            backing: None,
            compressed_writeback: false,
            writeback_batch: WRITEBACK_BATCH,
            budget: 0,
            budget_enabled: false,
        }
    }
}

/// The attributes by name, and what can be done with each.
pub const ATTRIBUTES: [(&str, Access); 22] = [
    ("disksize", Access::Both),
    ("initstate", Access::Read),
    ("reset", Access::Write),
    ("compact", Access::Write),
    ("mem_limit", Access::Write),
    ("mem_used_max", Access::Write),
    ("idle", Access::Write),
    ("comp_algorithm", Access::Both),
    ("recomp_algorithm", Access::Both),
    ("algorithm_params", Access::Write),
    ("recompress", Access::Write),
    ("backing_dev", Access::Both),
    ("writeback", Access::Write),
    ("writeback_limit", Access::Both),
    ("writeback_limit_enable", Access::Both),
    ("writeback_batch_size", Access::Both),
    ("compressed_writeback", Access::Both),
    ("bd_stat", Access::Read),
    ("io_stat", Access::Read),
    ("mm_stat", Access::Read),
    ("debug_stat", Access::Read),
    // In debugfs on Linux.
    ("block_state", Access::Read),
];

const WRITEBACK_BATCH: usize = 32;

impl<M: PoolMachine> Zram<M> {
    pub(super) fn new(number: u32, path: String) -> Result<Self, NoMemory> {
        Ok(Self {
            number,
            path,
            device_state: heap::arc::<M, _>(DeviceState::default())?,
            state: Lock::new(State::new()),
        })
    }

    /// Its number: `zramN`.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The device for use, if it has a size. As long as it is in use, it cannot be reset.
    pub fn open(&self) -> Option<Arc<ZramDisk<M>>> {
        self.state.lock().disk.clone()
    }

    /// The device for a program, which may give it its size only then.
    pub fn open_file(self: &Arc<Self>) -> OpenZram<M> {
        self.state.lock().openings += 1;
        OpenZram(Arc::clone(self))
    }

    /// Reads an attribute.
    ///
    /// # Errors
    /// See [`ZramError`].
    pub fn show(&self, name: &str) -> Result<String, ZramError> {
        if access(name)? == Access::Write {
            return Err(ZramError::WriteOnly);
        }
        let disk = self.open();
        let mut text = heap::Text::<M>::default();
        let written = match name {
            "disksize" => text.print(format_args!("{}\n", disk.map_or(0, |disk| disk.pages() * PAGE_SIZE as u64))),
            "initstate" => text.print(format_args!("{}\n", u8::from(disk.is_some()))),
            "comp_algorithm" => Algorithms::show_first(&mut text),
            "recomp_algorithm" => self.state.lock().algorithms.show_stronger(&mut text),
            "backing_dev" => {
                let state = self.state.lock();
                text.print(format_args!("{}\n", state.backing.as_ref().map_or("none", |backing| backing.name())))
            }
            "writeback_limit" => {
                let before = self.state.lock().budget;
                text.print(format_args!("{}\n", disk.map_or(before, |disk| disk.budget.load(Ordering::Relaxed))))
            }
            "writeback_limit_enable" => {
                let before = self.state.lock().budget_enabled;
                let enabled = disk.map_or(before, |disk| disk.budget_enabled.load(Ordering::Relaxed));
                text.print(format_args!("{}\n", u8::from(enabled)))
            }
            "writeback_batch_size" => text.print(format_args!("{}\n", self.state.lock().writeback_batch)),
            "compressed_writeback" => {
                text.print(format_args!("{}\n", u8::from(self.state.lock().compressed_writeback)))
            }
            "bd_stat" => {
                let backing = disk.as_ref().and_then(|disk| disk.backing.as_ref());
                let counts =
                    backing.map_or([0; 3], |backing| [&backing.used, &backing.reads, &backing.writes].map(Level::get));
                text.print(format_args!("{:8} {:8} {:8}\n", counts[0], counts[1], counts[2]))
            }
            "mm_stat" => self.show_memory(&mut text),
            "io_stat" => {
                let counts = disk.map_or([0; 3], |disk| {
                    let statistics = &disk.statistics;
                    [statistics.failed_reads.get(), statistics.failed_writes.get(), statistics.notify_free.get()]
                });
                text.print(format_args!("{:8} {:8} {:8} {:8}\n", counts[0], counts[1], 0, counts[2]))
            }
            "debug_stat" => text.print(format_args!(
                "version: 1\n{:8} {:8}\n",
                0,
                disk.map_or(0, |disk| disk.statistics.miss_free.get())
            )),
            "block_state" => return show_slots(&*disk.ok_or(ZramError::Invalid)?),
            _ => return Err(ZramError::NoAttribute),
        };
        written?;
        Ok(text.into_string())
    }

    /// Writes an attribute.
    ///
    /// # Errors
    /// See [`ZramError`]; nothing has changed then.
    pub fn store(&self, name: &str, text: &str) -> Result<(), ZramError> {
        if access(name)? == Access::Read {
            return Err(ZramError::ReadOnly);
        }
        let value = text.strip_suffix('\n').unwrap_or(text);
        match name {
            "disksize" => self.set_size(value),
            "reset" => match value.parse::<u16>() {
                Ok(0) | Err(_) => Err(ZramError::Invalid),
                Ok(_) => self.reset(),
            },
            "compact" => self.initialised().map(|disk| _ = disk.store.compact()),
            "mem_limit" => self.set_limit(value),
            "mem_used_max" if value.parse() == Ok(0_u64) => {
                self.open().inspect(|disk| disk.store.forget_most_frames());
                Ok(())
            }
            "idle" => {
                let disk = self.initialised()?;
                let age = if value == "all" { 0 } else { value.parse().map_err(|_| ZramError::Invalid)? };
                Ok(disk.mark_idle(age)?)
            }
            "comp_algorithm" => {
                Algorithms::check_first(value)?;
                self.set_algorithms(Ok)
            }
            "recomp_algorithm" => self.set_algorithms(|algorithms| algorithms.with_stronger(value)),
            "algorithm_params" => self.set_algorithms(|algorithms| algorithms.with_parameters(value)),
            "recompress" => {
                let disk = self.initialised()?;
                disk.recompress(&Recompression::parse(value, disk.algorithms)?)
            }
            "backing_dev" => self.set_backing(value),
            "writeback" => self.write_back(value),
            "writeback_limit" => {
                let budget = value.parse().map_err(|_| ZramError::Invalid)?;
                let mut state = self.state.lock();
                state.budget = budget;
                state.disk.iter().for_each(|disk| disk.budget.store(budget, Ordering::Relaxed));
                Ok(())
            }
            "writeback_limit_enable" => {
                let enabled = value.parse::<u64>().map_err(|_| ZramError::Invalid)? != 0;
                let mut state = self.state.lock();
                state.budget_enabled = enabled;
                state.disk.iter().for_each(|disk| disk.budget_enabled.store(enabled, Ordering::Relaxed));
                Ok(())
            }
            "writeback_batch_size" => {
                let batch = value.parse::<u32>().ok().filter(|batch| *batch > 0).ok_or(ZramError::Invalid)?;
                self.state.lock().writeback_batch = batch as usize;
                Ok(())
            }
            "compressed_writeback" => {
                let compressed = boolean(value).ok_or(ZramError::Invalid)?;
                let mut state = self.state.lock();
                if state.disk.is_some() {
                    return Err(ZramError::Busy);
                }
                state.compressed_writeback = compressed;
                Ok(())
            }
            _ => Err(ZramError::Invalid),
        }
    }

    /// Forgets the size, the limit and every page.
    ///
    /// # Errors
    /// [`ZramError::Busy`] while the device is in use.
    pub(super) fn reset(&self) -> Result<(), ZramError> {
        let mut state = self.state.lock();
        if state.openings > 0 || state.disk.as_ref().is_some_and(|disk| Arc::strong_count(disk) > 1) {
            return Err(ZramError::Busy);
        }
        let old = core::mem::replace(&mut *state, State::new());
        // The pages and the backing device go without the lock.
        drop(state);
        drop(old);
        Ok(())
    }

    fn initialised(&self) -> Result<Arc<ZramDisk<M>>, ZramError> {
        self.open().ok_or(ZramError::Invalid)
    }

    fn set_size(&self, value: &str) -> Result<(), ZramError> {
        let bytes = memory_size(value).filter(|bytes| *bytes > 0).ok_or(ZramError::Invalid)?;
        let pages = bytes.div_ceil(PAGE_SIZE as u64);
        let mut state = self.state.lock();
        if state.disk.is_some() {
            return Err(ZramError::Busy);
        }
        let (device_state, backing) = (Arc::clone(&self.device_state), state.backing.clone());
        let disk = ZramDisk::new(
            heap::format::<M>(format_args!("{}", self.path))?,
            pages,
            device_state,
            backing,
            state.algorithms,
        )?;
        disk.store.set_limit(state.limit);
        disk.budget.store(state.budget, Ordering::Relaxed);
        disk.budget_enabled.store(state.budget_enabled, Ordering::Relaxed);
        let disk = heap::arc::<M, _>(disk)?;
        disk.show_pool();
        state.disk = Some(disk);
        Ok(())
    }

    fn set_limit(&self, value: &str) -> Result<(), ZramError> {
        let limit = memory_size(value).ok_or(ZramError::Invalid)?.div_ceil(PAGE_SIZE as u64);
        let mut state = self.state.lock();
        state.limit = limit;
        if let Some(disk) = &state.disk {
            disk.store.set_limit(limit);
        }
        Ok(())
    }

    fn set_algorithms(
        &self,
        change: impl FnOnce(Algorithms) -> Result<Algorithms, ZramError>,
    ) -> Result<(), ZramError> {
        let mut state = self.state.lock();
        let changed = change(state.algorithms)?;
        if state.disk.is_some() {
            return Err(ZramError::Busy);
        }
        state.algorithms = changed;
        Ok(())
    }

    fn set_backing(&self, path: &str) -> Result<(), ZramError> {
        if self.open().is_some() {
            return Err(ZramError::Busy);
        }
        // Without the lock: the disk may be another device like this one.
        let disk = M::find_disk(path).ok_or(ZramError::NoFile)?;
        if disk.properties().is_file {
            return Err(ZramError::NotBlock);
        }
        if disk.pages() == 0 {
            return Err(ZramError::Invalid);
        }
        if disk.properties().read_only {
            return Err(ZramError::WriteProtected);
        }
        let mut state = self.state.lock();
        if state.disk.is_some() {
            return Err(ZramError::Busy);
        }
        if state.backing.as_ref().is_some_and(|backing| backing.name() == path) {
            return Ok(());
        }
        let claim = Claim::new(&disk).ok_or(ZramError::Busy)?;
        let old = state.backing.replace(heap::arc::<M, _>(claim)?);
        drop(state);
        drop(old);
        Ok(())
    }

    /// Writes back what each word of `value` selects.
    fn write_back(&self, value: &str) -> Result<(), ZramError> {
        let disk = self.initialised()?;
        if disk.backing.is_none() {
            return Err(ZramError::NoBacking);
        }
        let state = self.state.lock();
        let manner = Manner { compressed: state.compressed_writeback, batch: state.writeback_batch };
        drop(state);
        if value.trim_ascii().is_empty() {
            return Err(ZramError::Invalid);
        }
        let selections = || value.split_ascii_whitespace().map(|word| selection(word, disk.pages()));
        // Nothing is written before all of it makes sense.
        selections().try_for_each(|selection| selection.map(drop))?;
        selections().try_for_each(|selection| disk.write_back(&selection?, manner))
    }

    fn show_memory(&self, text: &mut heap::Text<M>) -> Result<(), NoMemory> {
        let page = PAGE_SIZE as u64;
        let state = self.state.lock();
        let (limit, disk) = (state.limit.saturating_mul(page), state.disk.clone());
        drop(state);
        let Some(disk) = disk else {
            return text.print(format_args!("{0:8} {0:8} {0:8} {1:8} {0:8} {0:8} {0:8} {0:8} {0:8}\n", 0, limit));
        };
        let (statistics, usage) = (&disk.statistics, disk.store.usage());
        text.print(format_args!(
            "{:8} {:8} {:8} {:8} {:8} {:8} {:8} {:8} {:8}\n",
            statistics.stored.get() * page,
            usage.bytes,
            usage.frames * page,
            limit,
            usage.most_frames * page,
            statistics.same.get(),
            usage.compacted,
            statistics.huge.get(),
            statistics.huge_ever.get(),
        ))
    }
}

/// What a word of `writeback` means: the kind of slots, alone as of old or behind `type=`, or a range of slots.
fn selection(word: &str, pages: u64) -> Result<Selection, ZramError> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| ZramError::Invalid);
    let slots = |first: u64, last: u64| {
        if first <= last && last < pages { Ok(Selection::Slots(first..last + 1)) } else { Err(ZramError::Range) }
    };
    match word.split_once('=') {
        None | Some(("type", _)) => match word.strip_prefix("type=").unwrap_or(word) {
            "idle" => Ok(Selection::Idle),
            "huge" => Ok(Selection::Huge),
            "huge_idle" => Ok(Selection::HugeIdle),
            "incompressible" => Ok(Selection::Incompressible),
            _ => Err(ZramError::Invalid),
        },
        Some(("page_index", index)) => number(index).and_then(|index| slots(index, index)),
        Some(("page_indexes", range)) => {
            let (first, last) = range.split_once('-').ok_or(ZramError::Invalid)?;
            slots(number(first)?, number(last)?)
        }
        Some(_) => Err(ZramError::Invalid),
    }
}

fn access(name: &str) -> Result<Access, ZramError> {
    let found = ATTRIBUTES.into_iter().find(|(attribute, _)| *attribute == name);
    found.map(|(_, access)| access).ok_or(ZramError::NoAttribute)
}

/// A line for each slot that has a page.
fn show_slots<M: PoolMachine>(disk: &ZramDisk<M>) -> Result<String, ZramError> {
    let mut text = heap::Text::<M>::default();
    disk.block_state(|slot, accessed, letters| {
        text.print(format_args!("{slot:12} {accessed:12}.{:06} ", 0))?;
        letters.into_iter().chain(['\n']).try_for_each(|letter| text.print(format_args!("{letter}")))?;
        Ok(())
    })?;
    Ok(text.into_string())
}
