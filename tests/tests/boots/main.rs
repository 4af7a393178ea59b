//! Everything that boots Quire.

#![forbid(unsafe_code)]

mod book;
mod costs;
mod crashes;
mod debugger;
mod demo;
mod disks;
mod faults;
mod fuzz;
mod ghost;
mod headers;
mod initramfs;
mod large_folios;
mod launcher;
mod mkswap;
mod picture;
mod programs;
mod scenarios;
mod shell;
mod stress;
mod swap_file;
mod swbench;
mod terminal;
mod typed;
mod zram;
