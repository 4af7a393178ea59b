//! Tests of the backends that compress, on a machine made of ordinary memory.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")]
#![allow(unreachable_pub, reason = "a test crate exports nothing")]

mod bytes;
mod contents;
mod damage;
mod ghost;
mod ghost_model;
mod ghost_schedules;
mod recompression;
mod store;
mod writeback;
mod zram;
mod zram_batches;
mod zram_gather;
mod zram_model;
mod zram_schedules;
mod zswap;
mod zswap_packed;
mod zswap_packed_schedules;
mod zswap_places;
