//! Tests of the core on a machine made of ordinary memory.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")]
#![allow(unreachable_pub, reason = "a test crate exports nothing")]

mod areas;
mod backends;
mod batches;
mod bytes;
mod damage;
mod entry;
mod extents;
mod failures;
mod file_systems;
mod files;
mod folio_state;
mod golden;
mod header;
mod model_of_disks;
mod on_demand;
mod pages;
mod schedules;
mod space;
mod together;
