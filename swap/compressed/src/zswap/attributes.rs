//! zswap's parameters and counters: one table from name and text to result, with the names, formats and errors of Linux
//! (`mm/zswap.c`, `mm/vmstat.c`).
//!
//! Two parameters have no counterpart there: `max_compressed_percent`, which Linux fixes at 100, and
//! `compressed_writeback`, named after zram's. Percentages above 100 are refused, which Linux accepts and takes for more
//! than all memory.

use alloc::string::String;
use core::fmt;
use core::sync::atomic::Ordering;

use quire_swap::header::PAGE_SIZE;
use quire_swap::heap::{self, NoMemory};

use super::cache::Zswap;
use crate::attribute::{Access, boolean};
use crate::machine::PoolMachine;

/// Where Linux shows a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directory {
    /// `/sys/module/zswap/parameters`
    Parameters,
    /// `/sys/kernel/debug/zswap`
    Debug,
    /// A line of `/proc/vmstat`
    Vmstat,
}

/// Why an attribute was not read or written. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZswapError {
    /// There is no such attribute.
    NoAttribute,
    /// The attribute can only be read.
    ReadOnly,
    /// The value means nothing here.
    Invalid,
    /// There is no memory for the text.
    NoMemory,
}

/// The attributes by name, with where Linux shows them and what can be done with each.
pub const ATTRIBUTES: [(&str, Directory, Access); 26] = [
    ("enabled", Directory::Parameters, Access::Both),
    ("compressor", Directory::Parameters, Access::Both),
    ("max_pool_percent", Directory::Parameters, Access::Both),
    ("accept_threshold_percent", Directory::Parameters, Access::Both),
    ("shrinker_enabled", Directory::Parameters, Access::Both),
    ("max_compressed_percent", Directory::Parameters, Access::Both),
    ("compressed_writeback", Directory::Parameters, Access::Both),
    ("pool_total_size", Directory::Debug, Access::Read),
    ("stored_pages", Directory::Debug, Access::Read),
    ("same_filled_pages", Directory::Debug, Access::Read),
    ("written_back_pages", Directory::Debug, Access::Read),
    ("written_back_compressed", Directory::Debug, Access::Read),
    ("written_back_packed", Directory::Debug, Access::Read),
    ("written_back_packed_blocks", Directory::Debug, Access::Read),
    ("written_back_decompressed", Directory::Debug, Access::Read),
    ("read_back_compressed", Directory::Debug, Access::Read),
    ("read_back_neighbours", Directory::Debug, Access::Read),
    ("dropped_pages", Directory::Debug, Access::Read),
    ("pool_limit_hit", Directory::Debug, Access::Read),
    ("reject_reclaim_fail", Directory::Debug, Access::Read),
    ("reject_alloc_fail", Directory::Debug, Access::Read),
    ("reject_compress_poor", Directory::Debug, Access::Read),
    ("decompress_fail", Directory::Debug, Access::Read),
    ("zswpin", Directory::Vmstat, Access::Read),
    ("zswpout", Directory::Vmstat, Access::Read),
    ("zswpwb", Directory::Vmstat, Access::Read),
];

const COMPRESSOR: &str = "lz4";

impl<M: PoolMachine> Zswap<M> {
    /// Reads an attribute: a line of text.
    ///
    /// # Errors
    /// [`ZswapError::NoAttribute`], [`ZswapError::NoMemory`].
    pub fn show(&self, name: &str) -> Result<String, ZswapError> {
        if let Some(switch) = self.settings.switch(name) {
            let letter = if switch.load(Ordering::Relaxed) { 'Y' } else { 'N' };
            return Ok(heap::format::<M>(format_args!("{letter}\n"))?);
        }
        if name == "compressor" {
            return Ok(heap::format::<M>(format_args!("{COMPRESSOR}\n"))?);
        }
        let percentage = self.settings.percentage(name).map(|value| value.load(Ordering::Relaxed).into());
        let number = percentage.or_else(|| self.counter(name)).ok_or(ZswapError::NoAttribute)?;
        Ok(heap::format::<M>(format_args!("{number}\n"))?)
    }

    /// A counter, by its name in the table.
    pub fn counter(&self, name: &str) -> Option<u64> {
        let statistics = &self.statistics;
        Some(match name {
            "pool_total_size" => self.store.usage().frames * PAGE_SIZE as u64,
            "stored_pages" => self.stored_pages(),
            "same_filled_pages" => self.same_pages(),
            "written_back_pages" | "zswpwb" => statistics.written_back.get(),
            "written_back_packed" => statistics.written_packed.get(),
            "written_back_packed_blocks" => statistics.written_blocks.get(),
            "written_back_compressed" => statistics.written_compressed.get(),
            "written_back_decompressed" => statistics.decompressed_to_write.get(),
            "read_back_compressed" => statistics.read_compressed.get(),
            "read_back_neighbours" => statistics.taken_back.get(),
            "dropped_pages" => statistics.dropped.get(),
            "pool_limit_hit" => statistics.pool_limit_hit.get(),
            "reject_reclaim_fail" => statistics.reject_reclaim_fail.get(),
            "reject_alloc_fail" => statistics.reject_alloc_fail.get(),
            "reject_compress_poor" => statistics.reject_compress_poor.get(),
            "decompress_fail" => statistics.decompress_fail.get(),
            "zswpin" => statistics.loaded.get(),
            "zswpout" => statistics.stored.get(),
            _ => return None,
        })
    }

    /// Writes an attribute.
    ///
    /// # Errors
    /// See [`ZswapError`].
    pub fn set(&self, name: &str, text: &str) -> Result<(), ZswapError> {
        let value = text.strip_suffix('\n').unwrap_or(text);
        if let Some(switch) = self.settings.switch(name) {
            switch.store(boolean(value).ok_or(ZswapError::Invalid)?, Ordering::Relaxed);
            return Ok(());
        }
        if let Some(percentage) = self.settings.percentage(name) {
            let number = value.parse().ok().filter(|number| *number <= 100).ok_or(ZswapError::Invalid)?;
            percentage.store(number, Ordering::Relaxed);
            return Ok(());
        }
        match name {
            "compressor" if value == COMPRESSOR => Ok(()),
            "compressor" => Err(ZswapError::Invalid),
            name if self.counter(name).is_some() => Err(ZswapError::ReadOnly),
            _ => Err(ZswapError::NoAttribute),
        }
    }
}

impl fmt::Display for ZswapError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoAttribute => "no such attribute",
            Self::ReadOnly => "the attribute cannot be written",
            Self::Invalid => "invalid value",
            Self::NoMemory => "no memory",
        })
    }
}

impl core::error::Error for ZswapError {}

impl From<NoMemory> for ZswapError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}
