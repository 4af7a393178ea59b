//! Paging, reclaim and swap on the simulated machine: the kernel's own code, from the fault to the disk's request.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")]

mod chances;
mod computer;
mod disk;
mod file_systems;
mod large_folios;
mod lost_pages;
mod lower_limit;
mod model;
mod oom;
mod owners;
mod process;
mod recorder;
mod schedules;
mod to_the_page;
