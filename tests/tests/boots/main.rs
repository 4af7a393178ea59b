//! Everything that boots Quire.

#![forbid(unsafe_code)]

mod crashes;
mod demo;
mod disks;
mod faults;
mod headers;
mod launcher;
mod mkswap;
mod scenarios;
mod zram;
