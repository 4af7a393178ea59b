//! The simulated machine: what takes the processor's place on the host, so that all above runs in `cargo test`.
//!
//! # Purpose
//!
//! Code above the machine is compiled for the host unchanged. It finds frames, page tables, threads, locks and a clock behind the
//! same functions; a test starts a [`Machine`] and uses them as a program would, by [`program`]'s accesses. Only the
//! instructions differ: this module has a counterpart for each module of `arch` that executes one. Everything else is the
//! kernel's own: allocator, frame metadata, kernel tables and stacks, run queue, wait queues, timed sleeps.
//!
//! | module | stands for |
//! |---|---|
//! | [`memory`] | RAM: one allocation; physical address 0 is its first byte |
//! | `mmu` | CR3, the walk through the tables, and a TLB for each processor |
//! | `processor`, [`cpu`] | GS and each processor's data; what spins, and `hlt` |
//! | [`vector`] | whole pages at once |
//! | `interrupt_flag`, `counter` | the interrupt flag, the time-stamp counter |
//! | `flow`, `context` | stacks: each thread of the kernel runs on a thread of the host, or of shuttle |
//! | [`user`], [`program`] | instructions that touch the user half, of the kernel and of programs, with their page faults |
//! | `enter` | ring 3: what a thread's program does is said by the test |
//! | [`bases`], [`xsave`] | the registers that the kernel does not use |
//! | [`time`], `console`, [`archive`], [`power`] | the timer, the serial port, the initramfs's window, the switch |
//! | [`Machine`], `Once` | the switch that turns everything on, and the power that goes off |
//!
//! # What the architecture allows
//!
//! A forgotten flush shows only if a processor remembers what it may remember, so this one does (Intel SDM volume 3, 4.10):
//!
//! - A translation stays until it is flushed, or the processor faults on it. Nothing evicts one.
//! - With a page, its neighbours are remembered: those present and accessed among the eight entries of a cache line. An entry that is
//!   not present, or not accessed, is never remembered, and a neighbour's accessed bit is not set.
//! - The table that maps 2 MiB is remembered as well, until any page is flushed, with the rights that the levels above gave.
//! - A write through a translation that was dirty when it was remembered does not set the dirty bit again. Through one that was
//!   not, the entry is looked at once more.
//! - A translation that denies what the entry allows by now raises a fault. The fault forgets it.
//!
//! Beyond what a processor would do, it looks when a frame is freed: no processor may remember a way to it, nor walk tables in it.
//! Every access looks whether its frame may hold a program's page. Both end the test, with the page and the frame.
//!
//! # Invariants
//!
//! One thread of the host at a time runs the machine; the others wait for their turn. So what is atomic in the kernel is atomic
//! here, orders of memory are not explored, and the same choices give the same run. Under shuttle, the processors' threads
//! take turns where [`cpu::overtaken`] and [`cpu::relax`] are called: at every spinning lock and at every access. An interrupt can come
//! wherever interrupts are switched on.
//!
//! A test has the machine alone, since it is made of the statics of this process: [`Machine::start`] waits for the test before. It
//! forgets all that an earlier start left in this crate. What a room above keeps in statics has to be empty by then, or be a
//! [`Once`], whose value goes with its machine.
//!
//! # Unsafe code
//!
//! Is in [`memory`], whose pointers lead into the allocation, and where `arch`'s interface is unsafe.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "the host has memory, and a test may end for want of it"
)]

pub mod archive;
pub mod bases;
pub mod console;
pub mod context;
mod counter;
pub mod cpu;
pub mod enter;
#[cfg(feature = "schedules")]
mod explore;
mod flow;
pub mod gdt;
pub mod heap;
mod interrupt_flag;
pub mod interrupts;
mod lock;
mod machine;
pub mod memory;
pub mod mmu;
mod once;
pub mod power;
mod processor;
pub mod program;
pub mod time;
pub mod user;
pub mod vector;
pub mod xsave;

#[cfg(feature = "schedules")]
pub use explore::{digest, explore, replay, run};
pub use machine::{Configuration, Machine};
pub use once::Once;
