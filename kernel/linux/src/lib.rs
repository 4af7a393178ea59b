//! What makes Linux programs run: files, processes, signals, futexes, system calls, the terminal.
//!
//! A reader who is after swap does not have to come here: all that this room knows of memory is the interface of
//! `quire_memory`, and all that it knows of the machine that of `quire_machine`. Neither page tables nor frames by number are
//! touched, and there is no `unsafe` block.
//!
//! # What is where, from the bottom up
//!
//! | module | what |
//! |---|---|
//! | [`errno`], `swap_errno` | Linux's error numbers, which are errors here from a node to the register of a call; what the swap core's errors are among them |
//! | [`process::signal`], [`process::credentials`], [`process::limits`], [`process::program`] | signals, users, limits and executables by themselves: pure |
//! | [`fs::node`], [`fs::path`], [`fs::mount`], [`fs::access`], [`fs::lock`], `fs::open`, `fs::namespace` | what every file is, the walk to it, who may do what, open files, and where a process stands: nothing here knows of processes |
//! | [`futex::key`], [`futex::queues`], `futex::word` | words that tasks wait for, and who waits: pure |
//! | `process::{control_block, table, alarms}` | a process, all of them, and what they send one another |
//! | `futex::{waiting, robust}` | waiting for words of memory |
//! | `fs::devices`, `swap_area` | what the kernel has registered of disks, zram and zswap; areas by their paths |
//! | [`fs::terminal`] | the terminal, and whose it is |
//! | `fs::{tmpfs, pipe, synthetic, proc, sys, cgroup, device, block}` | file systems and devices |
//! | `fs::{initramfs, start}` | what there is before the first program |
//! | `process::{exit, handler, start, init, ring3}` | the end and the beginning of a process, handlers, and the way back to a program |
//! | `system_name`, `syscall` | what `uname` says; system calls by their numbers |
//!
//! `fs::start`, `fs::devices`, `process::init`, `process::exit`, `process::ring3` and `syscall` are what the kernel calls: it
//! registers what the machine has, starts the first process, and hands on the machine's upcalls.
//!
//! # Where a page's way begins and ends
//!
//! | what a program does | function | file |
//! |---|---|---|
//! | any system call | `serve` | `syscall/mod.rs` |
//! | `mmap`, `munmap`, `madvise`, `mlock` | `mmap`, `munmap`, `madvise`, `mlock` | `syscall/memory.rs` |
//! | touches what cannot be had: a signal | `fault` | `process/ring3.rs` |
//! | `swapon`, `swapoff` | `swapon`, `swapoff`; the area by its path: `enable` | `syscall/swap.rs`, `swap_area.rs` |
//! | ends, and its memory with it | `end_current`, `leave_space` | `process/exit.rs` |
//!
//! All of it compiles on the host as well, on the simulated machine of `quire_machine`; what is pure is tested there.
//!
//! # Invariants
//!
//! - No file imports one that rests on it: what files need of the process that they serve (its limit of open files, its number, its
//!   credentials) is given to them by that process.
//! - What a program gives is a [`Word`](quire_machine::user::Word) until it is said what it means, and then a pointer, a range or a
//!   number that cannot wrap.
//! - What is allocated for a program is allocated by [`quire_machine::fallible`], and what it can gather is charged to its cgroup.
//! - What a call does not do, it refuses; a number that there is not is `ENOSYS`, and named once in the log.
//!
//! # Locks
//!
//! All have their rank in `quire_machine::sync::Rank`. Those of files sleep, rank above those of memory, and are never held while a
//! device works, user memory is touched, or a handle is dropped that may be the last. Those of processes and signals spin, since the
//! terminal and the clock send signals from interrupts: see [`process`]. The futexes' one lock spins too: see [`futex`].

#![cfg_attr(target_os = "none", no_std)]
// Not forbidden, because the adapter of an intrusive tree, a macro of its library, allows itself what it expands to.
#![deny(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")
)]

extern crate alloc;

pub mod errno;
pub mod fs;
pub mod futex;
pub mod process;
pub mod swap_area;
mod swap_errno;
pub mod syscall;
pub mod system_name;
