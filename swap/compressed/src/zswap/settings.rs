//! zswap's parameters.

use core::sync::atomic::{AtomicBool, AtomicU32};

/// The parameters, as they are set.
pub(super) struct Settings {
    pub(super) enabled: AtomicBool,
    pub(super) shrinker_enabled: AtomicBool,
    pub(super) compressed_writeback: AtomicBool,
    pub(super) max_pool_percent: AtomicU32,
    pub(super) accept_threshold_percent: AtomicU32,
    pub(super) max_compressed_percent: AtomicU32,
}

impl Settings {
    pub(super) const fn new() -> Self {
        Self {
            enabled: AtomicBool::new(false),
            shrinker_enabled: AtomicBool::new(false),
            compressed_writeback: AtomicBool::new(false),
            max_pool_percent: AtomicU32::new(20),
            accept_threshold_percent: AtomicU32::new(90),
            max_compressed_percent: AtomicU32::new(73),
        }
    }

    pub(super) fn switch(&self, name: &str) -> Option<&AtomicBool> {
        Some(match name {
            "enabled" => &self.enabled,
            "shrinker_enabled" => &self.shrinker_enabled,
            "compressed_writeback" => &self.compressed_writeback,
            _ => return None,
        })
    }

    pub(super) fn percentage(&self, name: &str) -> Option<&AtomicU32> {
        Some(match name {
            "max_pool_percent" => &self.max_pool_percent,
            "accept_threshold_percent" => &self.accept_threshold_percent,
            "max_compressed_percent" => &self.max_compressed_percent,
            _ => return None,
        })
    }
}
