//! Tests of the core on a machine made of ordinary memory.

#![allow(unreachable_pub, reason = "a test crate exports nothing")]

mod areas;
mod backends;
mod bytes;
mod contents;
mod damage;
mod entry;
mod extents;
mod failures;
mod fake;
mod ghost;
mod ghost_model;
mod ghost_schedules;
mod golden;
mod header;
mod model;
mod on_demand;
mod pages;
mod recompression;
mod room;
mod schedules;
mod store;
mod writeback;
mod zram;
mod zram_batches;
mod zram_model;
mod zram_schedules;
mod zswap;
