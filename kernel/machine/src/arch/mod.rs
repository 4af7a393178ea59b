//! What only x86-64 has: descriptor tables, traps, page-table entries, context switches, and most of the `unsafe`.
//!
//! No policy lives here: the code below says how the processor does a thing, never whether it should.
//!
//! What follows has two implementations: the processor's, here, and the simulated machine's, which takes its place on the host.
//! `page_table`, `root`, `translations`, `per_cpu`, `registers`, `image` and `fpu` are the same for both.

#[cfg(target_os = "none")]
pub mod apic;
#[cfg(target_os = "none")]
pub mod bases;
#[cfg(target_os = "none")]
pub(crate) mod console;
#[cfg(target_os = "none")]
pub mod context;
#[cfg(target_os = "none")]
pub mod cpu;
#[cfg(target_os = "none")]
pub(crate) mod enter;
pub mod fpu;
#[cfg(target_os = "none")]
pub mod gdt;
pub(crate) mod image;
#[cfg(target_os = "none")]
pub(crate) mod mmu;
pub mod page_table;
pub(crate) mod per_cpu;
pub mod registers;
pub(crate) mod root;
#[cfg(target_os = "none")]
pub mod syscall;
pub mod translations;
#[cfg(target_os = "none")]
pub mod trap;
#[cfg(target_os = "none")]
pub mod user;
#[cfg(target_os = "none")]
pub mod vector;
#[cfg(target_os = "none")]
pub mod vectors;
#[cfg(target_os = "none")]
pub mod xsave;

#[cfg(target_os = "none")]
pub use x86_64::instructions::interrupts;

#[cfg(not(target_os = "none"))]
pub use crate::simulated::{bases, cpu, gdt, interrupts, user, vector};
#[cfg(not(target_os = "none"))]
pub(crate) use crate::simulated::{console, context, enter, mmu, xsave};
