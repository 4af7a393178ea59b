//! Scenarios: named pieces of work in the kernel, each ending in a verdict.
//!
//! `scenario=NAME` on the kernel's command line runs one instead of programs; `scenario=list`, or neither a scenario nor an
//! initramfs, names them. Each is a file with a function that returns what is to stand in its last line, or why it failed;
//! adding one is that file and a line in the table below.
//!
//! The last line is `quire: NAME ok key=value …` or `quire: NAME FAILED why`, and the verdict says the same.

#![cfg_attr(
    target_os = "none",
    expect(
        clippy::disallowed_methods,
        clippy::disallowed_macros,
        reason = "a scenario serves no program, and has the machine to itself"
    )
)]

#[cfg(target_os = "none")]
mod areas;
#[cfg(target_os = "none")]
mod checks;
#[cfg(target_os = "none")]
mod crashes;
#[cfg(target_os = "none")]
mod disks;
#[cfg(target_os = "none")]
mod errors;
#[cfg(target_os = "none")]
pub mod failure;
#[cfg(target_os = "none")]
mod flat_cost;
#[cfg(target_os = "none")]
mod full;
#[cfg(target_os = "none")]
mod ghost;
#[cfg(target_os = "none")]
mod groups;
#[cfg(target_os = "none")]
mod large_folios;
#[cfg(target_os = "none")]
mod mappings;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod memory_cost;
#[cfg(target_os = "none")]
pub mod run;
#[cfg(target_os = "none")]
mod sequential;
#[cfg(target_os = "none")]
mod threads;
#[cfg(target_os = "none")]
mod user;
#[cfg(target_os = "none")]
mod workload;
#[cfg(target_os = "none")]
mod zram;
#[cfg(target_os = "none")]
mod zram_backing_cost;
#[cfg(target_os = "none")]
mod zram_cost;
#[cfg(target_os = "none")]
mod zram_disk;
#[cfg(target_os = "none")]
mod zram_linux;
